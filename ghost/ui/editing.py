"""One line of text under the hands of a user."""

from __future__ import annotations


class LineEditor:
    """`text` and the place of the cursor in it. `press` says whether it knew the key."""

    __slots__ = ("text", "cursor")

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.cursor = len(text)

    def press(self, key: str) -> bool:
        text, at = self.text, self.cursor
        if len(key) == 1 and key.isprintable():
            self.text, self.cursor = text[:at] + key + text[at:], at + 1
        elif key == "backspace":
            self.text, self.cursor = text[: max(0, at - 1)] + text[at:], max(0, at - 1)
        elif key == "delete":
            self.text = text[:at] + text[at + 1 :]
        elif key == "clear":
            self.text, self.cursor = "", 0
        elif key in ("left", "right", "home", "end"):
            places = {"left": max(0, at - 1), "right": min(len(text), at + 1), "home": 0, "end": len(text)}
            self.cursor = places[key]
        else:
            return False
        return True

    def window(self, width: int) -> tuple[str, int]:
        """As much of the text as fits around the cursor, and the cursor's column in it."""
        start = max(0, self.cursor - width + 1)
        return self.text[start : start + width], self.cursor - start

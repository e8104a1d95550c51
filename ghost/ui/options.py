"""Options: every option with its meaning, unit and default, checked while it is typed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ghost.ui.cells import Grid, Line, fitted, wrapped
from ghost.ui.editing import LineEditor
from ghost.ui.frame import panel
from ghost.ui.glyphs import Glyphs

MODE = "mode"
_NAME = 20
_FOOT = 6


@dataclass(frozen=True, slots=True)
class Field:
    """One option. `complaint` says in words what is wrong with a text, or "" if nothing is; `modes` who knows it.

    `choices` are all that it can be, where these are few; `effect` says when a change counts.
    """

    name: str
    meaning: str
    unit: str
    default: str
    choices: tuple[str, ...]
    modes: tuple[str, ...]
    effect: str
    complaint: Callable[[str], str]


class OptionsDesk:
    """The fields under the hands of a user; `values` has those that are set, as texts."""

    def __init__(self, fields: tuple[Field, ...], values: dict[str, str], *, place: str) -> None:
        self.place = place
        self.values = dict(values)
        self.saved = dict(values)
        self.row = 0
        self.editor: LineEditor | None = None
        self.messages: list[tuple[str, str]] = []
        self._fields = fields

    @property
    def fields(self) -> list[Field]:
        """Those that the chosen mode knows."""
        mode = self.values.get(MODE)
        return [field for field in self._fields if mode is None or mode in field.modes]

    @property
    def field(self) -> Field:
        return self.fields[self.row]

    @property
    def is_changed(self) -> bool:
        return self.values != self.saved

    def text(self, field: Field) -> str:
        """What stands in the field now."""
        if self.editor is not None and field is self.field:
            return self.editor.text
        return self.values.get(field.name, "")

    def complaint(self, field: Field) -> str:
        text = self.text(field)
        return field.complaint(text) if text else ""

    @property
    def wrong(self) -> list[Field]:
        return [field for field in self.fields if self.complaint(field)]

    def press(self, key: str) -> bool:
        """Takes every key while a field is edited; else says whether it knew the key."""
        if self.editor is not None:
            self._type(self.editor, key)
            return True
        self.messages = []
        count = len(self.fields)
        if key in ("up", "down", "tab"):
            self.row = (self.row + (-1 if key == "up" else 1)) % count
        elif key in ("pageup", "home"):
            self.row = 0
        elif key in ("pagedown", "end"):
            self.row = count - 1
        elif key in ("left", "right", " ") and self.field.choices:
            self._turn(-1 if key == "left" else 1)
        elif key == "enter" and self.field.choices:
            self._turn(1)
        elif key == "enter":
            self.editor = LineEditor(self.values.get(self.field.name, ""))
        elif key in ("delete", "backspace"):
            self.values.pop(self.field.name, None)
        else:
            return False
        self.row = min(self.row, len(self.fields) - 1)
        return True

    def on_saved(self, messages: list[tuple[str, str]]) -> None:
        self.saved = dict(self.values)
        self.messages = messages

    def _type(self, editor: LineEditor, key: str) -> None:
        if key in ("enter", "tab", "up", "down"):
            self._put(editor.text.strip())
            self.editor = None
            if key != "enter":
                self.press(key)
        elif key == "escape":
            self.editor = None
        else:
            editor.press(key)

    def _put(self, text: str) -> None:
        if text:
            self.values[self.field.name] = text
        else:
            self.values.pop(self.field.name, None)

    def _turn(self, step: int) -> None:
        """The next choice; the default is one of them, written down like any other."""
        field = self.field
        now = self.values.get(field.name, field.default)
        place = field.choices.index(now) if now in field.choices else -1
        self.values[field.name] = field.choices[(place + step) % len(field.choices)]


def paint_options(desk: OptionsDesk, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    grid = Grid(width, height)
    fields = desk.fields
    wrong = len(desk.wrong)
    note = f"{wrong} wrong" if wrong else "changed" if desk.is_changed else "as saved"
    panel(grid, 0, 0, width, height - _FOOT, f"options in {desk.place}", note=note, glyphs=glyphs,
          style="bad" if wrong else "warn" if desk.is_changed else "dim")  # fmt: skip
    room = height - _FOOT - 2
    first = max(0, min(desk.row - room + 1 + room // 3, len(fields) - room))
    for line, field in enumerate(fields[first : first + room]):
        _row(grid, 1 + line, desk, field, first + line == desk.row, width, glyphs)
    _explain(grid, height - _FOOT, desk, width, glyphs)
    return grid.lines()


def _row(grid: Grid, y: int, desk: OptionsDesk, field: Field, is_chosen: bool, width: int, glyphs: Glyphs) -> None:
    if is_chosen:
        grid.put(2, y, glyphs.cursor, "bright")
    grid.put(4, y, fitted(field.name, _NAME), "value" if is_chosen else "label")
    x, across = 4 + _NAME, max(14, (width - _NAME) // 3)
    is_edited = is_chosen and desk.editor is not None
    text, complaint = desk.text(field), desk.complaint(field)
    if is_edited and desk.editor is not None:
        shown, cursor = desk.editor.window(across - 1)
        grid.put(x, y, fitted(shown, across), "field")
        under = shown[cursor : cursor + 1] or " "
        grid.put(x + cursor, y, under, "cursor")
    elif text:
        style = "bad" if complaint else "changed" if text != desk.saved.get(field.name) else "bright"
        grid.put(x, y, fitted(text, across), style)
    else:
        grid.put(x, y, fitted(field.default or "not set", across), "dim")
    rest = width - x - across - 3
    if complaint:
        grid.put(x + across + 1, y, fitted(complaint, rest).rstrip(), "bad")
    elif is_edited:
        grid.put(x + across + 1, y, fitted(field.unit, rest).rstrip(), "good")


def _explain(grid: Grid, y: int, desk: OptionsDesk, width: int, glyphs: Glyphs) -> None:
    field = desk.field
    panel(grid, 0, y, width, _FOOT, field.name, glyphs=glyphs)
    texts = desk.messages
    if not texts:
        complaint = desk.complaint(field)
        default = f"Default: {field.default or 'none'}. "
        kind = "One of " + ", ".join(field.choices) if field.choices else f"Written as {field.unit}"
        texts = [(complaint, "bad")] if complaint else []
        texts = [*texts, (_sentence(field.meaning), "value"), (f"{kind}. {default}{field.effect}", "label")]
    lines = [(line, style) for text, style in texts for line in wrapped(text, width - 4)]
    for row, (line, style) in enumerate(lines[: _FOOT - 2]):
        grid.put(2, y + 1 + row, line, style)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."

"""A grid of characters, each with a style: what painters paint on, and what they return.

A style is a word ("value", "warn", "rain2"); only the terminal knows its colour. Every character is one column wide:
`fitted` makes any text so, and as wide as asked.
"""

from __future__ import annotations

import re
import unicodedata

Run = tuple[str, str]
Line = tuple[Run, ...]
"""Pieces of text with their style, from the left edge to the right one."""

_CLAUSE_END = re.compile("[.,:;] | and ")


class Grid:
    """`width` columns and `height` rows, blank at first. What lies outside is cut off."""

    __slots__ = ("width", "height", "_glyphs", "_styles")

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._glyphs = [[" "] * width for _ in range(height)]
        self._styles = [["plain"] * width for _ in range(height)]

    def put(self, x: int, y: int, text: str, style: str = "plain") -> None:
        if not 0 <= y < self.height or x >= self.width:
            return
        if x < 0:
            text, x = text[-x:], 0
        text = text[: self.width - x]
        self._glyphs[y][x : x + len(text)] = text
        self._styles[y][x : x + len(text)] = [style] * len(text)

    def put_right(self, end: int, y: int, text: str, style: str = "plain") -> None:
        """Ends before column `end`."""
        self.put(end - len(text), y, text, style)

    def dab(self, x: int, y: int, glyph: str, style: str) -> None:
        """One character, where nothing with a style of its own was put. The place must be inside."""
        styles = self._styles[y]
        if styles[x] == "plain":
            self._glyphs[y][x] = glyph
            styles[x] = style

    def paste(self, x: int, y: int, lines: list[Line]) -> None:
        for row, line in enumerate(lines):
            column = x
            for text, style in line:
                self.put(column, y + row, text, style)
                column += len(text)

    def copy(self) -> Grid:
        twin = Grid(0, 0)
        twin.width, twin.height = self.width, self.height
        twin._glyphs = [glyphs[:] for glyphs in self._glyphs]
        twin._styles = [styles[:] for styles in self._styles]
        return twin

    def line(self, y: int) -> Line:
        glyphs, styles = "".join(self._glyphs[y]), self._styles[y]
        runs: list[Run] = []
        start, style = 0, styles[0] if styles else "plain"
        for x, next_style in enumerate(styles):
            if next_style is not style and next_style != style:
                runs.append((glyphs[start:x], style))
                start, style = x, next_style
        runs.append((glyphs[start:], style))
        return tuple(runs)

    def lines(self) -> list[Line]:
        return [self.line(y) for y in range(self.height)]

    @classmethod
    def of(cls, lines: list[Line]) -> Grid:
        """The grid that these lines, all of one width, were made from."""
        grid = cls(sum(len(text) for text, _ in lines[0]) if lines else 0, len(lines))
        grid.paste(0, 0, lines)
        return grid


def plain(lines: list[Line]) -> list[str]:
    """The text alone."""
    return ["".join(text for text, _ in line) for line in lines]


def fitted(text: str, width: int) -> str:
    """The text in exactly `width` columns; what is cut off leaves a '~', what is not one column wide a '?'."""
    safe = "".join(character if _is_narrow(character) else "?" for character in text)
    return safe[: width - 1] + "~" if len(safe) > width > 0 else safe[: max(0, width)].ljust(width)


def shortened(text: str, width: int) -> str:
    """The text where it fits, else as many of its first clauses as do; where not even one does, what fits and a '~'."""
    if len(text) <= width:
        return fitted(text, len(text))
    ends = [found.start() for found in _CLAUSE_END.finditer(text) if 0 < found.start() < width]
    return fitted(text[: ends[-1]] + ".", ends[-1] + 1) if ends else fitted(text, width)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of whole words; a word longer than a line is cut, behind a comma where it has one."""
    lines = [""]
    for word in text.split():
        while len(word) > width > 0:
            end = word.rfind(",", 0, width) + 1 or width
            lines.append(word[:end])
            word = word[end:]
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return [line for line in lines if line] or [""]


def _is_narrow(character: str) -> bool:
    return (
        character.isprintable()
        and unicodedata.east_asian_width(character) not in "WF"
        and not unicodedata.combining(character)
    )

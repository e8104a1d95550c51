"""Graphs in characters: mountains of several rows, sparklines of one."""

from __future__ import annotations

from collections.abc import Sequence

from ghost.ui.cells import Grid, Line
from ghost.ui.glyphs import Glyphs

# A braille character has two columns of four dots; filled from below, these are its bits.
_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
_CELLS = tuple(tuple(chr(0x2800 + left + right) for right in _RIGHT) for left in _LEFT)


def samples_across(width: int, glyphs: Glyphs) -> int:
    """How many samples a graph of that width shows."""
    return 2 * width if glyphs.has_braille else width


def ceiling(values: Sequence[float], least: float) -> float:
    """A round number above all values: 1, 2 or 5 and zeros; `least` when there is next to nothing."""
    top = max([*values, least])
    size = 1.0
    while size * 10 <= top:
        size *= 10
    return next(step * size for step in (1, 2, 5, 10) if step * size >= top)


def mountain(
    outer: Sequence[float], inner: Sequence[float], width: int, height: int, *, top: float, glyphs: Glyphs
) -> list[Line]:
    """`outer` as an area, the latest sample at the right edge; the part of it that `inner` fills has another style.

    Styles: "graph" where the inner value reaches, "price" where only the outer does.
    """
    grid = Grid(width, height)
    span = samples_across(width, glyphs)
    pairs = list(zip(outer, inner, strict=True))[-span:]
    pairs = [(0.0, 0.0)] * (span - len(pairs)) + pairs
    steps = 4 if glyphs.has_braille else len(glyphs.levels) - 1
    scale = height * steps / top
    for column in range(width):
        cell = pairs[2 * column : 2 * column + 2] if glyphs.has_braille else pairs[column : column + 1]
        left, right = _dots(cell[0][0], scale), _dots(cell[-1][0], scale)
        core = max([_dots(value, scale) for _, value in cell])
        for row in range(min(height, -(-max(left, right) // steps))):  # from below, as far as there is something
            below = row * steps
            first, last = min(max(left - below, 0), steps), min(max(right - below, 0), steps)
            glyph = _CELLS[first][last] if glyphs.has_braille else glyphs.levels[first]
            grid.dab(column, height - 1 - row, glyph, "graph" if core > below else "price")
    return grid.lines()


def sparkline(values: Sequence[float], width: int, *, top: float, glyphs: Glyphs) -> str:
    """One row, one sample a column, the latest at the right edge; anything above nothing can be seen."""
    most = len(glyphs.levels) - 1
    levels = [glyphs.levels[min(most, _dots(value, most / top))] for value in values[-width:]]
    return "".join(levels).rjust(width)


def _dots(value: float, scale: float) -> int:
    return max(1, round(value * scale)) if value > 0 else 0

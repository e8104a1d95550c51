"""Log: the daemon's last lines, the newest at the bottom."""

from __future__ import annotations

from typing import Any

from ghost.ui.cells import Grid, Line, fitted, wrapped
from ghost.ui.frame import panel
from ghost.ui.glyphs import Glyphs

_STYLES = {"debug": "dim", "info": "label", "warning": "warn", "error": "bad"}
_MESSAGE_AT = 20


def paint_log(lines: list[dict[str, Any]], back: int, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """`back` lines before the newest are below the screen; 0 follows the log. A long line takes several rows."""
    grid = Grid(width, height)
    room = height - 2
    end = max(0, len(lines) - back)
    rows = _rows(lines[max(0, end - room) : end], width, glyphs)[-room:]
    if len(rows) < room:  # the beginning of the log
        rows, end = [], 0
        while end < len(lines) and len(rows) < room:
            rows += _rows(lines[end : end + 1], width, glyphs)
            end += 1
        rows = rows[:room]
    note = f"{len(lines) - end} newer below" if end < len(lines) else "following"
    panel(grid, 0, 0, width, height, "log", note=note, glyphs=glyphs, style="dim")
    for y, (time, level, text) in enumerate(rows, start=1):
        style = _STYLES.get(level, "label")
        grid.put(2, y, time, "dim")
        grid.put(11, y, fitted(level, 8) if time else "", style)
        grid.put(_MESSAGE_AT, y, text, "value" if style == "label" else style)
    if not lines:
        grid.put(2, 1, "nothing was logged yet", "dim")
    return grid.lines()


def _rows(lines: list[dict[str, Any]], width: int, glyphs: Glyphs) -> list[tuple[str, str, str]]:
    """Time, level and a piece of the message for each row; only a message's first row has its time."""
    rows = []
    for line in lines:
        across = width - _MESSAGE_AT - 2
        message = line["message"].replace("±", glyphs.spread)
        for index, text in enumerate(wrapped(message, across)):
            rows.append((line["time"][11:19] if not index else "", line["level"], fitted(text, across)))
    return rows

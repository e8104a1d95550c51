"""Log: the daemon's last lines, the newest at the bottom."""

from __future__ import annotations

from typing import Any

from ghost.ui.cells import Grid, Line, fitted
from ghost.ui.frame import panel
from ghost.ui.glyphs import Glyphs

_STYLES = {"debug": "dim", "info": "label", "warning": "warn", "error": "bad"}


def paint_log(lines: list[dict[str, Any]], back: int, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """`back` lines before the newest are below the screen; 0 follows the log."""
    grid = Grid(width, height)
    room = height - 2
    back = min(back, max(0, len(lines) - room))
    note = f"{back} newer below" if back else "following"
    panel(grid, 0, 0, width, height, "log", note=note, glyphs=glyphs, style="dim")
    end = len(lines) - back
    for row, line in enumerate(lines[max(0, end - room) : end]):
        style = _STYLES.get(line["level"], "label")
        grid.put(2, 1 + row, line["time"][11:19], "dim")
        grid.put(11, 1 + row, fitted(line["level"], 8), style)
        grid.put(20, 1 + row, fitted(line["message"], width - 22), "value" if style == "label" else style)
    if not lines:
        grid.put(2, 1, "nothing was logged yet", "dim")
    return grid.lines()

"""Help: what the keys do and what the numbers mean."""

from __future__ import annotations

from ghost.ui.cells import Grid, Line
from ghost.ui.frame import panel
from ghost.ui.glyphs import Glyphs

_TERM = 14
_TEXT = """\
d p c l o h   Dashboard, Peers, Chaos, Log, Options, Help
q             leave; a tunnel started with --tui ends then
r             rain on and off
left right    Dashboard: facts of the next peer; else a slider, a choice
n, x          Peers: a new invite; shut the chosen client out

in, out       on the wire, and brighter in it the goodput: inner bytes
round trip    there and back; spread: how it varies; queue: its wait
path rate     what the path is believed to carry, found out by itself
loss          of what is sent here; in a row: how many at a time
redundancy    repairs and repeats for each symbol
price         bytes on the wire for each inner byte
saved         by compression, and its share of what was sent
rain          falls with what arrives, climbs with what is sent:
              blue drops mend, red ones were lost on their way
Every number is that of `ghosttunnel status --json` at the same moment; loss
and delays of all peers together are means. The dashboard is a process of its
own: its end is nothing to the tunnel."""


def paint_help(width: int, height: int, glyphs: Glyphs) -> list[Line]:
    grid = Grid(width, height)
    panel(grid, 0, 0, width, height, "help", glyphs=glyphs)
    for row, line in enumerate(_TEXT.splitlines()[: height - 2]):
        term = _TERM if line[_TERM - 1 : _TERM] == " " else 0  # a line without a term is prose
        grid.put(2, 1 + row, line[:term], "bright")
        grid.put(2 + term, 1 + row, line[term : width - 4], "label" if term else "dim")
    return grid.lines()

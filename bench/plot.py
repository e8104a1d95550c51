"""Draws bench/matrix.csv: goodput over loss and delay over loss, a panel for each rate and kind of loss.

.venv/bin/python bench/plot.py         writes build/bench/goodput.png and build/bench/delay.png
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from ghost.simulation import matrix
from ghost.simulation.matrix import Cell, Figures

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "build" / "bench"

Table = Mapping[Cell, Figures]


def main() -> int:
    source = Path(__file__).with_name("matrix.csv")
    if not source.exists():
        print("there is no bench/matrix.csv: run bench/matrix.py --write first", file=sys.stderr)
        return 1
    table = matrix.decode(source.read_text())
    OUTPUT.mkdir(parents=True, exist_ok=True)
    _draw(table, "goodput.png", "share of (1 - loss) * rate", _goodput)
    _draw(table, "delay.png", "in-order delay beyond the path's, ms", _delay)
    return 0


def _draw(table: Table, name: str, label: str, paint: Callable[[Axes, list[Cell], Table, str], None]) -> None:
    rates = sorted({cell.rate_bps for cell in table})
    bursts = sorted({cell.burst for cell in table})
    figure, panels = pyplot.subplots(
        len(rates), len(bursts), figsize=(6 * len(bursts), 3.2 * len(rates)), squeeze=False, sharex=True
    )
    for row, rate_bps in enumerate(rates):
        for column, burst in enumerate(bursts):
            axes = panels[row][column]
            kind = "independent losses" if burst == 1 else f"bursts of {burst:g}"
            axes.set_title(f"{rate_bps / 1e6:g} Mbit/s, {kind}", fontsize=9)
            for index, rtt in enumerate(sorted({cell.rtt for cell in table})):
                cells = [
                    cell
                    for cell in sorted(table)
                    if (cell.rate_bps, cell.rtt) == (rate_bps, rtt) and (cell.burst == burst or not cell.loss)
                ]
                paint(axes, cells, table, f"C{index}")
            axes.set_ylabel(label, fontsize=8)
            axes.grid(alpha=0.3)
            if not row and not column:
                axes.legend(fontsize=6, ncols=2)
    for axes in panels[-1]:
        axes.set_xlabel("loss, %")
    figure.tight_layout()
    figure.savefig(OUTPUT / name, dpi=110)
    print(f"wrote {(OUTPUT / name).relative_to(ROOT)}")


def _goodput(axes: Axes, cells: list[Cell], table: Table, colour: str) -> None:
    losses = [cell.loss * 100 for cell in cells]
    round_trip = f"{cells[0].rtt * 1e3:g} ms"
    axes.plot(losses, [table[cell].cubic for cell in cells], "o-", color=colour, label=f"CUBIC, {round_trip}")
    axes.plot(losses, [table[cell].saturated for cell in cells], ":", color=colour, label="saturated")
    axes.plot(losses, [table[cell].plain for cell in cells], "--", color=colour, alpha=0.4, label="no tunnel")
    axes.set_ylim(0, 1)


def _delay(axes: Axes, cells: list[Cell], table: Table, colour: str) -> None:
    losses = [cell.loss * 100 for cell in cells]
    round_trip = f"{cells[0].rtt * 1e3:g} ms"
    axes.plot(losses, [table[cell].delay_p50_ms for cell in cells], "o-", color=colour, label=f"p50, {round_trip}")
    axes.plot(losses, [table[cell].delay_p99_ms for cell in cells], "--", color=colour, label="p99")
    axes.set_yscale("symlog", linthresh=10)


if __name__ == "__main__":
    sys.exit(main())

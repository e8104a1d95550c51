"""Measures the matrix (ghost.simulation.matrix), prints it, and with --write puts it into bench/matrix.csv.

.venv/bin/python bench/matrix.py --loss 30% --rtt 100ms --rate 10mbit     a look at one link, in seconds
.venv/bin/python bench/matrix.py --write                                  all of it, in a quarter of an hour
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ghost.chaos.spec import parse
from ghost.errors import GhostError
from ghost.simulation import matrix
from ghost.simulation.matrix import Cell, Figures

TABLE = Path(__file__).with_suffix(".csv")
HEAD = "     rate   rtt burst  loss |  cubic   sat. plain | delay p50    p99 ms |  wire | queue p95 ms"


def main() -> int:
    options = _options()
    cells = matrix.cells(losses=options.loss, bursts=options.burst, rtts=options.rtt, rates_bps=options.rate)
    off_grid = set(cells) - set(matrix.cells())
    if options.write and off_grid:
        print(f"--write keeps to the grid: leave out {_name(min(off_grid))}", file=sys.stderr)
        return 2
    former = matrix.decode(TABLE.read_text()) if TABLE.exists() else {}
    measured: dict[Cell, Figures] = {}
    failed: dict[Cell, str] = {}
    for cell, outcome in _measure_all(cells, options.jobs):
        if isinstance(outcome, str):
            failed[cell] = outcome
        else:
            measured[cell] = outcome
    print(HEAD)
    for cell in sorted(measured):
        print(_row(cell, measured[cell]))
    for cell, figures in sorted(measured.items()):
        if cell in former and (changes := matrix.differences(former[cell], figures)):
            print(f"{_name(cell)}:", ", ".join(f"{name} {was} -> {now}" for name, (was, now) in changes.items()))
    for cell, reason in sorted(failed.items()):
        print(f"{_name(cell)}: {reason}", file=sys.stderr)
    if options.write:
        TABLE.write_text(matrix.encode(former | measured))
        print(f"wrote {len(measured)} rows of {TABLE.name}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the tunnel over many links in virtual time.")
    parser.add_argument("--loss", nargs="+", type=_loss, default=matrix.LOSSES, help="such as 30%%")
    parser.add_argument(
        "--burst", nargs="+", type=float, default=matrix.BURSTS, help="mean packets lost in a row, 1: independent"
    )
    parser.add_argument("--rtt", nargs="+", type=_rtt, default=matrix.RTTS, help="such as 100ms")
    parser.add_argument("--rate", nargs="+", type=_rate, default=matrix.RATES_BPS, help="such as 10mbit")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a CPU)")
    parser.add_argument("--write", action="store_true", help=f"put the figures into {TABLE.name}")
    return parser.parse_args()


def _loss(text: str) -> float:
    return _field("loss", text, "loss")


def _rtt(text: str) -> float:
    return _field("delay", text, "delay")


def _rate(text: str) -> float:
    return _field("rate", text, "rate_bps")


def _field(key: str, text: str, field: str) -> float:
    try:
        return float(getattr(parse(f"{key}={text}"), field))
    except GhostError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _measure_all(cells: Sequence[Cell], jobs: int) -> Iterator[tuple[Cell, Figures | str]]:
    """Figures, or why there are none, of each cell as they come; the costly ones begin first."""
    ordered = sorted(cells, key=lambda cell: cell.cost, reverse=True)
    total = sum(cell.cost for cell in cells)
    done = 0.0
    began = time.monotonic()
    with multiprocessing.Pool(min(jobs, len(cells))) as pool:
        for count, (cell, outcome) in enumerate(pool.imap_unordered(_attempt, ordered), start=1):
            yield cell, outcome
            done += cell.cost
            passed = time.monotonic() - began
            left = passed * (total / done - 1)
            line = f"{count} of {len(cells)} cells in {passed:.0f} s, about {left:.0f} s left"
            print(f"\r{line:<70}", end="" if count < len(cells) else "\n", file=sys.stderr, flush=True)


def _attempt(cell: Cell) -> tuple[Cell, Figures | str]:
    try:
        return cell, matrix.measure(cell)
    except Exception as error:  # one broken link must not cost the figures of the others
        return cell, f"{type(error).__name__}: {error}"


def _name(cell: Cell) -> str:
    return f"{cell.rate_bps / 1e6:g} Mbit/s {cell.rtt * 1e3:g} ms {cell.loss:.0%} burst {cell.burst:g}"


def _row(cell: Cell, figures: Figures) -> str:
    return (
        f"{cell.rate_bps / 1e6:>5g} Mb {cell.rtt * 1e3:>5g} {cell.burst:>5g} {cell.loss:>5.0%} | "
        f"{figures.cubic:>6.3f} {figures.saturated:>6.3f} {figures.plain:>5.3f} | "
        f"{figures.delay_p50_ms:>9.1f} {figures.delay_p99_ms:>9.1f} | {figures.wire:>5.3f} | "
        f"{figures.queue_p95_ms:>6.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())

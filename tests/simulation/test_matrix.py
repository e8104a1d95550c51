"""The checked-in matrix still says what the core does: a change in the algorithms shows as a diff of numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ghost.simulation import matrix
from ghost.simulation.matrix import Cell, Figures

TABLE = Path(__file__).parents[2] / "bench" / "matrix.csv"
REPRESENTATIVES = [
    Cell(rate_bps=256e3, rtt=0.3, burst=1.0, loss=0.1),
    Cell(rate_bps=1e6, rtt=0.02, burst=1.0, loss=0.0),
    Cell(rate_bps=1e6, rtt=0.1, burst=8.0, loss=0.3),
    Cell(rate_bps=1e6, rtt=0.6, burst=1.0, loss=0.05),
    Cell(rate_bps=10e6, rtt=0.1, burst=1.0, loss=0.3),
]
FIGURES = Figures(cubic=0.8, saturated=0.85, plain=0.01, delay_p50_ms=20, delay_p99_ms=150, wire=1.6, queue_p95_ms=6)


@pytest.fixture(scope="module")
def table() -> dict[Cell, Figures]:
    return matrix.decode(TABLE.read_text())


@pytest.mark.parametrize("cell", REPRESENTATIVES, ids=lambda cell: str(cell.link))
def test_the_checked_in_figures_are_what_the_core_does(table: dict[Cell, Figures], cell: Cell) -> None:
    changes = matrix.differences(table[cell], matrix.measure(cell))
    assert not changes, f"(was, is) {changes}: if that is meant, run 'make bench' and commit bench/matrix.csv"


def test_the_table_has_a_row_for_every_cell_of_the_grid(table: dict[Cell, Figures]) -> None:
    assert sorted(table) == matrix.cells()


def test_a_table_reads_as_it_was_written() -> None:
    table = {cell: replace(FIGURES, delay_p50_ms=float(index)) for index, cell in enumerate(matrix.cells())}
    assert matrix.decode(matrix.encode(table)) == table


def test_a_figure_beyond_its_tolerance_is_told_with_its_former_value() -> None:
    slightly = replace(FIGURES, cubic=0.82, delay_p99_ms=170, queue_p95_ms=7.5)
    assert matrix.differences(FIGURES, slightly) == {}
    assert matrix.differences(FIGURES, replace(slightly, cubic=0.7)) == {"cubic": (0.8, 0.7)}
    assert set(matrix.differences(FIGURES, replace(FIGURES, delay_p50_ms=float("nan")))) == {"delay_p50_ms"}


def test_a_link_without_loss_is_measured_once_whatever_the_burst() -> None:
    cells = matrix.cells(losses=[0.0, 0.1], rtts=[0.1], rates_bps=[1e6])
    assert [(cell.loss, cell.burst) for cell in cells] == [(0.0, 1.0), (0.1, 1.0), (0.1, 8.0)]

"""Rain is traffic: so much of it, in the right direction, broken where it was lost, and none where there is none."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from ghost.ui.cells import Grid
from ghost.ui.glyphs import UNICODE
from ghost.ui.rain import DROPS_PER_COLUMN, Rain

WIDTH, HEIGHT = 60, 20


@pytest.fixture
def rain() -> Rain:
    made = Rain(Random(1))
    made.resize(WIDTH, HEIGHT, UNICODE)
    return made


def heads(rain: Rain) -> list[int]:
    """Rows in which the drops' heads are now."""
    grid = Grid(WIDTH, HEIGHT)
    rain.paint(grid, 0, 0)
    return [y for y, line in enumerate(grid.lines()) for text, style in line if style == "head" for _ in text]


def styles(rain: Rain, seconds: float = 6.0) -> Counter[str]:
    seen: Counter[str] = Counter()
    for _ in range(int(seconds / 0.1)):
        rain.step(0.1)
        grid = Grid(WIDTH, HEIGHT)
        rain.paint(grid, 0, 0)
        seen.update(style for line in grid.lines() for text, style in line for _ in text if style != "plain")
    return seen


def test_without_traffic_it_does_not_rain(rain: Rain) -> None:
    rain.pour(received=0, sent=0, lost=0.5, mended=0.5)
    assert not rain.is_falling
    assert not styles(rain)


@pytest.mark.parametrize(("received", "sent", "is_rising"), [(1, 0, False), (0, 1, True)])
def test_one_packet_is_one_drop_and_its_direction_shows(rain: Rain, received: int, sent: int, is_rising: bool) -> None:
    rain.pour(received=received, sent=sent, lost=0.0, mended=0.0)
    ways = []
    for _ in range(60):
        rain.step(0.1)
        ways += heads(rain)[:1]
        assert len(heads(rain)) <= 1
    assert ways == sorted(ways, reverse=is_rising)
    assert len(set(ways)) > HEIGHT // 3
    assert not rain.is_falling


def test_a_flood_is_told_by_the_scale(rain: Rain) -> None:
    rain.pour(received=20, sent=4, lost=0.0, mended=0.0)
    assert rain.scale == 1
    rain.pour(received=1000, sent=5, lost=0.0, mended=0.0)
    assert 1005 / rain.scale <= WIDTH * DROPS_PER_COLUMN < 1005 / rain.scale * 2


def test_what_is_lost_breaks_off_and_what_mends_is_blue(rain: Rain) -> None:
    rain.pour(received=0, sent=24, lost=0.0, mended=0.0)
    assert set(styles(rain)) == {"head", "rain1", "rain2", "rain3"}
    rain.pour(received=0, sent=24, lost=1.0, mended=1.0)
    seen = styles(rain)
    assert seen["lost"] > 0
    assert seen["mend1"] > 0
    assert not seen["rain1"]


def test_it_fills_only_what_is_blank(rain: Rain) -> None:
    rain.pour(received=24, sent=0, lost=0.0, mended=0.0)
    rain.step(1.0)
    rain.step(0.5)
    grid = Grid(WIDTH, HEIGHT)
    for y in range(HEIGHT):
        grid.put(0, y, "x" * WIDTH, "value")
    before = grid.lines()
    rain.paint(grid, 0, 0)
    assert grid.lines() == before


def test_a_new_size_dries_it(rain: Rain) -> None:
    rain.pour(received=24, sent=0, lost=0.0, mended=0.0)
    rain.step(1.0)
    rain.resize(10, 5, UNICODE)
    assert not rain.is_falling

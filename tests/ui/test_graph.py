from __future__ import annotations

import pytest

from ghost.ui.cells import plain
from ghost.ui.glyphs import ASCII, UNICODE
from ghost.ui.graph import ceiling, mountain, sparkline


@pytest.mark.parametrize(
    ("values", "top"), [([], 10), ([3], 10), ([11], 20), ([20], 20), ([21], 50), ([99], 100), ([4.8e6], 5e6)]
)
def test_a_graphs_top_is_a_round_number(values: list[float], top: float) -> None:
    assert ceiling(values, 10) == top


def test_a_mountain_is_filled_from_below_and_ends_at_the_right_edge() -> None:
    values = [0, 0, 4, 8]
    assert plain(mountain(values, values, 3, 2, top=8, glyphs=UNICODE)) == ["  ⢸", "  ⣿"]


def test_in_ascii_a_column_is_one_sample() -> None:
    values = [0, 7, 14]
    assert plain(mountain(values, values, 4, 2, top=14, glyphs=ASCII)) == ["   #", "  ##"]


def test_what_is_price_and_what_is_worth_look_different() -> None:
    [top, bottom] = mountain([8, 8], [4, 4], 1, 2, top=8, glyphs=UNICODE)
    assert (top, bottom) == ((("⣿", "price"),), (("⣿", "graph"),))


def test_the_least_traffic_can_be_seen() -> None:
    assert plain(mountain([0, 1], [0, 1], 1, 1, top=1e9, glyphs=UNICODE)) == ["⢀"]
    assert sparkline([0, 1], 2, top=1e9, glyphs=UNICODE) == " ▁"


def test_a_sparkline_shows_the_latest() -> None:
    assert sparkline([1, 1, 1, 0, 4, 8], 4, top=8, glyphs=UNICODE) == "▁ ▄█"
    assert sparkline([8], 3, top=8, glyphs=ASCII) == "  #"

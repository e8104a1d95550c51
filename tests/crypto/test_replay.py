"""A packet number counts once, and the 32 bits of it that travel are enough to know it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.crypto.replay import WINDOW_SIZE, ReplayWindow

RANGE = 1 << 32
HALF = 1 << 31


def test_numbers_in_order_are_fresh_once() -> None:
    window = ReplayWindow()
    for number in range(3 * WINDOW_SIZE):
        assert window.is_fresh(number)
        window.mark(number)
        assert not window.is_fresh(number)
    assert window.largest == 3 * WINDOW_SIZE - 1


def test_asking_does_not_mark() -> None:
    window = ReplayWindow()
    assert window.is_fresh(5)
    assert window.is_fresh(5)
    assert window.largest == -1


def test_a_number_at_the_old_edge_is_fresh_and_one_beyond_it_is_not() -> None:
    window = ReplayWindow()
    window.mark(WINDOW_SIZE + 100)
    assert window.is_fresh(101)
    assert not window.is_fresh(100)


def test_a_jump_over_many_windows_forgets_nothing_that_still_counts() -> None:
    window = ReplayWindow()
    window.mark(3)
    window.mark(3 + 10 * WINDOW_SIZE)
    assert not window.is_fresh(3)
    assert not window.is_fresh(3 + 10 * WINDOW_SIZE)
    assert window.is_fresh(4 + 9 * WINDOW_SIZE)


def test_a_shuffled_and_duplicated_stream_is_delivered_exactly_once() -> None:
    rng = random.Random(1)
    arrivals = [number for number in range(5000) for _ in range(rng.choice([1, 1, 2, 5]))]
    arrivals.sort(key=lambda number: number + rng.randrange(WINDOW_SIZE // 2))
    window = ReplayWindow()
    delivered = []
    for number in arrivals:
        if window.is_fresh(number):
            window.mark(number)
            delivered.append(number)
    assert len(arrivals) > 10000
    assert sorted(delivered) == list(range(5000))


@given(st.lists(st.integers(0, 4 * WINDOW_SIZE), max_size=100))
def test_the_window_agrees_with_a_set_that_remembers_everything(numbers: list[int]) -> None:
    window, seen = ReplayWindow(), set[int]()
    for number in numbers:
        is_recent = number > max(seen, default=-1) - WINDOW_SIZE
        assert window.is_fresh(number) == (is_recent and number not in seen)
        if window.is_fresh(number):
            window.mark(number)
            seen.add(number)


@pytest.mark.parametrize(
    ("largest", "truncated", "packet_number"),
    [
        (-1, 0, 0),
        (-1, HALF, HALF),
        (0, RANGE - 1, RANGE - 1),  # nothing below zero: the only candidate
        (RANGE - 1, 0, RANGE),
        (RANGE - 2, 1, RANGE + 1),
        (RANGE, RANGE - 1, RANGE - 1),
        (RANGE + 5, 3, RANGE + 3),
        (HALF - 2, 0, 0),
        (HALF - 1, 0, RANGE),
        (7 * RANGE + HALF, 0, 8 * RANGE),
        (7 * RANGE - 1, HALF, 7 * RANGE + HALF),  # half the range ahead is still ahead
        (7 * RANGE - 1, HALF + 1, 6 * RANGE + HALF + 1),
    ],
)
def test_a_truncated_number_expands_to_the_nearest(largest: int, truncated: int, packet_number: int) -> None:
    assert window_at(largest).expand(truncated) == packet_number


@given(largest=st.integers(0, 2**48), distance=st.integers(-HALF + 1, HALF))
def test_every_number_within_half_the_range_survives_truncation(largest: int, distance: int) -> None:
    packet_number = largest + 1 + distance
    if packet_number >= 0:
        assert window_at(largest).expand(packet_number % RANGE) == packet_number


def window_at(largest: int) -> ReplayWindow:
    window = ReplayWindow()
    if largest >= 0:
        window.mark(largest)
    return window


@pytest.mark.parametrize("start", [0, 5, WINDOW_SIZE - 3, 3 * WINDOW_SIZE - 40])
def test_a_run_is_marked_as_one_by_one(start: int) -> None:
    alone, together = ReplayWindow(), ReplayWindow()
    for window in (alone, together):
        window.mark(start)
    for number in range(start + 7, start + 71):
        alone.mark(number)
    together.mark_run(start + 7, 64)
    assert together.largest == alone.largest
    for number in range(max(0, start - 10), start + 100):
        assert together.is_fresh(number) == alone.is_fresh(number)

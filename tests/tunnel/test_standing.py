"""What of a queue is of use and what only delays: told by how little ever stands in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ghost.tunnel.standing import LEAST_STANDING, ROUND_TRIPS, SWINGS, Standing

ROUND_TRIP = 0.1
RATE = 1e6  # bytes a second
STEP = 0.01  # seconds between arrivals


def verdicts(queued: Callable[[int], float], *, seconds: float = 5.0, rate: float = RATE) -> int:
    """How often a queue that is `queued(step)` bytes long before each arrival is found too long."""
    standing = Standing(0.0)
    found = 0
    for step in range(int(seconds / STEP)):
        change = int(queued(step + 1)) - int(queued(step))
        size = max(1, int(rate * STEP) + change)
        found += standing.is_too_long(int(queued(step)), size, round_trip=ROUND_TRIP, now=step * STEP)
    return found


def test_a_queue_that_always_stands_is_too_long() -> None:
    assert verdicts(lambda step: 3 * ROUND_TRIPS * ROUND_TRIP * RATE) > 5


def test_what_a_sender_needs_after_it_has_slowed_down_may_stand() -> None:
    assert verdicts(lambda step: 0.9 * ROUND_TRIPS * ROUND_TRIP * RATE) == 0


def test_a_long_queue_that_empties_now_and_then_is_of_use() -> None:
    assert verdicts(lambda step: 400_000 * (step % 20) / 20) == 0


def test_a_queue_may_stand_under_what_it_swings_by() -> None:
    swing = 100_000

    def queued(share: float) -> Callable[[int], float]:
        return lambda step: ROUND_TRIPS * ROUND_TRIP * RATE + share * swing + swing * (step % 10) / 9

    assert verdicts(queued(0.8 * SWINGS)) == 0
    assert verdicts(queued(2 * SWINGS)) > 5


@pytest.mark.parametrize("pause", [1.0, 60.0])
def test_a_flow_that_paused_begins_anew(pause: float) -> None:
    standing = Standing(0.0)
    now = pause
    assert not standing.is_too_long(0, 1_000_000, round_trip=ROUND_TRIP, now=now), "a burst is no standing queue"


def test_a_few_packets_of_a_thin_path_are_never_too_much() -> None:
    assert verdicts(lambda step: LEAST_STANDING, rate=1000.0) == 0

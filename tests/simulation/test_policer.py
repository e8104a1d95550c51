"""A policer lets its rate and one bucket pass, drops the rest, and delays nothing."""

from __future__ import annotations

from random import Random

import pytest

from ghost.chaos.spec import parse
from ghost.simulation.policer import Policer

SIZE = 1000


def policer() -> Policer:
    return Policer(parse("delay=10ms"), Random(1), rate_bps=1e6, bucket=10 * SIZE)


def test_one_bucket_passes_at_once_and_then_only_the_rate() -> None:
    link = policer()
    for number in range(3000):
        link.send(bytes(SIZE), number * 0.001, overhead=0)  # eight times the rate for three seconds
    assert len(link.deliver(10)) == pytest.approx(10 + 3 * 125, abs=1)
    assert link.stats.queue_dropped == 3000 - link.stats.out_packets


def test_what_passes_is_not_delayed_by_what_came_before() -> None:
    link = policer()
    for _ in range(20):
        link.send(bytes(SIZE), 0.0, overhead=0)
    assert len(link.deliver(0.010)) == 10


def test_lanes_share_the_bucket() -> None:
    link = policer()
    lanes = [link.lane(), link.lane()]
    for number in range(20):
        lanes[number % 2].send(bytes(SIZE), 0.0, overhead=0)
    assert sum(len(lane.deliver(1)) for lane in lanes) == 10

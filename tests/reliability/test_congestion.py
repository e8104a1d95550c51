"""The rate is the bottleneck's, whatever is lost: stories over the real core in virtual time."""

from __future__ import annotations

import pytest

from ghost.chaos.spec import LinkSpec, parse
from ghost.simulation.measure import QueueWatch, percentile
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Bulk, Saturate

RATE = 10e6
LINK = "rate=10mbit,delay=50ms,queue=100ms"


def saturated(text: str, seconds: float, *, seed: int = 1) -> tuple[Pair, Saturate]:
    pair = Pair(parse(text), LinkSpec(delay=0.05), seed=seed)
    pair.run_until_connected()
    load = Saturate(pair, is_download=False)
    pair.applications.append(load)
    pair.run(seconds)
    return pair, load


def offered_bps(pair: Pair, seconds: float) -> float:
    """Bits a second put on the link over the next `seconds`, those included that it drops."""
    before = pair.up.stats.in_bytes
    pair.run(seconds)
    return (pair.up.stats.in_bytes - before) * 8 / seconds


@pytest.mark.parametrize("loss", [0, 10, 30, 50])
def test_the_link_is_full_after_two_seconds_whatever_it_loses(loss: int) -> None:
    pair, _ = saturated(f"{LINK},loss={loss}%", 2)
    assert offered_bps(pair, 3) == pytest.approx(RATE, rel=0.06)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_path_far_thinner_than_was_assumed_is_not_flooded(seed: int) -> None:
    pair = Pair(parse("rate=64kbit,delay=300ms,queue=1000ms,loss=5%"), seed=seed)
    pair.run_until_connected()
    pair.applications.append(Bulk(pair, is_download=True))
    pair.run(60)
    stats = pair.down.stats
    assert 0.85 < stats.in_bytes * 8 / pair.now / 64e3 < 1.1
    assert stats.queue_dropped < 0.05 * stats.in_packets


def test_jitter_is_not_taken_for_a_queue() -> None:
    pair, _ = saturated("rate=10mbit,delay=50ms±10ms,queue=100ms,loss=10%", 3)
    assert offered_bps(pair, 4) > 0.9 * RATE


def test_its_own_queue_is_short() -> None:
    pair, _ = saturated(LINK, 3)
    watch = QueueWatch(pair.up, pair.now)
    pair.applications.append(watch)
    pair.run(5)
    assert percentile(watch.delays, 0.95) < 0.015


def test_it_follows_a_rate_that_falls_and_rises() -> None:
    pair, _ = saturated(LINK, 3)
    pair.up.change(parse("rate=3mbit,delay=50ms,queue=100ms"), pair.now)
    pair.run(1.5)
    assert offered_bps(pair, 2) == pytest.approx(3e6, rel=0.1)
    pair.up.change(parse(LINK), pair.now)
    pair.run(2.5)
    assert offered_bps(pair, 2) > 0.85 * RATE


@pytest.mark.parametrize("loss", [0, 10, 30])
def test_a_buffer_too_shallow_to_show_a_queue_is_not_flooded(loss: int) -> None:
    pair, _ = saturated(f"rate=10mbit,delay=50ms,queue=5ms,loss={loss}%", 3)
    assert 0.7 * RATE < offered_bps(pair, 8) < 1.4 * RATE


def test_a_thin_policer_is_not_flooded() -> None:
    pair, _ = saturated("rate=1mbit,delay=50ms,queue=5ms", 4)
    assert offered_bps(pair, 8) < 2e6


def test_a_thin_link_is_found_and_not_overrun() -> None:
    pair, _ = saturated("rate=256kbit,delay=150ms,queue=400ms,loss=10%", 8)
    assert offered_bps(pair, 10) == pytest.approx(256e3, rel=0.12)

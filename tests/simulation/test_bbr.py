"""The model of BBR version 1 does what BBR version 1 is known for."""

from __future__ import annotations

from random import Random

import pytest

from ghost.chaos.link import Link
from ghost.chaos.spec import parse
from ghost.simulation.bbr import LEAST_WINDOW, Bbr, State
from ghost.simulation.cubic import Cubic
from ghost.simulation.measure import percentile
from ghost.simulation.plain import PlainConnection, PlainTransfer
from ghost.simulation.tcp import MSS, Control

LINK = "rate=10mbit,delay=25ms,queue=100ms"


def transfer(link: str = LINK, *, seed: int = 1) -> tuple[PlainTransfer, Bbr]:
    control = Bbr(Random(seed))
    back = parse(link.partition(",loss")[0])
    return PlainTransfer(parse(link), back, seed=seed, control=control), control


def duel(first: Control, second: Control, *, queue_ms: int) -> float:
    """The first one's share of two transfers over the same queue, after 15 of 45 s."""
    spec = parse(f"rate=10mbit,delay=25ms,queue={queue_ms}ms")
    forth, back = Link(spec, Random(1)), Link(spec, Random(2))
    transfers = [
        PlainConnection(forth.lane(), back.lane(), rng=Random(3), control=control) for control in (first, second)
    ]
    now = 0.0
    while now < 45:
        now = max(now, min(each.next_time() or now for each in transfers))
        for each in transfers:
            each.step(now)
    goodputs = [each.goodput_bps(15, 45) for each in transfers]
    return goodputs[0] / sum(goodputs)


def test_it_fills_a_clean_link_and_keeps_its_queue_short() -> None:
    bbr, control = transfer()
    bbr.run(3)
    assert control.state is State.PROBE_BW
    waits = []
    for _ in range(600):
        bbr.run(0.01)
        waits.append(bbr.forth.queue_delay(bbr.now))
    assert bbr.goodput_bps(3, 9) >= 0.94 * 10e6
    assert percentile(waits, 0.5) < 0.010
    assert control.rate * MSS * 8 == pytest.approx(10e6 * MSS / (MSS + 40), rel=0.03)
    assert control.min_rtt == pytest.approx(0.05, abs=0.003)


def test_the_rate_is_probed_upwards_once_in_eight_round_trips() -> None:
    bbr, control = transfer()
    bbr.run(3)
    paces = []
    for _ in range(5000):
        bbr.run(0.001)
        paces.append(control.pacing_rate / control.rate)
    faster = sum(pace > 1.1 for pace in paces) / len(paces)
    slower = sum(pace < 0.9 for pace in paces) / len(paces)
    assert 1 / 10 < faster < 1 / 5
    assert 1 / 40 < slower < 1 / 5


def test_four_segments_are_in_flight_for_a_moment_every_ten_seconds() -> None:
    bbr, control = transfer()
    entries = []
    was_probing = False
    for _ in range(3500):
        bbr.run(0.01)
        is_probing = control.state is State.PROBE_RTT
        if is_probing and not was_probing:
            entries.append(bbr.now)
        assert not is_probing or control.cwnd <= LEAST_WINDOW
        was_probing = is_probing
    assert len(entries) in (2, 3)
    assert entries[-1] - entries[-2] >= 10


@pytest.mark.parametrize(("loss", "least", "most"), [(5, 0.8, 0.95), (10, 0.65, 0.9), (30, 0.0, 0.2)])
def test_random_loss_is_ignored_up_to_the_cliff_at_20_percent(loss: int, least: float, most: float) -> None:
    bbr, _ = transfer(f"{LINK},loss={loss}%")
    bbr.run(20)
    assert least * 10e6 <= bbr.goodput_bps(5, 20) <= most * 10e6


@pytest.mark.parametrize(("queue_ms", "least", "most"), [(25, 0.75, 1.0), (100, 0.3, 0.7), (400, 0.1, 0.4)])
def test_beside_cubic_it_wins_in_shallow_queues_and_loses_in_deep_ones(
    queue_ms: int, least: float, most: float
) -> None:
    assert least <= duel(Bbr(Random(7)), Cubic(), queue_ms=queue_ms) <= most


def test_two_of_them_share() -> None:
    assert 0.35 <= duel(Bbr(Random(5)), Bbr(Random(6)), queue_ms=100) <= 0.65

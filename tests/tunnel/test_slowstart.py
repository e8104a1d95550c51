"""A TCP sender in slow start gets few acknowledgements, and all of them once the path is full."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from ghost.chaos.spec import parse as parse_link
from ghost.simulation.pair import Pair
from ghost.simulation.segments import ACK, Codec
from ghost.simulation.workloads import Bulk
from ghost.tunnel.slowstart import FREE, FULL, IDLE, MAX_GROWING, SAMPLES, Growth, SlowStarts
from ghost.wire.inner import parse, reverse, tcp_acknowledgement

ROUND_TRIP = 0.1
BYTES_A_MILLISECOND = 1000


class Flow:
    """Data that leaves a sender, and what it hears of it: an acknowledgement each millisecond."""

    def __init__(self, port: int = 5001, slow_starts: SlowStarts | None = None) -> None:
        self.slow_starts = slow_starts or SlowStarts()
        self.codec = Codec((IPv4Address("10.77.0.2"), port), (IPv4Address("10.77.0.1"), 443))
        inner = parse(self.codec.encode(sequence=0, acknowledgement=1, flags=ACK))
        assert inner is not None
        self.key = reverse(inner.key)
        self.growth = Growth(0.0)
        self.now = 0.0
        self.acknowledged = 1

    def send(self, size: int, *, queued: int = 0, is_path_known: bool = True) -> None:
        self.slow_starts.on_segments(
            self.key,
            self.growth,
            size,
            queued=queued,
            round_trip=ROUND_TRIP,
            is_path_known=is_path_known,
            now=self.now,
        )

    def hear(self, *, advance: int = BYTES_A_MILLISECOND, sacks: tuple[tuple[int, int], ...] = ()) -> list[bytes]:
        """A millisecond later: what the sender gets."""
        self.now += 0.001
        self.acknowledged += advance
        packet = self.codec.encode(sequence=1, acknowledgement=self.acknowledged, flags=ACK, sacks=sacks)
        released = self.slow_starts.due(ROUND_TRIP, self.now)
        return released + self.slow_starts.thin([packet], round_trip=ROUND_TRIP, now=self.now)

    def acknowledgements(self, milliseconds: int) -> int:
        return sum(len(self.hear()) for _ in range(milliseconds))


def growing() -> Flow:
    flow = Flow()
    flow.send(FREE + 1)
    return flow


def test_a_round_has_too_few_samples_for_a_verdict() -> None:
    flow = growing()
    assert SAMPLES <= flow.acknowledgements(100) <= SAMPLES + 1


def test_the_last_one_comes_without_another() -> None:
    flow = growing()
    flow.hear()
    assert flow.hear() == []
    due = flow.slow_starts.next_time
    assert due is not None
    [packet] = flow.slow_starts.due(ROUND_TRIP, due)
    assert packet == flow.codec.encode(sequence=1, acknowledgement=flow.acknowledged, flags=ACK)
    assert flow.slow_starts.next_time is None


def test_the_first_segments_are_acknowledged_as_ever() -> None:
    flow = Flow()
    flow.send(FREE)
    assert flow.acknowledgements(30) == 30


def test_after_a_rest_they_are_counted_anew() -> None:
    flow = growing()
    flow.now += IDLE + 0.001
    flow.send(FREE)
    assert flow.growth.is_over is False
    flow.slow_starts = SlowStarts()
    flow.send(0)
    assert flow.acknowledgements(30) == 30


def test_a_full_path_ends_it() -> None:
    flow = growing()
    until = flow.now + FULL * ROUND_TRIP
    while flow.now < until:
        flow.hear()
        flow.send(1000, queued=1)
    flow.hear()
    flow.send(1000, queued=1)
    assert flow.growth.is_over
    assert flow.acknowledgements(50) >= 50


@pytest.mark.parametrize(("queued", "is_path_known"), [(0, True), (1, False)])
def test_a_queue_that_empties_or_a_rate_that_is_still_looked_for_does_not(queued: int, is_path_known: bool) -> None:
    flow = growing()
    for _ in range(200):
        flow.hear()
        flow.send(1000, queued=queued, is_path_known=is_path_known)
    assert not flow.growth.is_over


def test_news_of_a_gap_comes_at_once_and_ends_it() -> None:
    flow = growing()
    flow.hear()
    assert len(flow.hear(advance=0, sacks=((5000, 6000),))) == 1
    assert flow.growth.is_over


def numbers(packets: list[bytes]) -> list[int]:
    return [tcp_acknowledgement(packet) for packet in packets]


def test_nothing_older_comes_after_news_of_a_gap() -> None:
    flow = growing()
    flow.hear()
    flow.hear()
    [gap] = numbers(flow.hear(advance=0, sacks=((5000, 6000),)))
    later = numbers([packet for _ in range(50) for packet in flow.hear()])
    assert later == sorted(later)
    assert min(later) > gap


def test_nothing_older_comes_after_what_is_heard_once_the_path_is_full() -> None:
    flow = growing()
    flow.hear()
    flow.hear()
    flow.growth.is_over = True
    flow.send(1000, queued=1)
    heard = numbers([packet for _ in range(50) for packet in flow.hear()])
    assert heard == sorted(heard)
    assert len(heard) == 51, "the one that was held, and all that follow"


def test_a_turn_that_comes_before_the_alarm_leaves_nothing_behind() -> None:
    flow = growing()
    for _ in range(1000):
        flow.now += 0.001
        flow.acknowledged += 1000
        packet = flow.codec.encode(sequence=1, acknowledgement=flow.acknowledged, flags=ACK)
        flow.slow_starts.thin([packet], round_trip=ROUND_TRIP, now=flow.now)
    assert len(flow.slow_starts._holding) == 1


def test_what_acknowledges_nothing_new_is_not_held() -> None:
    flow = growing()
    flow.hear()
    assert len(flow.hear(advance=0)) == 1


def test_flows_in_slow_start_are_bounded() -> None:
    slow_starts = SlowStarts()
    flows = [Flow(port, slow_starts) for port in range(1000, 1000 + 2 * MAX_GROWING)]
    for flow in flows:
        flow.send(FREE + 1)
    held = [flow for flow in flows if flow.acknowledgements(10) < 10]
    assert held == flows[-MAX_GROWING:]


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_under_jitter_slow_start_fills_the_path(seed: int) -> None:
    """Without this CUBIC leaves it at 35 to 62 of 150 segments there and is at 0.3 of the path's rate."""
    pair = Pair(parse_link("rate=10mbit,delay=90ms±40ms,loss=10%,reorder=5%"), seed=seed)
    pair.run_until_connected(60)
    pair.run(1)
    start = pair.now
    bulk = Bulk(pair, is_download=True, seed=seed)
    pair.applications.append(bulk)
    pair.run(6)
    assert bulk.goodput_bps(start + 2, start + 6) > 0.55 * 0.9 * 10e6

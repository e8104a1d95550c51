"""Acknowledgements of a flow's first segments take a usual round trip, and nothing else is held."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from ghost.chaos.spec import parse
from ghost.simulation import packets
from ghost.simulation.pair import Pair
from ghost.simulation.segments import ACK
from ghost.simulation.workloads import Bulk, Pings
from ghost.tunnel.beginnings import FIRST_SEGMENTS, MAX_HELD, Beginning, Beginnings
from ghost.wire import inner

SOURCE, SINK = (IPv4Address("10.77.0.1"), 5001), (IPv4Address("10.77.0.2"), 40000)
USUAL = 0.3  # seconds
JITTER = "rate=10mbit,delay=90ms\u00b140ms,loss=10%"


def acknowledgement(number: int, payload: bytes = b"") -> bytes:
    """From the sink of the flow to its source."""
    return packets.tcp(SINK, SOURCE, sequence=1, acknowledgement=number, flags=ACK, payload=payload)


@pytest.fixture
def beginning() -> Beginning:
    return Beginning()


@pytest.fixture
def beginnings(beginning: Beginning) -> Beginnings:
    parsed = inner.parse(acknowledgement(1))
    assert parsed is not None
    flows = {inner.reverse(parsed.key): beginning}
    return Beginnings(flows.get)


def test_a_lucky_acknowledgement_is_held_and_a_usual_one_is_not(beginning: Beginning, beginnings: Beginnings) -> None:
    beginning.on_segment(100, now=1.0)
    beginning.on_segment(200, now=1.1)
    assert beginnings.sift([acknowledgement(200)], round_trip=USUAL, now=1.2) == []
    assert beginnings.next_time == pytest.approx(1.3)
    assert beginnings.sift([], round_trip=USUAL, now=1.3) == [acknowledgement(200)]
    assert not beginnings
    assert beginnings.sift([acknowledgement(300)], round_trip=USUAL, now=1.5) == [acknowledgement(300)]


def test_acknowledgements_of_a_flow_keep_their_order(beginning: Beginning, beginnings: Beginnings) -> None:
    beginning.on_segment(100, now=1.0)
    news, repeat = acknowledgement(200), acknowledgement(200)
    assert beginnings.sift([news, repeat], round_trip=USUAL, now=1.2) == []
    assert beginnings.sift([], round_trip=0.0, now=1.31) == [news, repeat]


def test_segments_and_other_flows_pass(beginning: Beginning, beginnings: Beginnings) -> None:
    beginning.on_segment(100, now=1.0)
    others: list = [acknowledgement(200, b"data"), packets.udp(SINK, SOURCE, b"x"), b"nonsense"]
    assert beginnings.sift(others, round_trip=USUAL, now=1.1) == others
    assert beginnings.sift([acknowledgement(200)], round_trip=0.0, now=1.1) == [acknowledgement(200)], "no jitter"


def test_what_was_sent_again_says_nothing(beginning: Beginning, beginnings: Beginnings) -> None:
    beginning.on_segment(100, now=1.0)
    beginning.on_segment(200, now=1.0)
    beginning.on_segment(100, now=2.0)
    assert beginnings.sift([acknowledgement(200)], round_trip=USUAL, now=2.1) == [acknowledgement(200)]


def test_a_flow_is_young_only_once(beginning: Beginning, beginnings: Beginnings) -> None:
    for index in range(FIRST_SEGMENTS + 1):
        beginning.on_segment(100 * index, now=1.0)
    late = acknowledgement(100 * FIRST_SEGMENTS + 50)
    beginnings.sift([acknowledgement(100 * FIRST_SEGMENTS)], round_trip=USUAL, now=1.1)
    assert len(beginnings.sift([late], round_trip=USUAL, now=1.4)) == 2
    beginning.on_segment(100 * FIRST_SEGMENTS + 100, now=2.0)
    last = acknowledgement(100 * FIRST_SEGMENTS + 200)
    assert beginnings.sift([last], round_trip=USUAL, now=2.0) == [last]


def test_no_more_is_held_than_there_is_room_for(beginning: Beginning, beginnings: Beginnings) -> None:
    beginning.on_segment(100, now=1.0)
    many = [acknowledgement(200)] * (MAX_HELD + 10)
    assert len(beginnings.sift(many, round_trip=USUAL, now=1.1)) == 10
    assert len(beginnings.sift([], round_trip=USUAL, now=1.3)) == MAX_HELD


def test_jitter_does_not_end_slow_start_long_before_the_path_is_full() -> None:
    windows = []
    for seed in range(1, 6):
        pair = Pair(parse(JITTER), seed=seed)
        pair.run_until_connected()
        pair.applications.append(Pings(pair))
        pair.run(3)
        bulk = Bulk(pair, is_download=True)
        pair.applications.append(bulk)
        pair.run(4)
        exit_ = bulk.source.control.slow_start_exit
        windows.append(exit_[1] if exit_ else bulk.source.control.cwnd)
    assert sorted(windows)[2] >= 90, windows  # segments; the path holds 160, and they left at about 55

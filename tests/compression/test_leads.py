"""A train's first segment as a delta from its headers alone: the same delta, and the same memory, as the whole way."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ghost.compression import tcp
from ghost.compression.leads import LARGEST_LEAD, follow, lead

PAYLOAD = random.Random(1).randbytes(1332)
ACK, PUSH, FIN, URGENT = 0x10, 0x08, 0x01, 0x20
BEFORE = {"sequence": 1000, "ack": 5000, "window": 501, "ident": 7, "stamps": (100, 200)}
AFTER = {**BEFORE, "sequence": 1000 + len(PAYLOAD), "ident": 8}
Make = Callable[..., bytes]

USUAL = {
    "nothing new": {},
    "a later time": {"stamps": (101, 200)},
    "both times": {"stamps": (140, 455)},
    "acknowledgement": {"ack": 5999},
    "window": {"window": 400},
    "number": {"ident": 4000},
    "all": {"stamps": (355, 455), "ack": 70_000 - 1, "window": 1, "ident": 99},
}
UNUSUAL = {
    "a gap": {"sequence": 90_000},
    "a time long after": {"stamps": (5000, 200)},
    "much acknowledged": {"ack": 500_000},
    "the end": {"flags": ACK | FIN},
    "urgent data": {"flags": ACK | URGENT, "urgent": 5},
    "SACK": {"sacks": ((9000, 9100),)},
    "another type of service": {"service": 8},
    "a number that would come from 0": {"ident": 1},
}


def last_of(make_tcp: Make, **fields: object) -> tcp.Header:
    header = tcp.remember(make_tcp(PAYLOAD, **{**BEFORE, **fields}))
    assert header is not None
    return header


@pytest.mark.parametrize("stamps", [True, False])
@pytest.mark.parametrize("new", USUAL.values(), ids=USUAL.keys())
@pytest.mark.parametrize("is_pushed", [False, True])
def test_it_is_the_delta_of_the_packet_and_leads_to_the_same_memory(
    make_tcp: Make, new: dict[str, object], stamps: bool, is_pushed: bool
) -> None:
    without = {} if stamps else {"stamps": None}
    last = last_of(make_tcp, **without)
    packet = make_tcp(PAYLOAD, **{**AFTER, **new, **without})
    packed = tcp.compress(last, packet)
    led = lead(last, packet[: tcp.header_size(last)])
    assert packed is not None
    assert led is not None
    assert led[0] == packed[0]
    assert len(led[0]) <= LARGEST_LEAD
    assert tcp.advance(led[1], size=len(PAYLOAD), segments=1, is_pushed=False) == packed[2]
    body = bytes((led[0][0] | is_pushed,)) + led[0][1:] + PAYLOAD
    followed = follow(last, body)
    assert followed is not None
    header, at = followed
    assert body[at:] == PAYLOAD
    restored, memory = tcp.restore(last, body)
    assert tcp.advance(header, size=len(PAYLOAD), segments=1, is_pushed=is_pushed) == memory
    assert tcp.super_header(header, size=len(PAYLOAD))[:12] == restored[:12]


@pytest.mark.parametrize("new", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_what_is_out_of_the_ordinary_is_left_to_the_general_way(make_tcp: Make, new: dict[str, object]) -> None:
    last = last_of(make_tcp)
    packet = make_tcp(PAYLOAD, **{**AFTER, **new})
    assert lead(last, packet[: 20 + (packet[32] >> 4 << 2)]) is None
    packed = tcp.compress(last, packet)
    assert packed is None or follow(last, packed[0] + packed[1]) is None


def test_a_number_that_comes_round_stays_at_zero_at_both_ends(make_tcp: Make) -> None:
    last = last_of(make_tcp, ident=0xFFFF)
    led = lead(last, make_tcp(PAYLOAD, **{**AFTER, "ident": 0})[:52])
    assert led is not None
    followed = follow(last, led[0] + PAYLOAD)
    assert followed is not None
    after = [tcp.advance(each, size=5000, segments=4, is_pushed=False) for each in (led[1], followed[0])]
    assert after[0] == after[1]


def test_nonsense_is_followed_by_nothing_worse_than_none(make_tcp: Make) -> None:
    rng = random.Random(2)
    last, bare = last_of(make_tcp), last_of(make_tcp, stamps=None)
    for _ in range(5000):
        body = rng.randbytes(rng.randrange(12))
        for header in (last, bare):
            followed = follow(header, body)
            assert followed is None or followed[1] < len(body)

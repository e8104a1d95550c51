"""A TCP header comes back as it was, whatever it is, and that of a steady flow in a byte or two."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.compression import tcp
from ghost.errors import PeerError
from ghost.wire import shorts

Make = Callable[..., bytes]

numbers = st.integers(0, 0xFFFFFFFF)
near = st.integers(0, 70_000) | numbers
blocks = st.lists(st.tuples(numbers, numbers), max_size=4).map(tuple)
headers = st.fixed_dictionaries(
    {
        "sequence": near,
        "ack": near,
        "flags": st.sampled_from([0x10, 0x18, 0x10, 0x11, 0x02, 0x14, 0xD0, 0x110]) | st.integers(0, 0xFFF),
        "window": st.sampled_from([0, 501, 502, 0xFFFF]),
        "stamps": st.none() | st.tuples(near, near),
        "sacks": st.just(()) | blocks,
        "ident": st.integers(0, 5) | st.integers(0, 0xFFFF),
    },
    optional={
        "urgent": st.integers(0, 2),
        "service": st.integers(0, 3),
        "ttl": st.integers(63, 64),
        "fragment": st.sampled_from([0, 0x4000, 0x2000, 0x8000, 7]),
        "options": st.sampled_from([b"", b"\x01\x01\x01\x00", b"\x02\x04\x05\xb4", bytes(4)]),
    },
)


def fits(fields: dict[str, Any]) -> bool:
    stamps = 12 if fields["stamps"] else 0
    sacks = 4 + 8 * len(fields["sacks"]) if fields["sacks"] else 0
    return stamps + sacks + len(fields.get("options", b"")) <= 40


packets = st.tuples(headers.filter(fits), st.binary(max_size=40) | st.just(bytes(1300)))


class Lane:
    """Both ends of an ordered flow: every packet must come back, and both must remember the same."""

    def __init__(self) -> None:
        self.last: tcp.Header | None = None
        self.sizes: list[int] = []

    def carry(self, packet: bytes) -> None:
        packed = tcp.compress(self.last, packet) if self.last is not None else None
        if self.last is None or packed is None:
            self.last = tcp.remember(packet)
            self.sizes.append(len(packet))
            return
        delta, payload, header = packed
        restored, remembered = tcp.restore(self.last, delta + payload)
        assert restored == packet
        assert remembered == header == tcp.remember(packet)
        self.last = header
        self.sizes.append(len(delta))


@given(st.lists(packets, min_size=2, max_size=6))
def test_any_run_of_headers_comes_back(make_tcp: Make, run: list[tuple[dict[str, Any], bytes]]) -> None:
    lane = Lane()
    for fields, payload in run:
        lane.carry(make_tcp(payload, **fields))


@given(packets, st.integers(0, 79), st.integers(1, 255))
def test_a_damaged_packet_comes_back_damaged(
    make_tcp: Make, packet: tuple[dict[str, Any], bytes], at: int, change: int
) -> None:
    fields, payload = packet
    whole = make_tcp(payload, **fields)
    damaged = bytearray(whole)
    damaged[at % len(whole)] ^= change
    lane = Lane()
    for each in (whole, bytes(damaged), whole):
        lane.carry(each)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_delta_restores_or_is_a_peers_fault(make_tcp: Make, head: bytes, rest: bytes) -> None:
    for stamps in (None, (1, 2)):
        last = tcp.remember(make_tcp(b"x", stamps=stamps))
        assert last is not None
        with contextlib.suppress(PeerError):
            packet, header = tcp.restore(last, head + rest)
            assert tcp.remember(packet) == header


@given(st.binary(max_size=80))
def test_any_bytes_can_be_remembered(data: bytes) -> None:
    tcp.remember(data)
    tcp.remember(b"\x45\x00" + data)


def test_a_download_sends_two_bytes_of_header_a_segment(make_tcp: Make) -> None:
    lane = Lane()
    for number in range(1000):
        is_last = number % 10 == 9
        stamps = (number * 3 // 2, number // 2)
        packet = make_tcp(
            bytes(1332), sequence=7 + number * 1332, flags=0x18 if is_last else 0x10, stamps=stamps, ident=9 + number
        )
        lane.carry(packet)
    mean = sum(lane.sizes[1:]) / 999
    print(f"{mean:.2f} bytes of header a segment, of 52")
    assert mean < 3


def test_numbers_run_over_their_end(make_tcp: Make) -> None:
    lane = Lane()
    for number in range(6):
        sequence = (0xFFFFFFFF - 2000 + number * 1000) & 0xFFFFFFFF
        stamps = ((0xFFFFFFFE + number) & 0xFFFFFFFF, (0xFFFFFFFD + number) & 0xFFFFFFFF)
        ident = (0xFFFE + number) & 0xFFFF
        lane.carry(make_tcp(bytes(1000), sequence=sequence, ack=sequence, stamps=stamps, ident=ident))
    assert max(lane.sizes[1:]) <= 8


def test_a_kernel_that_does_not_number_packets_pays_nothing_for_it(make_tcp: Make) -> None:
    lane = Lane()
    for number in range(3):
        lane.carry(make_tcp(bytes(100), sequence=100 * number, ident=0))
    assert lane.sizes[1:] == [1, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"service": 2},
        {"ttl": 63},
        {"fragment": 0},
        {"fragment": 0x2000},
        {"urgent": 1},
        {"options": b"\x01\x01\x01\x00"},
        {"flags": 0x210},
        {"ports": b"\x9c\x40\x01\xbc"},
    ],
    ids=str,
)
def test_what_has_no_bit_in_the_delta_goes_as_it_is(make_tcp: Make, change: dict[str, Any]) -> None:
    last = tcp.remember(make_tcp(b"payload"))
    assert last is not None
    assert tcp.compress(last, make_tcp(b"payload")) is not None
    assert tcp.compress(last, make_tcp(b"payload", **change)) is None


def test_a_wrong_checksum_goes_as_it_is(make_tcp: Make) -> None:
    packet = make_tcp(b"payload")
    last = tcp.remember(packet)
    assert last is not None
    for at in (10, 11, 36, 37, len(packet) - 1):
        assert tcp.compress(last, packet[:at] + bytes((packet[at] ^ 1,)) + packet[at + 1 :]) is None
    # faults in both sums that cancel out in their total
    both = bytearray(packet)
    both[11] += 1
    both[37] -= 1
    assert tcp.compress(last, bytes(both)) is None


def test_selective_acknowledgements_take_a_few_bytes_each(make_tcp: Make) -> None:
    first = make_tcp(ack=5_000_000, stamps=(1, 1))
    second = make_tcp(ack=5_000_000, stamps=(2, 1), sacks=((5_001_332, 5_003_996), (5_010_000, 5_011_332)))
    last = tcp.remember(first)
    assert last is not None
    packed = tcp.compress(last, second)
    assert packed is not None
    assert len(packed[0]) <= 13
    assert tcp.restore(last, packed[0])[0] == second


@given(
    base=st.fixed_dictionaries({"ack": numbers, "ident": st.integers(0, 0xFFFF)}),
    step=st.integers(0, 0x1000000),
    ident=st.integers(0, 260),
    times=st.none() | st.tuples(st.integers(0, 0x10001), st.integers(0, 0x10001)),
    window=st.sampled_from([501, 0, 0xFFFF]),
    steps=st.integers(1, 70_000),
    growth=st.sampled_from([tcp.FLAT, (1000, 4, 4)]) | st.tuples(numbers, numbers, numbers),
)
def test_a_short_acknowledgement_comes_back(
    make_tcp: Make,
    base: dict[str, int],
    step: int,
    ident: int,
    times: tuple[int, int] | None,
    window: int,
    steps: int,
    growth: tcp.Slopes,
) -> None:
    last = tcp.remember(make_tcp(stamps=None if times is None else (9, 9), **base))
    assert last is not None
    packet = make_tcp(
        ack=(base["ack"] + step) & 0xFFFFFFFF,
        ident=(base["ident"] + ident) & 0xFFFF,
        stamps=None if times is None else (9 + times[0], 9 + times[1]),
        window=window,
    )
    packed = tcp.compress(last, packet, steps=steps)
    assert packed is not None
    delta, _, header = packed
    short = tcp.shorten(last, header, delta, growth=growth, steps=steps)
    if short is not None:
        assert len(short) + 1 == shorts.SIZES[short[0]]
        assert tcp.lengthen(last, short[0], short[1:], growth=growth, steps=steps) == (packet, header)
    restored, _ = tcp.restore(last, delta, steps=steps)
    assert restored == packet

"""Segments that travel together come out as if each had travelled alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from ghost.compression import tcp
from ghost.compression.agreement import Agreement
from ghost.compression.checksum import ONES, remainder
from ghost.compression.trains import SuperPacket, Train
from ghost.constants import MAX_SYMBOL
from ghost.simulation import packets
from ghost.tunnel.composer import Composer
from ghost.tunnel.receiver import Receiver
from ghost.wire import frames, inner

HERE, THERE = (IPv4Address("10.77.0.2"), 40000), (IPv4Address("192.0.2.7"), 443)
SEGMENT = 1344
FAST = 1e9  # bytes a second: nothing is compressed
ACK, PUSH, FIN, REDUCED = 0x10, 0x08, 0x01, 0x80


def super_packet(payload: bytes, *, sequence: int = 1000, flags: int = ACK | PUSH) -> SuperPacket:
    """As a kernel hands it over: the checksum field holds the pseudo-header's sum."""
    packet = bytearray(packets.tcp(HERE, THERE, sequence=sequence, acknowledgement=1, flags=flags, payload=payload))
    check = (remainder(bytes(packet[12:20])) + inner.TCP + len(packet) - 20) % ONES
    packet[36:38] = check.to_bytes(2, "big")
    return SuperPacket(bytes(packet), SEGMENT)


def train_of(payload: bytes, **fields: int) -> Train:
    train = Train.of(super_packet(payload, **fields))
    assert train is not None
    return train


def is_sound(packet: bytes) -> bool:
    """Whether its length and both checksums are right."""
    total = remainder(packet[12:20]) + inner.TCP + len(packet) - 20 + remainder(packet[20:])
    return int.from_bytes(packet[2:4], "big") == len(packet) and not remainder(packet[:20]) % ONES and not total % ONES


def carry(trains: Sequence[Train | bytes], *, joins_segments: bool, seed: int = 0) -> list[bytes | SuperPacket]:
    """What the receiver has delivered; `seed` shuffles the order in which symbols arrive."""
    composer = Composer(Agreement(headers=True))
    receiver = Receiver(Agreement(headers=True), joins_segments=joins_segments)
    parsed = inner.parse(super_packet(b"x").packet)
    assert parsed is not None
    for item in trains:
        if isinstance(item, Train):
            composer.add_train(item, parsed, rate=FAST, now=0.0)
        else:
            assert composer.add(item, parsed, rate=FAST, now=0.0, prompt_id=0) is None
    symbols = []
    while composer.has_data:
        symbols += composer.compose_run(7, beyond=0)
    assert max(map(len, symbols)) <= MAX_SYMBOL
    numbered = list(enumerate(symbols))
    if seed:
        random.Random(seed).shuffle(numbered)
    for symbol_id, symbol in numbered:
        receiver.on_symbol(frames.Symbol(symbol_id, symbol), 0.0)
    return receiver.take_packets()


def stream(delivered: list[bytes | SuperPacket]) -> bytes:
    """The payloads, in a stream without a gap."""
    data, expected = b"", None
    for item in delivered:
        packet = item.packet if isinstance(item, SuperPacket) else item
        sequence = int.from_bytes(packet[24:28], "big")
        assert expected is None or sequence == expected
        expected = sequence + len(packet) - 40
        data += packet[40:]
    return data


@pytest.mark.parametrize("flags", [ACK, ACK | PUSH, ACK | PUSH | FIN, ACK | REDUCED])
def test_each_segment_is_a_packet_of_its_own_with_the_flags_that_belong_to_it(flags: int) -> None:
    payload = random.Random(1).randbytes(5 * SEGMENT + 100)
    train = train_of(payload, flags=flags)
    cut = []
    while train:
        cut.append(train.next_packet())
    assert [len(packet) - 40 for packet in cut] == [SEGMENT] * 5 + [100]
    assert all(map(is_sound, cut))
    assert stream(list(cut)) == payload
    assert [packet[33] for packet in cut[1:-1]] == [ACK] * 4
    assert cut[0][33] == ACK | flags & REDUCED
    assert cut[-1][33] == ACK | flags & (PUSH | FIN)


@pytest.mark.parametrize("flags", [ACK, ACK | PUSH, ACK | PUSH | FIN, ACK | REDUCED])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_receiver_that_joins_nothing_gets_the_packets_that_the_kernel_would_have_cut(flags: int, seed: int) -> None:
    payloads = [random.Random(size).randbytes(size) for size in (20 * SEGMENT, 3 * SEGMENT + 7)]
    trains, expected, sequence = [], [], 1000
    for payload in payloads:
        fields = {"sequence": sequence, "flags": flags}
        trains.append(train_of(payload, **fields))
        alone = train_of(payload, **fields)
        while alone:
            expected.append(alone.next_packet())
        sequence += len(payload)
    assert carry(trains, joins_segments=False, seed=seed) == expected


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_joined_segments_are_few_packets_with_the_same_stream(seed: int) -> None:
    payload = random.Random(3).randbytes(40 * SEGMENT + 9)
    delivered = carry([train_of(payload)], joins_segments=True, seed=seed)
    assert stream(delivered) == payload
    assert len(delivered) <= 3
    for item in delivered:
        if isinstance(item, SuperPacket):
            packet = item.packet
            pseudo = (remainder(packet[12:20]) + inner.TCP + len(packet) - 20) % ONES
            assert int.from_bytes(packet[36:38], "big") == pseudo
            assert not remainder(packet[:20]) % ONES
            assert item.segment_size == SEGMENT
        else:
            assert is_sound(item)


def test_segments_alone_and_in_trains_alternate() -> None:
    payload = random.Random(4).randbytes(40 * SEGMENT)
    items: list[Train | bytes] = []
    for at in range(0, len(payload), 10 * SEGMENT):
        train = train_of(payload[at : at + 10 * SEGMENT], sequence=1000 + at, flags=ACK)
        items += [train.next_packet() for _ in range(3)]
        items.append(train)
    assert stream(carry(items, joins_segments=True)) == payload


def test_a_request_is_not_joined_so_that_credentials_are_seen() -> None:
    first, request = bytes(SEGMENT * 2), b"GET / HTTP/1.1\r\nCookie: secret" + bytes(SEGMENT - 30)
    delivered = carry([train_of(first + request + bytes(SEGMENT))], joins_segments=True)
    assert stream(delivered) == first + request + bytes(SEGMENT)
    assert any(isinstance(item, bytes) and item[40:44] == b"GET " for item in delivered)


def test_no_joined_packet_is_longer_than_ipv4_can_say() -> None:
    payloads = [bytes(48 * SEGMENT), bytes(48 * SEGMENT)]
    trains = [train_of(payload, sequence=1000 + i * 48 * SEGMENT, flags=ACK) for i, payload in enumerate(payloads)]
    delivered = carry(trains, joins_segments=True)
    assert stream(delivered) == b"".join(payloads)
    assert all(len(item.packet) <= 0xFFFF for item in delivered if isinstance(item, SuperPacket))


def test_a_shortened_train_ends_with_a_whole_segment_and_without_a_flag() -> None:
    train = train_of(bytes(10 * SEGMENT), flags=ACK | PUSH | FIN)
    train.shorten(4 * (SEGMENT + 40) + 5)
    cut = []
    while train:
        cut.append(train.next_packet())
    assert len(cut) == 4
    assert cut[-1][33] == ACK
    assert all(map(is_sound, cut))


def test_what_has_no_segments_is_no_train() -> None:
    whole = super_packet(bytes(3000))
    assert Train.of(SuperPacket(whole.packet, 0)) is None
    assert Train.of(SuperPacket(whole.packet[:40], SEGMENT)) is None
    assert Train.of(SuperPacket(whole.packet[:32] + b"\xf0" + whole.packet[33:50], SEGMENT)) is None


def test_a_number_that_comes_round_stays_at_zero_at_both_ends() -> None:
    header = tcp.remember(super_packet(b"x" * 100).packet)
    assert header is not None
    near = (*header[:6], 0xFFFE, *header[7:])
    at_once = tcp.advance(near, size=300, segments=3, is_pushed=False)
    one_by_one = near
    for _ in range(3):
        one_by_one = tcp.restore(one_by_one, b"\x00" + bytes(100))[1]
    assert at_once == one_by_one

"""Packets that wait together share a piece of their flow's history, and come out one by one as they went in."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghost.compression import groups, zstd
from ghost.compression.agreement import Agreement
from ghost.compression.trains import SuperPacket, Train
from ghost.constants import MAX_SYMBOL
from ghost.errors import PeerError
from ghost.simulation import packets as made
from ghost.simulation.replay import EVERYTHING
from ghost.tunnel.composer import Composer
from ghost.tunnel.receiver import Receiver
from ghost.wire import frames, inner, records

RATE = 32e3  # bytes a second
SERVER = (IPv4Address("10.77.0.1"), 80)
CLIENT = IPv4Address("10.77.0.2")
WORDS = [b"apple ", b"banana ", b"cherry ", b"damson ", b"elder "]


def text(rng: random.Random, size: int) -> bytes:
    return b"".join(rng.choices(WORDS, k=size // 5 + 1))[:size]


def segment(payload: bytes, *, sequence: int, port: int = 50_000, acknowledgement: int = 1) -> bytes:
    packet = made.tcp(
        SERVER, (CLIENT, port), sequence=sequence & 0xFFFFFFFF, acknowledgement=acknowledgement, flags=made.ACK,
        payload=payload,
    )  # fmt: skip
    return packet


class Ends:
    """A composer and a receiver; `sent` are the records of all symbols."""

    def __init__(self, agreement: Agreement = EVERYTHING, theirs: Agreement | None = None) -> None:
        self.composer, self.receiver = Composer(agreement), Receiver(theirs or agreement)
        self.sent: list[records.Record] = []
        self._symbols = 0

    def queue(self, packets: list[bytes]) -> None:
        for packet in packets:
            parsed = inner.parse(packet)
            assert parsed is not None
            assert self.composer.add(packet, parsed, rate=RATE, prompt_id=0, now=0.0) is None

    def cross(self) -> list[bytes]:
        """Everything that waits, delivered."""
        while self.composer.has_data:
            payload = self.composer.compose(MAX_SYMBOL)
            assert 0 < len(payload) <= MAX_SYMBOL
            self.sent += records.decode(payload)
            self.receiver.on_symbol(frames.Symbol(self._symbols, payload), 0.0)
            self._symbols += 1
        return [bytes(packet) for packet in self.receiver.take_packets()]  # type: ignore[arg-type]

    def carry(self, packets: list[bytes]) -> None:
        self.queue(packets)
        assert self.cross() == packets

    @property
    def encodings(self) -> set[int]:
        return {record.encoding for record in self.sent}

    @property
    def sent_bytes(self) -> int:
        return sum(len(record.body) for record in self.sent)


def segments(
    rng: random.Random, sizes: list[int], *, begin: int = 1, noise: frozenset[int] = frozenset()
) -> list[bytes]:
    packets = []
    for number, size in enumerate(sizes):
        payload = rng.randbytes(size) if number in noise else text(rng, size)
        packets.append(segment(payload, sequence=begin))
        begin += size
    return packets


def test_text_that_waits_is_told_in_groups_and_takes_less() -> None:
    packets = segments(random.Random(1), [1344] * 16)
    with_groups, without = Ends(), Ends(dataclasses.replace(EVERYTHING, groups=False))
    for ends in (with_groups, without):
        ends.carry(packets)
    assert records.Encoding.GROUP in with_groups.encodings
    assert records.Encoding.GROUP not in without.encodings
    assert with_groups.sent_bytes < 0.95 * without.sent_bytes


def largest_group(*, others: bool) -> int:
    """Bytes of the longest record after a while, with or without another flow that waits as well."""
    ends, rng = Ends(), random.Random(1)
    words = [rng.randbytes(4).hex().encode() + b" " for _ in range(400)]
    payloads = [b"".join(rng.choices(words, k=150))[:1344] for _ in range(64)]
    ends.queue([segment(payload, sequence=1 + number * 1344) for number, payload in enumerate(payloads)])
    if others:
        ends.queue([segment(payload, sequence=1 + n * 1344, port=50_001) for n, payload in enumerate(payloads)])
    longest = size = 0
    for payload in iter(lambda: ends.composer.compose(MAX_SYMBOL), b""):
        for record in records.decode(payload):
            size = len(record.body) + (0 if record.is_first else size)
            longest = max(longest, size)
    return longest


def test_a_group_is_longer_than_a_symbol_only_while_nobody_else_waits() -> None:
    assert largest_group(others=False) > 1.5 * MAX_SYMBOL
    assert largest_group(others=True) < 1.2 * MAX_SYMBOL


def test_effort_follows_what_the_path_is_known_to_carry() -> None:
    sizes = []
    for found in (RATE, 1e6):
        ends = Ends()
        for number in range(20):
            packet = segment(text(random.Random(number), 1344), sequence=1 + number * 1344)
            parsed = inner.parse(packet)
            assert parsed is not None
            ends.composer.add(packet, parsed, rate=1e6, found=found, prompt_id=0, now=0.0)
        ends.cross()
        sizes.append(ends.sent_bytes)
    assert sizes[0] < 0.9 * sizes[1]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_waits_comes_out_in_order_and_as_it_was(data: st.DataObject) -> None:
    """Short payloads, noise, other flags, windows, sacks, wrong checksums, packets of another flow between them."""
    rng = random.Random(data.draw(st.integers(0, 1 << 32)))
    ends, begin = Ends(), 1
    for _ in range(4):
        packets, others = [], []
        for _ in range(data.draw(st.integers(1, 20))):
            size = rng.choice([1, 31, 32, 200, 1344, 1344, 1344])
            payload = rng.randbytes(size) if rng.random() < 0.1 else text(rng, size)
            packet = segment(payload, sequence=begin, acknowledgement=rng.choice([1, 1, 9]))
            if rng.random() < 0.05:
                packet = packet[:-1] + bytes((packet[-1] ^ 1,))
            begin += 0 if rng.random() < 0.05 else size
            packets.append(packet)
            if rng.random() < 0.2:
                others.append(segment(text(rng, 500), sequence=rng.randrange(1 << 32), port=50_001))
        ends.queue([*packets, *others])
        delivered = ends.cross()
        assert [packet for packet in delivered if packet in set(packets)] == packets
        assert sorted(delivered) == sorted([*packets, *others])


def test_trains_are_told_in_groups_too() -> None:
    ends, rng = Ends(), random.Random(1)
    ends.carry(segments(rng, [1344] * 4))
    packet = segment(text(rng, 10 * 1344), sequence=1 + 4 * 1344)
    parsed, train = inner.parse(packet), Train.of(SuperPacket(packet, 1344))
    assert parsed is not None
    assert train is not None
    ends.composer.add_train(train, parsed, rate=RATE, now=0.0)
    delivered = ends.cross()
    assert b"".join(each[40:] for each in delivered) == packet[40:]
    assert sum(record.encoding == records.Encoding.GROUP for record in ends.sent) > 1


def test_noise_among_text_goes_as_it_is_and_what_is_behind_it_too() -> None:
    ends = Ends()
    ends.carry(segments(random.Random(1), [1344] * 8))
    ends.carry(segments(random.Random(2), [1344] * 12, begin=1 + 8 * 1344, noise=frozenset({2, 3, 7})))
    assert records.Encoding.DELTA in ends.encodings


def test_a_group_that_does_not_shrink_goes_packet_by_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Ends()
    ends.carry(segments(random.Random(1), [1344] * 4))
    monkeypatch.setattr(type(ends.composer._streams), "compress", lambda *_, **__: None)
    ends.sent.clear()
    ends.carry(segments(random.Random(2), [1344] * 4, begin=1 + 4 * 1344))
    assert ends.encodings == {records.Encoding.DELTA}


def test_a_request_with_credentials_is_in_no_group() -> None:
    ends, rng = Ends(), random.Random(1)
    ends.carry(segments(rng, [1344] * 4))
    ends.sent.clear()
    secret = b"GET / HTTP/1.1\r\nCookie: session=7f3a9c\r\n\r\n".ljust(1344)
    begin = 1 + 4 * 1344
    packets = [
        segment(text(rng, 1344), sequence=begin),
        segment(secret, sequence=begin + 1344),
        segment(text(rng, 1344), sequence=begin + 2 * 1344),
    ]
    ends.carry(packets)
    assert secret in b"".join(record.body for record in ends.sent)


def test_a_group_of_nonsense_is_dropped_and_the_sender_told() -> None:
    delta = (b"\0", 1344)
    bomb = zstd.compressor(zstd.QUICK, b"").compress(bytes(10 << 20))
    bodies = [
        b"",
        groups.encode([delta, delta], b"\0\0" + bomb, is_new=True),
        groups.encode([delta, delta], b"\x03\0" + bomb, is_new=True),  # a dictionary that is for packets only
        groups.encode([delta, delta], b"\x09\0" + bomb, is_new=True),  # one that nobody has
        groups.encode([delta, delta], b"\0piece", is_new=False),  # of a stream that nobody has
        groups.encode([delta, delta], b"\x01\0piece", is_new=True),
        groups.encode([(b"\0\0", 5), delta], b"\0piece", is_new=False),
    ]
    for body in bodies:
        ends = Ends()
        ends.carry(segments(random.Random(1), [1344] * 2))
        record = records.Record(records.Encoding.GROUP, True, True, 0, 2, body)
        with pytest.raises(PeerError):
            ends.receiver.on_symbol(frames.Symbol(ends._symbols, records.encode(record, is_sized=False)), 0.0)
        assert ends.receiver.take_packets() == []
        assert ends.receiver.take_lost() == [frames.Lost(frames.LOST_LANE, 0)]


@pytest.mark.parametrize("sizes", [[1344, 1343], [1344, 1345], [1344, 1344, 1]])
def test_sizes_that_are_not_the_pieces_are_refused(sizes: list[int]) -> None:
    ends, rng = Ends(), random.Random(1)
    ends.carry(segments(rng, [1344] * 2))
    packed = ends.composer._streams.compress(
        0,
        text(rng, 2688),
        effort=next(iter(ends.composer._streams._streams.values())).effort,
        kind=1,  # type: ignore[arg-type]
    )
    assert packed is not None
    body = groups.encode([(b"\0", size) for size in sizes], packed[1], is_new=packed[0])
    record = records.Record(records.Encoding.GROUP, True, True, 0, 2, body)
    with pytest.raises(PeerError, match="malformed"):
        ends.receiver.on_symbol(frames.Symbol(ends._symbols, records.encode(record, is_sized=False)), 0.0)
    assert ends.receiver.take_packets() == []


def test_a_peer_without_the_feature_refuses_groups() -> None:
    ends = Ends(EVERYTHING, dataclasses.replace(EVERYTHING, groups=False))
    ends.queue(segments(random.Random(1), [1344] * 12))
    with pytest.raises(PeerError, match="malformed"):
        ends.cross()


def test_trains_of_noise_are_cut_without_a_look_at_each_packet_while_their_flow_rests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends, rng, looked = Ends(), random.Random(1), 0
    next_packet = Train.next_packet

    def count(train: Train) -> bytes:
        nonlocal looked
        looked += 1
        return next_packet(train)

    monkeypatch.setattr(Train, "next_packet", count)
    begin, expected, delivered = 1, b"", b""
    for number in range(30):
        payload = rng.randbytes(20 * 1344) if number < 25 else text(rng, 20 * 1344)
        packet = segment(payload, sequence=begin)
        begin += len(payload)
        parsed, train = inner.parse(packet), Train.of(SuperPacket(packet, 1344))
        assert parsed is not None
        assert train is not None
        ends.composer.add_train(train, parsed, rate=1e6, now=0.0)
        expected += payload
        delivered += b"".join(each[40:] for each in ends.cross())
        if number == 24:
            assert looked < 30
    assert delivered == expected
    assert ends.sent[-1].encoding in (records.Encoding.GROUP, records.Encoding.STREAM)


@pytest.mark.parametrize("end", ["sender", "receiver"])
def test_a_history_lost_at_either_end_heals(end: str) -> None:
    ends, rng = Ends(), random.Random(1)
    packets = segments(rng, [1344] * 40)
    ends.carry(packets[:10])
    if end == "sender":
        ends.composer._streams.forget(0)
        ends.carry(packets[10:20])
    else:
        ends.receiver._streams = Receiver(EVERYTHING)._streams
        ends.queue(packets[10:20])
        with pytest.raises(PeerError, match="reference"):
            ends.cross()
        ends._symbols += 1
        for lost in ends.receiver.take_lost():
            ends.composer.on_lost(lost)
        while ends.composer.has_data:  # what was under way meanwhile is lost as on any path
            with contextlib.suppress(PeerError):
                ends.cross()
            ends._symbols += 1
        ends.receiver.take_packets()
    ends.sent.clear()
    ends.carry(packets[20:])
    assert records.Encoding.GROUP in ends.encodings

"""What a packet is taken for: prompt, in order, in order for a while; and what a mark in its header changes."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from ghost.compression.agreement import Agreement
from ghost.simulation import packets
from ghost.tunnel.composer import COMPANY, LONG_SYMBOL, Composer
from ghost.tunnel.flows import SPARSE_BURST
from ghost.tunnel.receiver import Receiver
from ghost.wire import inner, records
from ghost.wire.records import Encoding, Record

HERE, THERE = (IPv4Address("10.77.0.2"), 40_000), (IPv4Address("192.0.2.7"), 443)
RATE = 1.25e6
PATIENCE = 0.15
LE, CS1, CS5, EF = 1, 8, 40, 46


def udp(payload: bytes = b"frame", *, dscp: int = 0) -> bytes:
    packet = packets.udp(HERE, THERE, payload)
    return packet[:1] + bytes([dscp << 2]) + packet[2:]


def is_prompt(composer: Composer, packet: bytes, *, now: float = 0.0) -> bool:
    parsed = inner.parse(packet)
    assert parsed is not None
    return composer.add(packet, parsed, rate=RATE, prompt_id=0, now=now) is not None


@pytest.mark.parametrize(("dscp", "expected"), [(0, True), (EF, True), (CS5, True), (LE, False), (CS1, False)])
def test_who_asks_for_less_gets_less(dscp: int, expected: bool) -> None:
    assert is_prompt(Composer(Agreement()), udp(dscp=dscp)) == expected


def test_who_asks_for_more_gets_what_his_behaviour_is_worth() -> None:
    composer = Composer(Agreement())
    many = [is_prompt(composer, udp(bytes(1000), dscp=EF)) for _ in range(100)]
    assert sum(many) == pytest.approx(SPARSE_BURST / 1028, abs=1)
    assert many[0]
    assert not many[-1]


def test_a_flow_that_changes_its_behaviour_changes_its_class() -> None:
    composer = Composer(Agreement())
    for _ in range(100):
        is_prompt(composer, udp(bytes(1000)))
    assert not is_prompt(composer, udp())
    assert is_prompt(composer, udp(), now=10.0)


def symbol(sequence: int, packet: bytes) -> bytes:
    return records.encode(Record(Encoding.PLAIN, True, True, 3, sequence, packet), is_sized=False)


def frames_of(count: int) -> list[bytes]:
    return [packets.udp(HERE, THERE, bytes([number])) for number in range(count)]


def test_a_stream_waits_for_its_order() -> None:
    receiver, stream = Receiver(Agreement()), frames_of(4)
    for sequence in (0, 2, 3):
        receiver.take_symbol(sequence, symbol(sequence, stream[sequence]), 1.0)
    assert receiver.take_packets() == stream[:1]
    receiver.take_symbol(1, symbol(1, stream[1]), 1.1)
    assert receiver.take_packets() == stream[1:]
    assert receiver.next_release(PATIENCE) is None


def test_a_stream_does_not_wait_for_ever_and_takes_what_comes_late() -> None:
    receiver, stream = Receiver(Agreement()), frames_of(6)
    for sequence, now in ((0, 1.0), (2, 1.1), (3, 1.2), (5, 1.2)):
        receiver.take_symbol(sequence, symbol(sequence, stream[sequence]), now)
    assert receiver.take_packets() == stream[:1]
    assert receiver.next_release(PATIENCE) == pytest.approx(1.25)
    receiver.release(1.25, PATIENCE)
    assert receiver.take_packets() == stream[2:4]
    assert receiver.next_release(PATIENCE) == pytest.approx(1.4), "another gap, another wait"
    receiver.take_symbol(1, symbol(1, stream[1]), 1.3)
    assert receiver.take_packets() == stream[1:2]
    receiver.take_symbol(4, symbol(4, stream[4]), 1.3)
    assert receiver.take_packets() == stream[4:]
    assert receiver.next_release(PATIENCE) is None


def test_tcp_waits_as_long_as_it_takes() -> None:
    receiver = Receiver(Agreement())
    segment = packets.tcp(HERE, THERE, sequence=1, acknowledgement=2, flags=packets.ACK, payload=b"x")
    receiver.take_symbol(1, symbol(1, segment), 1.0)
    assert receiver.next_release(PATIENCE) is None
    receiver.release(100.0, PATIENCE)
    assert receiver.take_packets() == []


THIN = 32_000.0  # bytes a second


def symbols_of(composer: Composer) -> list[int]:
    """The sizes of the symbols that are made of what waits."""
    sizes = []
    while composer.has_data:
        sizes.append(len(composer.compose(composer.new_symbol)))
    return sizes


def download(composer: Composer, *, rate: float, count: int = 6) -> None:
    for number in range(count):
        packet = packets.tcp(
            (THERE[0], 80), HERE, sequence=1300 * number, acknowledgement=1, flags=packets.ACK, payload=bytes(1300)
        )
        parsed = inner.parse(packet)
        assert parsed is not None
        composer.add(packet, parsed, rate=rate, prompt_id=0, now=0.0)


def key(*, port: int = 22) -> bytes:
    return packets.tcp(
        HERE, (THERE[0], port), sequence=1, acknowledgement=1, flags=packets.ACK | packets.PUSH, payload=b"key " * 9
    )


@pytest.mark.parametrize("hurried", [udp(), key()])
def test_on_a_thin_path_nobody_in_a_hurry_waits_behind_a_long_packet(hurried: bytes) -> None:
    composer = Composer(Agreement())
    download(composer, rate=THIN)
    parsed = inner.parse(hurried)
    assert parsed is not None
    composer.add(hurried, parsed, rate=THIN, prompt_id=0, now=0.0)
    sizes = symbols_of(composer)
    assert max(sizes) <= LONG_SYMBOL * THIN
    assert sum(sizes) >= 6 * 1300


def test_symbols_are_long_where_nobody_waits_or_a_long_one_is_short() -> None:
    for rate, hurried in ((THIN, b""), (RATE, udp())):
        composer = Composer(Agreement())
        download(composer, rate=rate)
        if hurried:
            parsed = inner.parse(hurried)
            assert parsed is not None
            composer.add(hurried, parsed, rate=rate, prompt_id=0, now=0.0)
        assert max(symbols_of(composer)) > 1300


def test_when_the_hurry_is_over_symbols_are_long_again() -> None:
    composer = Composer(Agreement())
    assert is_prompt(composer, udp())
    composer.on_round_trip(0.3, COMPANY - 0.1)
    parsed = inner.parse(udp())
    assert parsed is not None
    composer.add(udp(), parsed, rate=THIN, prompt_id=1, now=0.0)
    assert composer.has_short_symbols
    composer.on_round_trip(0.3, COMPANY + 0.1)
    assert not composer.has_short_symbols


def test_a_packet_without_an_order_crosses_in_short_symbols_too() -> None:
    composer = Composer(Agreement())
    for number in range(100):  # no longer sparse, hence no longer prompt
        is_prompt(composer, udp(bytes([number]) * 1300))
    symbols_of(composer)
    is_prompt(composer, udp(b"x" * 1300))
    other = packets.udp(HERE, (THERE[0], 53), b"query")
    parsed = inner.parse(other)
    assert parsed is not None
    composer.add(other, parsed, rate=THIN, prompt_id=0, now=0.0)
    sizes = symbols_of(composer)
    assert len(sizes) >= 3
    assert max(sizes) <= LONG_SYMBOL * THIN

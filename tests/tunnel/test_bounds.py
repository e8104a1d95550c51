"""An invited client that lies: its packets are authentic, their content is nonsense, and the server holds out."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from ghost.chaos.spec import LinkSpec
from ghost.errors import PeerError
from ghost.reliability.acks import MAX_OWED
from ghost.reliability.send_window import MAX_SYMBOLS
from ghost.simulation.pair import Pair
from ghost.wire import frames, records
from ghost.wire.records import UNORDERED, Encoding, Record

MEGABYTE = 1 << 20


def held_by(work: Callable[[], object]) -> int:
    """Bytes still allocated after `work`."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def ack(first: int, packets: int, *, behind: int = 0, floor: int = 0, symbols: int = 0) -> bytes:
    return frames.encode_ack(frames.Ack(first, packets, behind, 0, 0.0, floor, symbols, 0, 0))


def says_goodbye(plaintext: bytes) -> bool:
    with contextlib.suppress(PeerError):
        return any(isinstance(frame, frames.Close) for frame in frames.decode(plaintext))
    return False


@pytest.fixture
def peer(liar: Callable[[Pair], Any]) -> Any:
    """A liar whose handshake is confirmed."""
    liar_ = liar(Pair(LinkSpec()))
    liar_.send(frames.PING)
    return liar_


def test_an_acknowledgement_of_what_was_never_sent_is_counted_and_believed_by_nobody(peer: Any) -> None:
    before = peer.server.snapshot(peer.now)["peers"][0]
    for first in (5_000, 1 << 20, (1 << 32) - 1):
        peer.send(ack(first, 0b1111))
    after = peer.server.snapshot(peer.now)["peers"][0]
    assert peer.dropped("ack") == 3
    assert [after[fact] for fact in ("loss", "rtt_ms", "rate_bps")] == [
        before[fact] for fact in ("loss", "rtt_ms", "rate_bps")
    ]


@pytest.mark.parametrize("seed", range(3))
def test_any_acknowledgements_are_survived(peer: Any, seed: int) -> None:
    rng = random.Random(seed)

    def talk_nonsense() -> None:
        for _ in range(1000):
            first = rng.choice([rng.randrange(20), rng.getrandbits(32)])
            packets, behind = rng.getrandbits(rng.randrange(1, 2000)) | 1, rng.choice([0, 1, rng.getrandbits(16)])
            peer.send(ack(first, packets, behind=behind, floor=rng.getrandbits(24), symbols=1))
            peer.wait(0.005)

    assert held_by(talk_nonsense) < 8 * MEGABYTE, f"seed {seed}"


def acks(plaintexts: list[bytes]) -> list[frames.Ack]:
    return [frame for text in plaintexts for frame in frames.decode(text) if isinstance(frame, frames.Ack)]


def test_an_acknowledgement_tells_of_the_packet_that_arrived_last(peer: Any) -> None:
    peer.numbers = 10
    peer.say(frames.encode_prompt(0, b"x"))
    peer.now += 0.005
    peer.numbers = 4
    first, *others = acks(peer.send(frames.PING))
    assert (first.behind, first.delay) == (6, 0.0)
    assert first.received_clock == int(peer.now * 1e6) & 0xFFFFFFFF
    assert others == []


def test_every_ping_of_a_flood_is_answered_up_to_a_limit(peer: Any) -> None:
    for _ in range(100):
        peer.say(frames.PING)
    assert len(acks(peer.listen())) == MAX_OWED


def test_a_newest_packet_further_behind_than_the_field_can_say_is_clamped(peer: Any) -> None:
    peer.say(frames.PING)
    peer.numbers = 100_000
    peer.say(b"")
    (answer,) = acks(peer.listen())
    assert answer.behind == 0xFFFF


def test_symbols_far_ahead_are_refused(peer: Any) -> None:
    record = records.encode(Record(0, True, True, 1, 0, b"x"), is_sized=False)
    for symbol_id in (MAX_SYMBOLS + 1, 1 << 16, 1 << 22):
        peer.send(frames.encode_symbol(symbol_id, record))
    assert peer.dropped("window") == 3


def test_a_window_full_of_records_that_wait_for_ever_is_all_a_peer_can_claim(peer: Any) -> None:
    """Every flow, every symbol of the window but the first, every record of a symbol, none deliverable."""
    rng = random.Random(1)
    size = 1300 // records.MAX_RECORDS - 8

    def fill() -> None:
        for symbol_id in range(1, MAX_SYMBOLS + 101):
            placed = [
                Record(0, True, True, (symbol_id * 8 + index) % 1024, 1 + symbol_id // 128, rng.randbytes(size))
                for index in range(records.MAX_RECORDS)
            ]
            run = b"".join(records.encode(record, is_sized=index < 7) for index, record in enumerate(placed))
            peer.say(frames.encode_symbol(symbol_id, run))

    held = held_by(fill)
    assert peer.dropped("window") == 100
    print(f"a peer can make the server hold {held / MEGABYTE:.1f} MB")
    assert held < 32 * MEGABYTE


def test_a_bomb_inside_a_record_costs_nothing(peer: Any) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=False, write_checksum=False, window_log=16
    )
    bomb = zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(10 * MEGABYTE))
    record = records.encode(Record(Encoding.ZSTD, True, True, UNORDERED, 0, bomb), is_sized=False)
    tracemalloc.start()
    try:
        peer.send(frames.encode_symbol(0, record))
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()
    assert peer.dropped("malformed") == 1


def test_a_flood_of_challenges_gets_few_echoes(peer: Any) -> None:
    answer = b"".join(peer.send(frames.encode_challenge(b"12345678") * 100))
    assert 1 <= answer.count(frames.encode_response(b"12345678")) <= 8


def test_packets_from_an_address_that_is_not_the_peers_own_go_nowhere(peer: Any) -> None:
    record = records.encode(Record(0, True, True, UNORDERED, 0, b"no IP packet at all"), is_sized=False)
    peer.send(frames.encode_symbol(0, record))
    assert peer.dropped("inner_source") == 1
    assert peer.server.packets_to_deliver() == []


@pytest.mark.parametrize("seed", range(3))
def test_authentic_nonsense_is_malformed_and_never_an_error(peer: Any, seed: int) -> None:
    """Random bytes, and random damage to frames that make sense."""
    rng = random.Random(seed)
    record = records.encode(Record(0, True, True, 3, 0, b"body"), is_sized=False)
    sensible = [
        ack(0, 1),
        frames.encode_symbol(1, record),
        frames.encode_prompt(1, record),
        frames.encode_repair(frames.Repair(1, 0, 0b1011, b"coded bytes")),
        frames.encode_challenge(bytes(8)),
        frames.PING,
    ]

    def talk_nonsense() -> None:
        for _ in range(2000):
            plaintext = bytearray(rng.choice([rng.randbytes(rng.randrange(1, 200)), *sensible]))
            for _ in range(rng.randrange(4)):
                plaintext[rng.randrange(len(plaintext))] = rng.randrange(256)
            if not says_goodbye(bytes(plaintext)):
                peer.send(bytes(plaintext))
                peer.wait(0.001)

    assert held_by(talk_nonsense) < 8 * MEGABYTE, f"seed {seed}"
    assert peer.dropped("malformed") > 300, f"seed {seed}"

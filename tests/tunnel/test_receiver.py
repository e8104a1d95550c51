"""The receiving pipeline: each flow in order, none waiting for another, each packet once."""

from __future__ import annotations

import itertools
import random

import pytest

from ghost.compression.agreement import Agreement
from ghost.compression.payload import PacketCompressor, Shrinkage
from ghost.errors import PeerError
from ghost.tunnel.receiver import Receiver
from ghost.wire import records
from ghost.wire.frames import Prompt, Symbol
from ghost.wire.records import UNORDERED, Encoding, Record


def symbol(symbol_id: int, *placed: Record) -> Symbol:
    last = len(placed) - 1
    data = b"".join(records.encode(record, is_sized=index < last) for index, record in enumerate(placed))
    return Symbol(symbol_id, data)


def whole(flow: int, sequence: int, body: bytes, encoding: int = Encoding.PLAIN) -> Record:
    return Record(encoding, True, True, flow, sequence, body)


def receive(receiver: Receiver, *symbols: Symbol) -> list[bytes]:
    for each in symbols:
        receiver.on_symbol(each, 0.0)
    return receiver.take_packets()


def test_a_flow_waits_for_its_own_gap_and_no_other_does() -> None:
    receiver = Receiver(Agreement())
    assert receive(receiver, symbol(1, whole(1, 1, b"second"))) == []
    assert receive(receiver, symbol(2, whole(2, 0, b"other flow"))) == [b"other flow"]
    assert receive(receiver, symbol(3, whole(UNORDERED, 0, b"no order"))) == [b"no order"]
    assert receive(receiver, symbol(0, whole(1, 0, b"first"))) == [b"first", b"second"]


def test_a_packet_in_parts_is_joined_whatever_order_they_come_in() -> None:
    parts = [
        symbol(0, Record(0, True, False, 1, 0, b"one ")),
        symbol(1, Record(0, False, False, 1, 1, b"two ")),
        symbol(2, Record(0, False, True, 1, 2, b"three"), whole(1, 3, b"next")),
    ]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        receiver = Receiver(Agreement())
        assert receive(receiver, *(parts[index] for index in order)) == [b"one two three", b"next"]


def test_a_symbol_seen_again_delivers_nothing_and_is_counted() -> None:
    receiver = Receiver(Agreement())
    first = symbol(0, whole(UNORDERED, 0, b"once"))
    assert receive(receiver, first, first) == [b"once"]
    assert receiver.redundant == 1


def test_copies_of_a_prompt_record_deliver_once() -> None:
    receiver = Receiver(Agreement())
    record = records.encode(whole(UNORDERED, 0, b"ping"), is_sized=False)
    for prompt_id in (3, 3, 1, 2, 1):
        receiver.on_prompt(Prompt(prompt_id, record), 0)
    assert receiver.take_packets() == [b"ping"] * 3


def test_prompt_ids_run_on_over_their_wrap() -> None:
    receiver = Receiver(Agreement())
    record = records.encode(whole(UNORDERED, 0, b"ping"), is_sized=False)
    for prompt_id in range(70_000):
        receiver.on_prompt(Prompt(prompt_id & 0xFFFF, record), 0)
    assert len(receiver.take_packets()) == 70_000


@pytest.mark.parametrize("seed", range(10))
def test_any_order_and_any_duplication_give_every_flow_its_stream(seed: int) -> None:
    """Packets of many sizes over four flows, cut into records as they fall, shuffled within the window."""
    rng = random.Random(seed)
    compressor = PacketCompressor()
    sequences, packets, placed = [0] * 4, [[] for _ in range(4)], []
    for number in range(400):
        flow = rng.randrange(4)
        packet = b"%d:" % number + b"text " * rng.randrange(200)
        packets[flow].append(packet)
        body = compressor.compress(packet, Shrinkage())
        encoding = Encoding.PLAIN if body is None else Encoding.ZSTD
        body = body or packet
        cuts = sorted({0, len(body), *(rng.randrange(len(body)) for _ in range(rng.randrange(3)))})
        for start, end in itertools.pairwise(cuts):
            placed.append(Record(encoding, start == 0, end == len(body), flow, sequences[flow], body[start:end]))
            sequences[flow] += 1
    symbols = []
    while placed:
        count = rng.randrange(1, records.MAX_RECORDS + 1)
        symbols.append(symbol(len(symbols), *placed[:count]))
        del placed[:count]
    arrivals = [each for each in symbols for _ in range(rng.choice([1, 1, 2]))]
    rng.shuffle(arrivals)
    receiver = Receiver(Agreement(zstd=True))
    delivered = receive(receiver, *arrivals)
    for flow in range(4):
        mine = set(packets[flow])
        assert [packet for packet in delivered if packet in mine] == packets[flow], f"seed {seed}"
    assert len(delivered) == 400


@pytest.mark.parametrize(
    "record",
    [
        Record(Encoding.ZSTD, True, True, UNORDERED, 0, b"no compression was agreed upon"),
        Record(9, True, True, UNORDERED, 0, b"no such encoding"),
        Record(Encoding.PLAIN, True, False, UNORDERED, 0, b"a part without an order"),
        whole(records.MAX_FLOWS, 0, b"a flow beyond the last"),
    ],
    ids=lambda record: record.body.decode(),
)
def test_a_record_that_makes_no_sense_is_malformed(record: Record) -> None:
    with pytest.raises(PeerError, match="malformed"):
        receive(Receiver(Agreement()), symbol(0, record))


def test_a_packet_that_never_ends_is_cut_off() -> None:
    receiver = Receiver(Agreement())
    with pytest.raises(PeerError, match="malformed"):
        for sequence in range(100):
            receive(receiver, symbol(sequence, Record(0, sequence == 0, False, 1, sequence, bytes(1300))))

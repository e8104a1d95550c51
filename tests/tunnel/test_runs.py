"""Datagrams that arrive together change what they would have changed one by one, good and bad ones alike."""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from ghost.compression.agreement import Agreement
from ghost.compression.trains import SuperPacket, Train
from ghost.simulation import packets
from ghost.tunnel.composer import Composer
from ghost.tunnel.receiver import Receiver
from ghost.tunnel.runs import segments_in_order, stretches
from ghost.wire import frames, inner

HERE, THERE = (IPv4Address("10.77.0.2"), 40000), (IPv4Address("192.0.2.7"), 443)
SEGMENT = 1344
KINDS = ("symbol", "skip", "again", "ping", "nonsense", "patient", "empty")
WEIGHTS = (60, 0.3, 2, 2, 1, 1, 1)
COUNTERS = ("received_bytes", "received_packets", "expected_packets", "redundant_packets")
Connected = Callable[..., object]


def test_stretches_are_of_consecutive_headers_and_cover_them_all() -> None:
    rng = random.Random(1)
    for _ in range(200):
        headers, number = [], rng.randrange(1 << 63)
        for _ in range(rng.randrange(1, 70)):
            headers.append(number)
            number += 1 if rng.random() < 0.9 else rng.randrange(2, 99)
        found = list(stretches(tuple(headers)))
        assert [at for start, end in found for at in range(start, end)] == list(range(len(headers)))
        assert all(headers[start:end] == [headers[start] + n for n in range(end - start)] for start, end in found)
        assert all(headers[end] != headers[end - 1] + 1 for _, end in found[:-1])


@pytest.mark.parametrize(
    ("spoilt", "count"),
    [
        ({}, 6),
        ({5: b"\0\7\0\0\5body"}, 5),
        ({2: b"\0\7\0\3\0body"}, 2),
        ({3: b"\0\7\0\3\0bod"}, 3),
        ({4: b"\0\7\0\4\0GET "}, 4),
    ],
)
def test_segments_in_order_end_at_the_first_that_is_not_plain(spoilt: dict[int, bytes], count: int) -> None:
    symbols = [b"\0\7" + bytes((0, at)) + b"\0body" for at in range(6)]
    for at, symbol in spoilt.items():
        symbols[at] = symbol
    assert segments_in_order(symbols, 0, 99, head=symbols[0][:5], size=4) == count
    assert segments_in_order(symbols, 1, 2, head=symbols[1][:5], size=4) == min(count - 1, 2)


def plaintexts(liar: object, seed: int) -> list[bytes]:
    """What a sender may say: mostly symbols in order, among them everything else."""
    rng = random.Random(seed)
    said, symbol_id = [], 0
    for _ in range(150):
        body = rng.randbytes(20)
        packet = packets.udp((liar.hello.interface.ip, 5), THERE, body)  # type: ignore[attr-defined]
        kind = rng.choices(("symbol", "skip", "again", "ping", "nonsense", "patient", "empty"), (60, 3, 2, 2, 1, 1, 1))[
            0
        ]
        if kind == "ping":
            said.append(frames.PING)
        elif kind == "nonsense":
            said.append(b"\x0f" + body)
        elif kind == "empty":
            said.append(frames.encode_symbol(symbol_id, b""))
        else:
            symbol_id += {"skip": 2, "again": 0}.get(kind, 1)
            encode = frames.encode_patient_symbol if kind == "patient" else frames.encode_symbol
            said.append(encode(symbol_id - 1, b"\x30" + packet))
    return said


@pytest.mark.parametrize("seed", range(8))
def test_a_server_that_takes_them_together_does_what_it_does_one_by_one(
    connected: Connected, liar: Callable[..., object], seed: int
) -> None:
    outcomes = []
    for sizes in ((1,), (150,), (7, 3, 20)):
        sender = liar(connected("rate=10mbit", seed=seed))
        sender.send(frames.PING)
        rng = random.Random(seed)
        sealed = [sender.seal(text) for text in plaintexts(sender, seed)]
        for _ in range(6):  # lost, repeated, forged, cut, overtaken
            at = rng.randrange(len(sealed) - 2)
            sealed[at + 1], sealed[at] = sealed[at], sealed[at + 1]
            sealed.insert(at, sealed[rng.randrange(len(sealed))])
            del sealed[rng.randrange(len(sealed))]
            damaged = bytearray(sealed[at])
            damaged[rng.randrange(8, len(damaged))] ^= 1
            sealed[at] = bytes(damaged)
            sealed.insert(at, sealed[at][: rng.randrange(30)])
        delivered, at, turn = [], 0, 0
        while at < len(sealed):
            size = sizes[turn % len(sizes)]
            sender.server.receive_datagrams(sealed[at : at + size], sender.address, sender.now)
            delivered += sender.server.packets_to_deliver()
            at, turn = at + size, turn + 1
        status = sender.server.snapshot(sender.now)
        peer = next(peer for peer in status["peers"] if peer["name"] == "liar")
        counts = {key: peer[key] for key in COUNTERS}
        outcomes.append((delivered, status["dropped"], counts, sender.listen()))
    assert outcomes[1] == outcomes[0]
    assert outcomes[2] == outcomes[0]
    assert len(outcomes[0][0]) > 50


def composed(payloads: list[bytes]) -> list[bytes]:
    composer = Composer(Agreement(headers=True))
    symbols, sequence, clock = [], 1000, 50
    for payload in payloads:
        packet = packets.tcp(HERE, THERE, sequence=sequence, acknowledgement=clock, flags=0x10, payload=payload)
        parsed, train = inner.parse(packet), Train.of(SuperPacket(packet, SEGMENT))
        assert parsed is not None
        assert train is not None
        composer.add_train(train, parsed, rate=1e9, now=0.0)
        while composer.has_data:
            symbols += composer.compose_run(64, beyond=0)
        sequence, clock = sequence + len(payload), clock + 1
    return symbols


def test_a_run_of_trains_brings_the_same_stream_in_as_few_packets() -> None:
    rng = random.Random(5)
    payloads = [rng.randbytes(size) for size in (9 * SEGMENT, 30 * SEGMENT + 5, 40 * SEGMENT, 20 * SEGMENT)]
    payloads.insert(2, b"GET /" + rng.randbytes(6 * SEGMENT))
    symbols = composed(payloads)
    alone, together = (Receiver(Agreement(headers=True), joins_segments=True) for _ in range(2))
    for symbol_id, symbol in enumerate(symbols):
        alone.take_symbol(symbol_id, symbol, 0.0)
    assert together.takes_runs
    assert not together.take_run(symbols, 0.0)
    delivered = together.take_packets()
    assert delivered == alone.take_packets()
    data = b"".join((item.packet if isinstance(item, SuperPacket) else item)[40:] for item in delivered)
    assert data == b"".join(payloads)
    assert len(delivered) < 12
    assert together.window.report() == alone.window.report() == (len(symbols), 0)

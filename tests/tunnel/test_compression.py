"""Compression inside a connection: contexts heal, secrets stay unguessed, and nothing is larger than it was."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import pytest

from ghost.compression.agreement import Agreement
from ghost.constants import INNER_MTU
from ghost.errors import PeerError
from ghost.simulation import packets
from ghost.simulation.pair import Pair
from ghost.simulation.replay import EVERYTHING, Replay
from ghost.tunnel.composer import HEADERS_BELOW
from ghost.tunnel.receiver import Receiver
from ghost.wire import frames, inner, records

HERE, THERE = (IPv4Address("10.77.0.2"), 40_000), (IPv4Address("10.77.0.1"), 80)
MODES = {"headers": Agreement(headers=True), "auto": EVERYTHING}
SECRET = "Cookie: session=7f3a9c"


class Flow:
    """One direction of a TCP connection through a Replay; `sizes` are those of its records."""

    def __init__(self, replay: Replay, source: Any = HERE, destination: Any = THERE) -> None:
        self.replay = replay
        self.sizes: list[int] = []
        self._sequence = 1
        self._ends = source, destination

    def send(self, payload: bytes) -> int:
        packet = packets.tcp(
            *self._ends, sequence=self._sequence, acknowledgement=1, flags=packets.ACK, payload=payload
        )
        self._sequence += len(payload)
        carried = self.replay.carry(packet, 0.0)
        assert carried is not None
        self.sizes.append(carried.size)
        return carried.size


def words(rng: random.Random, count: int) -> bytes:
    return " ".join(rng.choice(["apple", "banana", "cherry", "damson", "elder"]) for _ in range(count)).encode()


def test_nothing_is_larger_than_its_packet_and_the_heads_of_frame_and_record() -> None:
    rng = random.Random(1)
    for size in (0, 1, 40, 500, INNER_MTU - 40):
        flow = Flow(Replay())
        for _ in range(50):
            assert flow.send(rng.randbytes(size) if rng.random() < 0.5 else words(rng, 300)[:size]) <= size + 40 + 6


def test_noise_costs_one_try_in_hundreds(monkeypatch: pytest.MonkeyPatch) -> None:
    replay = Replay()
    flow, rng, tries = Flow(replay), random.Random(1), 0

    def count(*arguments: object, **options: object) -> None:
        nonlocal tries
        tries += 1

    monkeypatch.setattr(type(replay.composer._streams), "compress", count)
    for _ in range(1000):
        flow.send(rng.randbytes(1300))
    assert tries == 0  # the sample of its bytes is enough
    assert flow.sizes[-1] <= 1300 + 3 + 4


@pytest.mark.parametrize("agreement", MODES.values(), ids=MODES)
def test_noise_at_a_high_rate_keeps_its_headers_and_text_behind_it_shrinks(agreement: Agreement) -> None:
    flow, rng = Flow(Replay(agreement, rate=2 * HEADERS_BELOW)), random.Random(1)
    for _ in range(1500):
        flow.send(rng.randbytes(1300))
    assert flow.sizes[1000:].count(1340 + 4) > 490
    for _ in range(300):
        flow.send(words(rng, 300)[:1300])
    assert flow.sizes[-1] < (400 if agreement.zstd else 1345)


def test_a_lane_whose_context_is_lost_heals_itself() -> None:
    replay, rng = Replay(), random.Random(1)
    flow = Flow(replay)
    for _ in range(5):
        flow.send(words(rng, 150))
    old, replay.receiver = replay.receiver, Receiver(EVERYTHING)
    replay.receiver.window = old.window
    replay.receiver._flows[0] = type(next(iter(old._flows.values())))()
    replay.receiver._flows[0].next_sequence = old._flows[0].next_sequence
    with pytest.raises(PeerError, match="reference"):
        flow.send(words(rng, 150))
    lost = replay.receiver.take_lost()
    assert lost == [frames.Lost(frames.LOST_LANE, 0)]
    assert frames.decode(frames.encode_lost(lost[0])) == lost
    replay.composer.on_lost(lost[0])
    replay._symbol_id += 1
    for _ in range(5):
        flow.send(words(rng, 150))


def test_a_packet_that_cannot_be_restored_keeps_no_other_from_being_delivered() -> None:
    receiver = Receiver(EVERYTHING)
    whole = records.Record(records.Encoding.PLAIN, True, True, 2, 0, b"another flow's")
    broken = records.Record(records.Encoding.DELTA, True, True, 1, 0, b"\0payload")
    symbol = records.encode(broken, is_sized=True) + records.encode(whole, is_sized=False)
    with pytest.raises(PeerError, match="reference"):
        receiver.on_symbol(frames.Symbol(0, symbol), 0.0)
    assert receiver.take_packets() == [b"another flow's"]


@pytest.mark.parametrize("number", [0, 5000])
def test_news_of_what_was_never_used_changes_nothing(number: int) -> None:
    replay = Replay()
    for what in (frames.LOST_LANE, frames.LOST_REFERENCE, 7):
        replay.composer.on_lost(frames.Lost(what, number))
    Flow(replay).send(b"x" * 100)


def test_contexts_heal_over_a_connection(connected: Callable[..., Pair], talk: Callable[..., Any]) -> None:
    """The server forgets all that it knew of the client's flows in the middle of a conversation."""
    pair = connected("rate=10mbit,delay=20ms")
    talk(pair, end=pair.now + 2, tcp=2, udp=1, size=900, is_two_way=False)
    pair.run(1)
    session = next(iter(pair.server._sessions.values()))
    receiver = session.connection.receiver
    fresh = Receiver(EVERYTHING)
    receiver._references, receiver._streams = fresh._references, fresh._streams
    for flow in receiver._flows.values():
        flow.header = None
    before = session.connection.inner_received_bytes
    pair.run(3)
    assert pair.server.snapshot(pair.now)["dropped"]["reference"] < 20
    assert session.connection.inner_received_bytes - before > 0.7 * before


# ---- what an attacker learns who chooses text beside a secret, and sees lengths ---------------------------------


def guess_by_length(make: Callable[[bytes], int], known: str, tries: list[str]) -> set[str]:
    """The continuations of `known` that look best by length: CRIME's step. All, where lengths say nothing.

    Every guess is made behind fillers of several lengths, so that rounding lengths up does not hide the difference.
    """
    sizes = {each: sum(make(b"%" * filler + (known + each).encode()) for filler in range(32)) for each in tries}
    best = min(sizes.values())
    return {each for each, size in sizes.items() if size == best}


def request(replay: Replay, chosen: bytes) -> int:
    """A browser asks for a path of the attacker's choice and adds its cookie."""
    flow = Flow(replay)
    flow.send(b"GET / HTTP/1.1\r\nHost: example\r\n" + SECRET.encode() + b"\r\n\r\n" + b"x" * 200)
    return flow.send(b"GET /?" + chosen + b" HTTP/1.1\r\nHost: example\r\n" + SECRET.encode() + b"\r\n\r\n")


def reflection(replay: Replay, chosen: bytes) -> int:
    """A page repeats what the attacker asked for, beside a token that only the user should see."""
    flow = Flow(replay, THERE, HERE)
    flow.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"some words of a page, " * 20)
    return flow.send(b"<p>you asked for " + chosen + b"</p> " + b"token=7f3a9c " + words(random.Random(2), 60))


LETTERS = list(string.hexdigits[:16])
TOKENS = ["7f3a9c", *(f"{random.Random(number).getrandbits(24):06x}" for number in range(15))]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("known", "tries"), [(SECRET[:-6], LETTERS), (SECRET[:-6], TOKENS)], ids=["letter", "token"])
def test_lengths_say_nothing_of_a_cookie(mode: str, known: str, tries: list[str]) -> None:
    best = guess_by_length(lambda chosen: request(Replay(MODES[mode]), chosen), known, tries)
    assert best == set(tries), f"in mode {mode} the lengths single out {best}"


def test_lengths_do_tell_a_secret_that_nothing_announces() -> None:
    """What docs/security.md admits: the harness sees a leak where there is one, and none in the mode `headers`.

    At this rate: with other efforts the same guess is as good, but these tokens happen to share a rounded length.
    """
    best = {
        mode: guess_by_length(
            lambda chosen, mode=mode: reflection(Replay(MODES[mode], rate=200e3), chosen), "token=", TOKENS
        )
        for mode in MODES
    }
    print(best)
    assert best["headers"] == set(TOKENS)
    assert "7f3a9c" in best["auto"]
    assert len(best["auto"]) <= 3


def test_an_answer_to_a_request_with_a_cookie_has_no_history() -> None:
    composer, receiver = Replay(), Replay()
    receiver.receiver._distrust = composer.composer.distrust
    Flow(receiver).send(b"GET / HTTP/1.1\r\n" + SECRET.encode() + b"\r\n\r\n")
    answer = Flow(composer, THERE, HERE)
    for _ in range(3):
        answer.send(b"the same words again and again, " * 30)
    assert min(answer.sizes[1:]) > 960
    other = Flow(Replay(), THERE, HERE)
    for _ in range(3):
        other.send(b"the same words again and again, " * 30)
    assert max(other.sizes[1:]) < 200


def test_a_mark_across_two_packets_is_seen() -> None:
    flow, rng = Flow(Replay()), random.Random(1)
    head, tail = words(rng, 100) + b"\r\nSet-Coo", b"kie: a=b\r\n" + words(rng, 50)
    for payload in (words(rng, 150), words(rng, 150), head, tail):
        flow.send(payload)
    assert flow.sizes[1] < 500
    assert flow.send(words(rng, 150)) > 900


def test_flows_and_clients_share_no_history() -> None:
    secret = words(random.Random(5), 100)
    replay = Replay()
    first, second = Flow(replay), Flow(replay, (HERE[0], 40_001))
    alone = Flow(Replay(), (HERE[0], 40_001))
    for flow in (first, second, alone):
        flow.send(b"x" * 50)
    first.send(secret)
    assert second.send(secret) == alone.send(secret)


def test_the_key_of_the_other_direction_is_that_of_the_answers() -> None:
    keys = []
    for ends in ((HERE, THERE), (THERE, HERE)):
        parsed = inner.parse(packets.tcp(*ends, sequence=1, acknowledgement=1, flags=packets.ACK, payload=b"x"))
        assert parsed is not None
        keys.append(parsed.key)
    assert inner.reverse(keys[0]) == keys[1]


def test_what_was_saved_and_spent_adds_up(connected: Callable[..., Pair], talk: Callable[..., Any]) -> None:
    pair = connected("rate=10mbit,delay=20ms,loss=20%", profile="noise")
    talk(pair, end=pair.now + 3, tcp=2, udp=1, size=900)
    pair.run(5)
    figures = pair.client.snapshot(pair.now)["peers"][0]
    assert figures["saved_by_headers_bytes"] > 20 * 300
    assert figures["saved_by_payload_bytes"] > 10_000
    both = figures["saved_by_headers_bytes"] + figures["saved_by_payload_bytes"]
    assert figures["saved_by_compression_bytes"] == both
    spent = {key: value for key, value in figures.items() if key.startswith("spent_on_")}
    assert len(spent) == 5
    assert min(spent.values()) > 0
    assert sum(spent.values()) < figures["sent_bytes"]
    assert figures["sent_bytes"] - sum(spent.values()) > figures["inner_sent_bytes"] - both


def test_a_dictionary_is_used_only_where_both_ends_have_it() -> None:
    query = packets.udp(
        (HERE[0], 40_000),
        (THERE[0], 53),
        b"\x1a\x2b\1\0\0\1" + bytes(6) + b"\x0dd111111abcdef\x0acloudfront\3net\0\0\1\0\1",
    )
    without = Agreement(headers=True, zstd=True, streams=16)
    sizes = [carried.size for each in (EVERYTHING, without) if (carried := Replay(each).carry(query, 0.0)) is not None]
    assert sizes[0] < sizes[1]
    replay = Replay(EVERYTHING)
    replay.receiver = Receiver(without)
    with pytest.raises(PeerError, match="malformed"):
        replay.carry(query, 0.0)

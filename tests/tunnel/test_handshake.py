"""The handshake's messages: repeated early, with jitter, never twice the same bytes, and answered once per envelope."""

from __future__ import annotations

import itertools
import random

import pytest

from ghost.chaos.spec import LinkSpec
from ghost.errors import PeerError
from ghost.obfuscation.envelope import Envelope
from ghost.obfuscation.padding import PROFILES
from ghost.simulation.pair import CLIENT, Pair
from ghost.tunnel.handshake import (
    FIRST_REPEAT,
    JITTER,
    LONGEST_REPEAT,
    REPEATS_ANSWERED,
    REPLIES_REMEMBERED,
    ClientHandshake,
    ReplyCache,
)
from ghost.wire.hello import ClientHello


def begin(pair: Pair, *, seed: int = 1, timestamp: int = 1) -> ClientHandshake:
    rng = random.Random(seed)
    return ClientHandshake(
        backend=pair.backend,
        private_key=bytes([7]) * 32,
        invitation=pair.invitation,
        envelope=Envelope(pair.backend, pair.invitation.server_public_key),
        profile=PROFILES["noise"],
        hello=ClientHello(5, bytes(8), timestamp, 0, invite_id=pair.invitation.invite_id, proof=b""),
        first_time=0.0,
        first_repeat=FIRST_REPEAT,
        rng=rng,
    )


def initiation(handshake: ClientHandshake) -> bytes:
    datagram = handshake.next_datagram(handshake.next_time)
    assert datagram is not None
    return datagram


def answers(pair: Pair, datagram: bytes) -> list[bytes]:
    pair.server.receive_datagram(datagram, CLIENT, 0.0)
    return [data for data, _ in pair.server.datagrams_to_send(0.0)]


def test_repeats_come_early_then_more_and_more_seldom_with_jitter() -> None:
    handshake, times = begin(Pair(LinkSpec())), []
    while len(times) < 90:
        assert handshake.next_datagram(handshake.next_time - 1e-6) is None
        times.append(handshake.next_time)
        initiation(handshake)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] == 0.0
    assert gaps[0] <= FIRST_REPEAT * (1 + JITTER)
    assert sum(time < 1.0 for time in times) >= 7
    assert all(LONGEST_REPEAT * (1 - JITTER) <= gap <= LONGEST_REPEAT * (1 + JITTER) for gap in gaps[-20:])
    assert len({round(gap, 3) for gap in gaps[-20:]}) > 15


def test_repeats_share_neither_bytes_nor_size() -> None:
    handshake = begin(Pair(LinkSpec()))
    datagrams = [initiation(handshake) for _ in range(30)]
    low, high = PROFILES["noise"].handshake_sizes
    assert len({len(datagram) for datagram in datagrams}) > 20
    assert all(low <= len(datagram) <= high for datagram in datagrams)
    for at in range(min(map(len, datagrams))):
        assert len({datagram[at] for datagram in datagrams}) > 5, f"byte {at} hardly changes"


def test_both_ends_agree_and_a_repeat_gets_the_same_answer() -> None:
    pair = Pair(LinkSpec())
    handshake = begin(pair)
    first, second = (answers(pair, initiation(handshake)) for _ in range(2))
    assert first != second, "the envelope is fresh"
    hello, keys = handshake.receive(first[0])
    again, same_keys = handshake.receive(second[0])
    assert (hello, keys) == (again, same_keys)
    assert hello.refusal == 0


def test_the_very_same_datagram_again_gets_silence() -> None:
    pair = Pair(LinkSpec())
    datagram = initiation(begin(pair))
    assert len(answers(pair, datagram)) == 1
    for _ in range(3):
        assert answers(pair, datagram) == []
    assert pair.server.snapshot(0.0)["dropped"] == {"replayed_handshake": 3}


def test_an_answer_to_another_handshake_is_refused_and_the_right_one_still_taken() -> None:
    pair = Pair(LinkSpec())
    mine, other = begin(pair), begin(pair, seed=2, timestamp=2)
    (right,), (wrong,) = answers(pair, initiation(mine)), answers(pair, initiation(other))
    with pytest.raises(PeerError, match="unauthentic"):
        mine.receive(wrong)
    for damaged in (right[:-1], right[:40], b"", bytes(len(right)), initiation(mine)):
        with pytest.raises(PeerError):
            mine.receive(damaged)
    assert mine.receive(right)[0].refusal == 0


def test_the_memory_of_answers_is_bounded_in_messages_and_in_repeats() -> None:
    cache = ReplyCache()
    for number in range(REPLIES_REMEMBERED + 1):
        cache.add(b"%d" % number, b"tag", b"reply %d" % number)
    assert cache.find(b"0", b"fresh") is None
    assert cache.find(b"1", b"fresh") == b"reply 1"
    for repeat in range(2, REPEATS_ANSWERED):
        assert cache.find(b"1", b"%d" % repeat) == b"reply 1"
    with pytest.raises(PeerError, match="replayed_handshake"):
        cache.find(b"1", b"one too many")

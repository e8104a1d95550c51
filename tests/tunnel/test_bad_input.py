"""Whatever a stranger sends, there is no answer, a counter knows why, and the client's traffic never notices."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ghost.chaos.spec import LinkSpec, parse
from ghost.simulation.pair import CLIENT, SERVER, Pair

LINK = parse("rate=10mbit,delay=20ms")
STRANGER = ("stranger", 666)


def recorded(tap: Callable[..., Any], talk: Callable[..., Any]) -> tuple[Pair, list[bytes], list[bytes]]:
    """A pair after a short conversation, at rest, and all datagrams that the client and the server sent."""
    pair = Pair(LINK, seed=5)
    up, down = pair.up, pair.down = tap(pair.up), tap(pair.down)
    pair.run(1)
    talk(pair, end=pair.now + 0.5)
    pair.run(3)
    assert dropped(pair) == ({}, {})
    return pair, up.datagrams, down.datagrams


def dropped(pair: Pair) -> tuple[dict[str, int], dict[str, int]]:
    server, client = (end.snapshot(pair.now)["dropped"] for end in (pair.server, pair.client))
    return server, client


def answers_to(pair: Pair, datagrams: Iterable[bytes]) -> int:
    """Injects at both ends, from strange and from familiar addresses; counts the datagrams that come out."""
    sent = pair.up.datagrams, pair.down.datagrams
    before = sum(map(len, sent))
    for datagram in datagrams:
        for address in (STRANGER, CLIENT):
            pair.server.receive_datagram(datagram, address, pair.now)
        for address in (STRANGER, SERVER):
            pair.client.receive_datagram(datagram, address, pair.now)
        pair.run(0.0001)
    pair.run(0.5)
    return sum(map(len, sent)) - before + pair.strays.total()


def flipped(datagram: bytes, bit: int) -> bytes:
    return (int.from_bytes(datagram, "big") ^ 1 << bit).to_bytes(len(datagram), "big")


def test_garbage_gets_silence(tap: Callable[..., Any], talk: Callable[..., Any]) -> None:
    pair, _, _ = recorded(tap, talk)
    rng = random.Random(1)
    assert answers_to(pair, (rng.randbytes(rng.randrange(1500)) for _ in range(500))) == 0
    for counters in dropped(pair):
        assert counters.keys() == {"truncated", "foreign"}
        assert sum(counters.values()) == 1000


def test_truncated_datagrams_get_silence(tap: Callable[..., Any], talk: Callable[..., Any]) -> None:
    pair, up, down = recorded(tap, talk)
    whole = [*up[:3], *down[:3]]
    cut = [each[:end] for each in whole for end in (0, 1, 8, 23, 24, 40, len(each) - 1) if end < len(each)]
    assert answers_to(pair, cut) == 0
    for counters in dropped(pair):
        assert counters.keys() == {"truncated", "foreign"}


def test_flipped_bits_get_silence(tap: Callable[..., Any], talk: Callable[..., Any]) -> None:
    pair, up, down = recorded(tap, talk)
    rng = random.Random(2)
    damaged = [flipped(each, rng.randrange(8 * len(each))) for each in (*up[:40], *down[:40]) for _ in range(5)]
    assert answers_to(pair, damaged) == 0
    for counters in dropped(pair):
        assert counters.keys() == {"unauthentic", "foreign"}
        assert sum(counters.values()) == 2 * len(damaged)


def test_every_recorded_datagram_again_gets_silence(tap: Callable[..., Any], talk: Callable[..., Any]) -> None:
    pair, up, down = recorded(tap, talk)
    assert answers_to(pair, [*up, *down]) == 0
    server, client = dropped(pair)
    assert server.keys() == {"replayed_handshake", "replayed", "foreign", "malformed"}
    assert server["replayed"] > 50
    assert client.keys() == {"replayed", "foreign"}
    assert sum(server.values()) == sum(client.values()) == 2 * len([*up, *down])


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_replayed_initiation_gets_silence_after_hours_and_after_a_restart(
    is_restarted: bool, tap: Callable[..., Any], talk: Callable[..., Any]
) -> None:
    pair, up, _ = recorded(tap, talk)
    initiation = up[0]
    pair.run(3 * 3600)
    if is_restarted:
        pair.server = pair.new_server()
        pair.run(60)
    before = pair.server.snapshot(pair.now)["peers"][0]["endpoint"]
    pair.server.receive_datagram(initiation, STRANGER, pair.now)
    pair.run(1)
    assert pair.strays == {}
    assert dropped(pair)[0]["replayed_handshake"] == 1
    assert pair.server.snapshot(pair.now)["peers"][0]["endpoint"] == before


def test_another_tunnels_datagrams_are_foreign(tap: Callable[..., Any], talk: Callable[..., Any]) -> None:
    pair, _, _ = recorded(tap, talk)
    other = Pair(LinkSpec(), seed=6)
    other.up, other.down = tap(other.up), tap(other.down)
    other.run(1)
    talk(other, end=other.now + 0.2)
    other.run(1)
    assert answers_to(pair, [*other.up.datagrams, *other.down.datagrams]) == 0
    assert [counters.keys() for counters in dropped(pair)] == [{"foreign"}, {"foreign"}]


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_all_of_it_leaves_the_traffic_unharmed(
    seed: int, tap: Callable[..., Any], talk: Callable[..., Any]
) -> None:
    pair = Pair(parse("rate=10mbit,delay=20ms,loss=10%"), seed=seed)
    pair.up, pair.down = tap(pair.up), tap(pair.down)
    pair.run(2)
    conversation = talk(pair, end=pair.now + 2)
    rng = random.Random(seed)
    for _ in range(1000):
        pair.run(0.002)
        victim = rng.choice([*pair.up.datagrams[-50:], *pair.down.datagrams[-50:]])
        bad = rng.choice([rng.randbytes(60), victim[:-1], flipped(victim, rng.randrange(8 * len(victim))), victim])
        if bad is victim:
            pair.server.receive_datagram(pair.up.datagrams[0], STRANGER, pair.now)
            pair.client.receive_datagram(pair.down.datagrams[0], STRANGER, pair.now)
        else:
            pair.server.receive_datagram(bad, STRANGER, pair.now)
            pair.client.receive_datagram(bad, STRANGER, pair.now)
    pair.run(5)
    conversation.assert_complete(f"seed {seed}")
    assert pair.strays == {}
    assert pair.server.snapshot(pair.now)["peers"][0]["endpoint"] == "client:40000"


def test_initiations_cost_a_bounded_number_of_key_exchanges() -> None:
    """Even somebody invited cannot keep the server busy: beyond the limit handshakes are dropped unread."""
    pair = Pair(LinkSpec())
    clients = [pair.add_guest(f"guest {number}", pair.invitation) for number in range(150)]
    for guest in clients:
        guest.client.connect([SERVER], 0.0)
        for datagram, _ in guest.client.datagrams_to_send(0.0):
            pair.server.receive_datagram(datagram, guest.address, 0.0)
    assert dropped(pair)[0] == {"handshake_limit": 50}
    assert len(pair.server.datagrams_to_send(0.0)) == 100

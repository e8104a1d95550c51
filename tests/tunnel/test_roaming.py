"""A client's address changes, its path dies and comes back, and the conversation goes on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import pytest

from ghost.chaos.spec import parse
from ghost.simulation import packets
from ghost.simulation.pair import CLIENT, Pair
from ghost.tunnel.connection import AMPLIFICATION
from ghost.tunnel.events import Address, Connected, Disconnected, TimestampUsed

LINK = parse("rate=10mbit,delay=50ms")
LOSSY = parse("rate=10mbit,delay=50ms,loss=20%")
NOTHING = parse("loss=100%")
ELSEWHERE: Address = ("elsewhere", 1234)
GATEWAY = IPv4Address("10.77.0.1")


def endpoint(pair: Pair) -> str:
    """Where the server sends the client's packets."""
    return pair.server.snapshot(pair.now)["peers"][0]["endpoint"]


def connected(link: Any = LINK, seed: int = 1) -> Pair:
    pair = Pair(link, seed=seed)
    pair.run_until_connected()
    pair.run(2)
    return pair


def flood(pair: Pair, count: int = 200) -> None:
    """Fills the server's queue towards the client."""
    assert pair.address is not None
    for number in range(count):
        packet = packets.tcp(
            (GATEWAY, 80), (pair.address, 5000 + number % 50), sequence=number, acknowledgement=0,
            flags=packets.ACK, payload=number.to_bytes(2, "big") * 600,
        )  # fmt: skip
        pair.send(packet, from_server=True)


def caught(pair: Pair, tap: Callable[..., Any], count: int) -> list[bytes]:
    """The client's next packets, taken off the path before they reach the server."""
    assert pair.address is not None
    ear = pair.up = tap(pair.up)
    ear.is_cut = True
    for _ in range(count):
        pair.send(packets.udp((pair.address, 1), (GATEWAY, 2), bytes(300)), from_server=False)
        pair.run(0.02)
    pair.up = ear.link
    return [datagram for datagram in ear.datagrams if len(datagram) > 50]


@pytest.mark.parametrize("seed", range(5))
def test_a_client_that_moves_under_way_loses_nothing(seed: int, talk: Callable[..., Any]) -> None:
    pair = connected(LOSSY, seed)
    conversation = talk(pair, end=pair.now + 8, tcp=2)
    for number in range(3):
        pair.run(1.5)
        pair.client_address = moved = (f"place {number}", 4000 + number)
        pair.run(1.0)
        assert endpoint(pair) == f"{moved[0]}:{moved[1]}", f"seed {seed}"
    pair.run(5)
    conversation.assert_complete(f"seed {seed}")
    (down,) = [conversation.arrivals[False, 1000]]
    assert max(later[0] - earlier[0] for earlier, later in itertools.pairwise(down)) < 1.5, f"seed {seed}"


def test_one_authentic_packet_is_enough_to_be_found() -> None:
    pair = connected()
    assert pair.address is not None
    pair.client_address = ELSEWHERE
    pair.send(packets.udp((pair.address, 1), (GATEWAY, 2), b"here I am"), from_server=False)
    pair.run(0.06)
    assert endpoint(pair) == "elsewhere:1234"
    strays = pair.strays.copy()
    flood(pair)
    pair.run(2)
    assert pair.strays == strays, "nothing goes to the old place any more"
    assert pair.client.snapshot(pair.now)["peers"][0]["inner_received_bytes"] > 50_000


def test_a_move_delays_no_small_packet_until_the_new_place_is_proven(talk: Callable[..., Any]) -> None:
    pair = connected(parse("rate=10mbit,delay=100ms"))
    conversation = talk(pair, end=pair.now + 4, tcp=0, udp=1, interval=0.1, size=60)
    began = pair.now
    pair.run(2.05)
    pair.client_address = ELSEWHERE
    pair.run(3)
    assert endpoint(pair) == "elsewhere:1234"
    delays = sorted(time - began - 0.1 * serial for time, serial in conversation.arrivals[False, 2000])
    assert len(delays) == len(conversation.sent[False, 2000])
    assert delays[-1] < 0.11, "what left for the former place went again at once"


def test_an_address_that_never_answered_gets_three_times_what_came_from_it(tap: Callable[..., Any]) -> None:
    pair = connected()
    (stolen, *_) = caught(pair, tap, 1)
    flood(pair)
    pair.up.change(NOTHING, pair.now)
    pair.server.receive_datagram(stolen, ELSEWHERE, pair.now)
    pair.run(10)
    assert 0 < pair.strays[ELSEWHERE] <= AMPLIFICATION * len(stolen)


def test_the_true_client_takes_its_place_back(tap: Callable[..., Any]) -> None:
    pair = connected()
    (stolen, *_) = caught(pair, tap, 1)
    pair.server.receive_datagram(stolen, ELSEWHERE, pair.now)
    assert endpoint(pair) == "elsewhere:1234"
    assert pair.address is not None
    pair.send(packets.udp((pair.address, 1), (GATEWAY, 2), b"still here"), from_server=False)
    pair.run(0.2)
    assert endpoint(pair) == "client:40000"


def test_a_packet_older_than_another_moves_nobody(tap: Callable[..., Any]) -> None:
    pair = connected()
    older, newer = caught(pair, tap, 2)[:2]
    pair.server.receive_datagram(newer, CLIENT, pair.now)
    pair.server.receive_datagram(older, ELSEWHERE, pair.now)
    pair.server.receive_datagram(newer, ELSEWHERE, pair.now)
    pair.run(1)
    assert endpoint(pair) == "client:40000"
    assert pair.strays == {}
    assert pair.server.snapshot(pair.now)["dropped"] == {"replayed": 1}


def test_the_client_follows_nobody_to_another_server_address(tap: Callable[..., Any]) -> None:
    pair = connected()
    ear = pair.down = tap(pair.down)
    ear.is_cut = True
    flood(pair, 1)
    pair.run(0.02)
    pair.down = ear.link
    pair.client.receive_datagram(ear.datagrams[0], ELSEWHERE, pair.now)
    assert {address for _, address in pair.client.datagrams_to_send(pair.now + 0.02)} <= {("server", 8000)}
    assert pair.client.snapshot(pair.now)["peers"][0]["endpoint"] == "server:8000"


@pytest.mark.parametrize("seed", range(5))
def test_ten_seconds_without_a_path_cost_ten_seconds(seed: int, talk: Callable[..., Any]) -> None:
    pair = connected(LOSSY, seed)
    conversation = talk(pair, end=pair.now + 20, tcp=1, udp=1, interval=0.5, size=300)
    pair.run(5)
    pair.up.change(NOTHING, pair.now)
    pair.down.change(NOTHING, pair.now)
    sent = pair.up.stats.in_bytes + pair.down.stats.in_bytes
    pair.run(10)
    assert pair.up.stats.in_bytes + pair.down.stats.in_bytes - sent < 60_000, "a dead path is probed, not flooded"
    pair.up.change(LOSSY, pair.now)
    pair.down.change(LOSSY, pair.now)
    recovery = pair.now
    pair.run(10)
    conversation.assert_complete(f"seed {seed}")
    for is_up in (True, False):
        first = next(time for time, _ in conversation.arrivals[is_up, 1000] if time > recovery)
        assert first - recovery < 2.5, f"seed {seed}"
    assert [event for _, _, event in pair.events if isinstance(event, Disconnected)] == []


@pytest.mark.parametrize("outage", [6, 10, 60])
def test_a_quiet_client_whose_path_comes_back_shakes_hands_once(outage: float) -> None:
    pair = connected()
    for direction in (pair.up, pair.down):
        direction.change(NOTHING, pair.now)
    assert pair.address is not None
    pair.send(packets.udp((pair.address, 1), (GATEWAY, 2), b"anybody there?"), from_server=False)
    pair.run(outage)
    for direction in (pair.up, pair.down):
        direction.change(LINK, pair.now)
    pair.events.clear()
    pair.run(20)
    handshakes = [time for time, _, event in pair.events if isinstance(event, TimestampUsed)]
    assert len(handshakes) <= 3, "the attempt under way, which may end just then, and the names resolved anew"
    assert pair.client.snapshot(pair.now)["state"] == "connected"
    assert pair.client.snapshot(pair.now)["peers"][0]["last_contact_s"] < 20


@pytest.mark.parametrize("seed", range(3))
def test_a_minute_without_a_path_is_told_and_mended(seed: int, talk: Callable[..., Any]) -> None:
    pair = connected(LOSSY, seed)
    conversation = talk(pair, end=pair.now + 70, tcp=1, interval=2.0, size=100)
    for direction in (pair.up, pair.down):
        direction.change(NOTHING, pair.now)
    pair.events.clear()
    pair.run(60)
    assert [type(event) for _, _, event in pair.events if isinstance(event, Connected | Disconnected)] == [Disconnected]
    for direction in (pair.up, pair.down):
        direction.change(LOSSY, pair.now)
    pair.run(20)
    states = [type(event) for _, _, event in pair.events if isinstance(event, Connected | Disconnected)]
    assert states == [Disconnected, Connected], f"seed {seed}"
    conversation.assert_complete(f"seed {seed}")

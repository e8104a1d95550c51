"""A revoked client is told, stays out whatever it tries, and disturbs nobody else."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from ghost.chaos.spec import parse
from ghost.simulation import packets
from ghost.simulation.pair import Pair
from ghost.tunnel.events import Disconnected, PeerJoined, PeerLeft


@pytest.mark.parametrize("link", ["rate=10mbit,delay=50ms", "rate=10mbit,delay=50ms,loss=30%"])
def test_a_revoked_client_is_told_and_does_not_come_back(link: str) -> None:
    pair = Pair(parse(link))
    pair.add_guest("guest")
    pair.run_until_connected()
    pair.run(5.0)
    assert pair.address_of("guest") is not None
    [key] = [peer.public_key for peer in pair.registry.peers() if peer.name == "client"]
    pair.server.revoke(key, pair.now)
    pair.run(120.0)
    left = [event for _, _, event in pair.events if isinstance(event, PeerLeft)]
    assert [(event.name, event.reason) for event in left] == [("client", "revoked")]
    assert [event.name for _, _, event in pair.events if isinstance(event, PeerJoined)].count("client") == 1
    assert [who for _, who, event in pair.events if isinstance(event, Disconnected)] == ["client"]
    assert pair.client.snapshot(pair.now)["state"] == "connecting"
    assert [peer["name"] for peer in pair.server.snapshot(pair.now)["peers"]] == ["guest"]
    assert pair.server.snapshot(pair.now)["dropped"]["uninvited"] > 0


def test_a_client_that_did_not_hear_that_it_is_revoked_hears_it_when_it_speaks() -> None:
    pair = Pair(parse("rate=10mbit,delay=50ms"))
    pair.run_until_connected()
    pair.run(1.0)
    [key] = [peer.public_key for peer in pair.registry.peers()]
    pair.server.revoke(key, pair.now)
    assert len(pair.server.datagrams_to_send(pair.now)) == 1  # and it is lost
    pair.run(30.0)  # an idle client speaks every 20 to 25 s
    [reason] = [event.reason for _, _, event in pair.events if isinstance(event, Disconnected)]
    assert reason == "the server closed the connection: revoked"


def test_what_is_forged_or_replayed_or_too_frequent_is_told_nothing() -> None:
    pair = Pair(parse("rate=10mbit,delay=50ms"))
    pair.run_until_connected()
    pair.run(1.0)
    [key] = [peer.public_key for peer in pair.registry.peers()]
    client, server, now = pair.client, pair.server, pair.now
    server.revoke(key, now)
    server.datagrams_to_send(now)

    assert pair.address is not None
    ping = packets.echo(pair.address, IPv4Address("10.77.0.1"), sequence=1, is_reply=False, payload=b"?")

    def spoken() -> bytes:
        client.send_packet(ping, now)
        [(datagram, _)] = client.datagrams_to_send(now)
        return datagram

    def answers(datagram: bytes, at: float) -> int:
        server.receive_datagram(datagram, ("198.51.100.9", 9), at)
        return len(server.datagrams_to_send(at))

    first, second = spoken(), spoken()
    assert answers(first, now + 0.05) == 0
    assert answers(first, now + 0.2) == 0
    assert answers(second[:-1] + bytes([second[-1] ^ 1]), now + 0.2) == 0
    assert answers(second, now + 0.2) == 1
    assert answers(spoken(), now + 61) == 0


def test_a_client_without_a_connection_can_be_revoked_as_well() -> None:
    pair = Pair(parse("rate=10mbit,delay=50ms"))
    pair.run_until_connected()
    pair.run(1.0)
    [peer] = pair.registry.peers()
    pair.server = pair.new_server()
    pair.server.revoke(peer.public_key, pair.now)
    pair.run(120.0)
    assert pair.registry.peers() == []
    assert pair.client.snapshot(pair.now)["state"] == "connecting"


def test_new_settings_hold_for_connections_that_begin_later() -> None:
    pair = Pair(parse("rate=10mbit,delay=50ms"))
    pair.run_until_connected()
    pair.server.reconfigure(profile="thin", compression="off", max_rate_bps=1e6)
    pair.add_guest("guest")
    pair.run(5.0)
    paces = {peer["name"]: peer["pacing_rate_bps"] for peer in pair.server.snapshot(pair.now)["peers"]}
    assert paces["guest"] <= 1e6

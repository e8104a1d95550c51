"""A client comes up through loss, comes back after a restart of either end, and is refused with a reason or silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from ghost.chaos.spec import LinkSpec, parse
from ghost.simulation import packets
from ghost.simulation.measure import percentile
from ghost.simulation.pair import WALL_OFFSET, Pair
from ghost.tunnel.client import LOST_AFTER, SILENCE
from ghost.tunnel.events import Connected, Disconnected, PeerJoined, PeerLeft, Refused
from ghost.tunnel.registry import Peer
from ghost.tunnel.sizes import WIRE_HEADERS

LINK = parse("rate=10mbit,delay=50ms")
NOTHING = parse("loss=100%")


def events(pair: Pair, kind: type, who: str | None = None) -> list[Any]:
    return [event for _, name, event in pair.events if isinstance(event, kind) and name == (who or name)]


def refusal(pair: Pair, who: str = "client") -> str | None:
    return next((event.reason for event in events(pair, Refused, who)), None)


def dropped(pair: Pair) -> dict[str, int]:
    return pair.server.snapshot(pair.now)["dropped"]


# ---- coming up ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "median", "most_of_them"), [(0.0, 0.11, 0.11), (0.3, 0.3, 0.6), (0.5, 0.5, 1.0)])
def test_the_tunnel_is_up_within_a_second_at_half_of_everything_lost(
    loss: float, median: float, most_of_them: float
) -> None:
    times = [Pair(replace(LINK, loss=loss), seed=seed).run_until_connected() for seed in range(60)]
    figures = {share: round(percentile(times, share), 3) for share in (0.5, 0.9, 1.0)}
    print(f"loss {loss:.0%}: seconds until connected {figures}")
    assert figures[0.5] <= median, figures
    assert figures[0.9] <= most_of_them, figures
    assert figures[1.0] <= 10, figures


@pytest.mark.parametrize("seed", range(10))
def test_traffic_flows_as_soon_as_it_is_up(seed: int, talk: Callable[..., Any]) -> None:
    pair = Pair(replace(LINK, loss=0.3), seed=seed)
    pair.run_until_connected()
    conversation = talk(pair, end=pair.now + 0.1, is_two_way=False)
    pair.run(3)
    conversation.assert_complete(f"seed {seed}")
    assert len(events(pair, PeerJoined)) == 1


# ---- invites --------------------------------------------------------------------------------------------------


def test_an_invite_of_another_server_meets_silence() -> None:
    pair, elsewhere = Pair(LINK, seed=1), Pair(LINK, seed=2)
    pair.client = pair.new_client(elsewhere.invitation)
    pair.run(20)
    assert pair.down.stats.in_packets == 0
    assert events(pair, Connected) == []
    assert set(dropped(pair)) == {"foreign"}


@pytest.mark.parametrize("damage", [{"secret": bytes(32)}, {"invite_id": bytes(8)}], ids=["secret", "id"])
def test_a_forged_invite_meets_silence(damage: dict[str, bytes]) -> None:
    pair = Pair(LINK)
    pair.client = pair.new_client(replace(pair.invitation, **damage))
    pair.run(20)
    assert pair.down.stats.in_packets == 0
    assert set(dropped(pair)) == {"uninvited"}


def test_a_used_invite_is_refused_with_the_reason() -> None:
    pair = Pair(LINK)
    pair.run_until_connected()
    pair.run(1)
    pair.add_guest("second", pair.invitation)
    pair.run(5)
    assert "used by another client" in (refusal(pair, "second") or "")
    assert pair.address_of("second") is None
    assert len(pair.registry.peers()) == 1


def test_an_expired_invite_is_refused_with_the_reason_and_the_client_stops() -> None:
    pair = Pair(LINK)
    pair.client = pair.new_client(pair.new_invitation("late", expires=-1.0))
    pair.run(5)
    sent = pair.up.stats.in_packets
    pair.run(600)
    assert "expired" in (refusal(pair) or "")
    assert pair.up.stats.in_packets == sent
    assert pair.registry.peers() == []


def test_of_two_clients_that_race_for_one_invite_exactly_one_wins() -> None:
    for seed in range(10):
        pair = Pair(LINK, seed=seed)
        pair.add_guest("rival", pair.invitation)
        pair.run(LOST_AFTER + 20)
        joined = events(pair, PeerJoined)
        assert len(joined) == len(pair.registry.peers()) == 1, f"seed {seed}"
        losers = [who for who in ("client", "rival") if refusal(pair, who)]
        assert len(losers) == 1, f"seed {seed}"


def test_a_full_address_pool_is_said_so() -> None:
    pair = Pair(LINK)
    for number in range(2, 255):
        pair.registry.save_peer(Peer(bytes([number]) * 32, bytes(32), "", IPv4Address(f"10.77.0.{number}")))
    pair.run(2)
    assert "address pool is full" in (refusal(pair) or "")


def test_a_client_that_enrolled_needs_its_invite_no_more() -> None:
    pair = Pair(LINK)
    key = bytes([9]) * 32
    pair.client = pair.new_client(pair.invitation, private_key=key)
    pair.run_until_connected()
    pair.run(2 * 3600)  # the invite expires meanwhile
    pair.client = pair.new_client(pair.invitation, private_key=key)
    pair.events.clear()
    pair.run(2)
    assert pair.address == IPv4Address("10.77.0.2")


# ---- many clients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 10])
@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_clients_that_come_at_once_get_addresses_of_their_own(
    count: int, loss: float, talk: Callable[..., Any]
) -> None:
    pair = Pair(replace(LINK, loss=loss), seed=count)
    names = ["client", *(pair.add_guest(f"guest {number}").name for number in range(1, count))]
    pair.run(10)
    addresses = [pair.address_of(name) for name in names]
    assert None not in addresses
    assert len(set(addresses)) == count
    assert len(pair.server.snapshot(pair.now)["peers"]) == count
    conversation = talk(pair, end=pair.now + 1)
    pair.run(5)
    conversation.assert_complete(f"{count} clients, loss {loss}")


def test_each_client_gets_its_own_packets_and_cannot_speak_for_another(talk: Callable[..., Any]) -> None:
    pair = Pair(LINK)
    other = pair.add_guest("other")
    pair.run(2)
    mine, theirs, gateway = pair.address, pair.address_of("other"), IPv4Address("10.77.0.1")
    assert mine is not None
    assert theirs is not None
    other.client.send_packet(packets.udp((mine, 1), (gateway, 2), b"spoofed"), pair.now)
    pair.run(1)
    assert dropped(pair) == {"inner_source": 1}
    pair.server.send_packet(packets.udp((gateway, 2), (theirs, 1), b"for the other"), pair.now)
    before = other.down.stats.in_packets, pair.down.stats.in_packets
    pair.run(0.2)
    assert other.down.stats.in_packets > before[0]
    assert pair.down.stats.in_packets == before[1]
    pair.server.send_packet(packets.udp((gateway, 2), (IPv4Address("10.77.0.99"), 1), b"for nobody"), pair.now)
    assert dropped(pair) == {"inner_source": 1, "inner_no_route": 1}


# ---- coming back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_client_that_restarts_replaces_its_connection_and_keeps_its_address(
    loss: float, talk: Callable[..., Any]
) -> None:
    pair, key = Pair(replace(LINK, loss=loss), seed=3), bytes([9]) * 32
    pair.client = pair.new_client(pair.invitation, private_key=key)
    pair.run_until_connected()
    pair.run(1)
    address = pair.address
    pair.add_guest("somebody else")
    pair.run(5)
    for _ in range(5):
        pair.client = pair.new_client(pair.invitation, private_key=key)
        pair.events.clear()
        pair.run_until_connected(limit=pair.now + 10)
        pair.run(1)
        assert pair.address == address
        assert len(pair.server.snapshot(pair.now)["peers"]) == 2
    conversation = talk(pair, end=pair.now + 1)
    pair.run(5)
    conversation.assert_complete(f"loss {loss}")
    before = pair.client.snapshot(pair.now)["dropped"]
    pair.run(120)
    assert pair.client.snapshot(pair.now)["dropped"] == before, "the former connections go on talking"


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_after_a_server_restart_the_client_comes_back_by_itself(loss: float, talk: Callable[..., Any]) -> None:
    pair = Pair(replace(LINK, loss=loss), seed=4)
    pair.run_until_connected()
    talk(pair, end=pair.now + 30)
    pair.run(5)
    address = pair.address
    pair.server = pair.new_server()
    restarted = pair.now
    pair.run(25.5)
    back = [time for time, _, event in pair.events if isinstance(event, PeerJoined) and time > restarted]
    print(f"loss {loss:.0%}: back {back[0] - restarted:.1f} s after the server's restart")
    assert back[0] - restarted <= SILENCE + 2
    assert len(back) == 1
    conversation = talk(pair, end=pair.now + 1)
    pair.run(5)
    conversation.assert_complete(f"loss {loss}")
    assert pair.address == address


def test_an_idle_client_finds_out_about_a_server_restart_too() -> None:
    pair = Pair(LINK)
    pair.run_until_connected()
    pair.server = pair.new_server()
    pair.run(60)
    assert len(pair.server.snapshot(pair.now)["peers"]) == 1
    assert pair.client.snapshot(pair.now)["state"] == "connected"


def test_a_server_that_stops_says_so_and_the_client_tries_again_for_ever() -> None:
    pair = Pair(LINK)
    pair.run_until_connected()
    pair.run(1)
    pair.server.close(pair.now)
    pair.up.change(NOTHING, pair.now)
    pair.run(60)
    assert [event.reason for event in events(pair, Disconnected)] == ["the server closed the connection: stopped"]
    sent = pair.up.stats.in_packets
    pair.run(3600)
    repeats = pair.up.stats.in_packets - sent
    assert repeats == pytest.approx(3600 / 5, rel=0.1), "one small datagram every five seconds"
    pair.up.change(LINK, pair.now)
    pair.events.clear()
    pair.run(8)
    assert pair.address is not None


def test_a_server_that_vanishes_costs_100_bytes_a_second_at_most() -> None:
    pair = Pair(LINK)
    pair.run_until_connected()
    pair.up.change(NOTHING, pair.now)
    pair.run(600)
    before = replace(pair.up.stats)
    pair.run(3600)
    datagrams = pair.up.stats.in_packets - before.in_packets
    sent = pair.up.stats.in_bytes - before.in_bytes - datagrams * WIRE_HEADERS
    print(f"{datagrams} datagrams of {sent / 3600:.0f} bytes a second")
    # One handshake of 180 to 700 bytes, of which it needs 290, every 5 s: 93. Two probes of 37 bytes every 20 s: 4.
    assert sent <= 3600 * 100


def test_a_client_that_stops_says_so() -> None:
    pair = Pair(LINK)
    pair.run_until_connected()
    pair.run(1)
    pair.client.close(pair.now)
    pair.run(0.1)
    assert [(event.name, event.reason) for event in events(pair, PeerLeft)] == [("client", "stopped")]
    assert pair.server.snapshot(pair.now)["peers"] == []


def test_a_client_that_vanishes_is_forgotten_but_not_its_address() -> None:
    pair = Pair(LINK)
    pair.run_until_connected()
    pair.run(1)
    pair.up.change(NOTHING, pair.now)
    pair.run(300)
    assert [event.reason for event in events(pair, PeerLeft)] == ["silent for 180 s"]
    pair.up.change(LINK, pair.now)
    pair.events.clear()
    pair.run(10)
    assert pair.address == IPv4Address("10.77.0.2")


def test_handshakes_carry_growing_timestamps_also_over_restarts() -> None:
    pair = Pair(LinkSpec())
    pair.run(1)
    (peer,) = pair.registry.peers()
    assert peer.last_timestamp >= WALL_OFFSET * 1000
    pair.run(3600 * 3)
    (later,) = pair.registry.peers()
    assert later.last_timestamp > peer.last_timestamp

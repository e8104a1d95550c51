"""Several servers behind one port look like one, whichever of them a datagram or an inner packet comes to."""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from ghost.chaos.spec import parse
from ghost.compression.trains import SuperPacket
from ghost.simulation import packets
from ghost.simulation.pair import Pair
from ghost.tunnel.events import Address, Disconnected, Event, PeerJoined, PeerLeft
from ghost.tunnel.server import ServerEndpoint
from ghost.tunnel.siblings import Siblings

LINK = parse("rate=10mbit,delay=50ms")
LOSSY = parse("rate=10mbit,delay=50ms,loss=20%")


class Crowd:
    """`count` servers of a pair in place of one.

    `at(address)` says to which of them a sender's datagrams come; inner packets come to any, as chance has it.
    """

    def __init__(self, pair: Pair, count: int, at: Callable[[Address], int] | None = None) -> None:
        self.servers = [pair.new_server(Siblings(index, count)) for index in range(count)]
        self.at = at or (lambda address: hash(address) % count)
        self._rng = random.Random(count)
        pair.server = self  # type: ignore[assignment]

    def receive_datagram(self, data: bytes, address: Address, now: float) -> None:
        self.receive_datagrams([data], address, now)

    def receive_datagrams(self, datagrams: list[bytes], address: Address, now: float) -> None:
        self.servers[self.at(address)].receive_datagrams(datagrams, address, now)
        self._pass_on(now)

    def send_packet(self, packet: bytes, now: float) -> None:
        self._rng.choice(self.servers).send_packet(packet, now)
        self._pass_on(now)

    def send_super_packet(self, packet: SuperPacket, now: float, *, to: int) -> None:
        self.servers[to].send_super_packet(packet, now)
        self._pass_on(now)

    def handle_timeout(self, now: float) -> None:
        for server in self.servers:
            if (due := server.next_timeout()) is not None and due <= now:
                server.handle_timeout(now)
        self._pass_on(now)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        return [one for server in self.servers for one in server.datagrams_to_send(now)]

    def packets_to_deliver(self) -> list[bytes | SuperPacket]:
        return [packet for server in self.servers for packet in server.packets_to_deliver()]

    def next_timeout(self) -> float | None:
        return min((due for server in self.servers if (due := server.next_timeout()) is not None), default=None)

    def next_event(self) -> Event | None:
        return next((event for server in self.servers if (event := server.next_event()) is not None), None)

    def revoke(self, public_key: bytes, now: float) -> None:
        for server in self.servers:
            server.revoke(public_key, now)
        self._pass_on(now)

    def names(self, now: float) -> list[list[str]]:
        """Whom each of them serves."""
        return [sorted(peer["name"] for peer in server.snapshot(now)["peers"]) for server in self.servers]

    def total(self, key: str, now: float) -> int:
        return sum(server.snapshot(now)[key] for server in self.servers)

    def _pass_on(self, now: float) -> None:
        while waiting := [message for server in self.servers for message in server.messages_to_send()]:
            for to, message in waiting:
                self.servers[to].receive_message(message, now)


def joined(pair: Pair) -> list[str]:
    return [event.name for _, _, event in pair.events if isinstance(event, PeerJoined)]


def by_port(count: int) -> Callable[[Address], int]:
    return lambda address: address[1] % count  # type: ignore[no-any-return]


@pytest.mark.parametrize("link", [LINK, LOSSY])
def test_a_conversation_goes_on_while_its_client_comes_to_one_server_after_the_other(
    link: Any, talk: Callable[..., Any]
) -> None:
    pair = Pair(link)
    crowd = Crowd(pair, 3, by_port(3))
    pair.run_until_connected()
    pair.run(2)
    story = talk(pair, end=pair.now + 10, udp=1)
    for step in range(10):
        pair.client_address = ("elsewhere", 2000 + step)
        pair.run(1)
    pair.run(20)
    story.assert_complete("moving over three servers")
    assert crowd.total("handed_over", pair.now) > 100
    assert joined(pair) == ["client"]
    assert not any(isinstance(event, Disconnected) for _, _, event in pair.events)


def test_clients_are_served_where_they_arrived_and_get_different_addresses() -> None:
    pair = Pair(LINK)
    crowd = Crowd(pair, 2, lambda address: len(str(address[0])) % 2)
    for number in range(8):
        pair.add_guest("g" * (number + 1))  # all at once: nobody knows of the others' candidates
    pair.run(10)
    assert list(map(len, crowd.names(pair.now))) in ([4, 5], [5, 4])
    addresses = [pair.address_of("g" * (number + 1)) for number in range(8)]
    assert len({*addresses, pair.address}) == 9
    assert not any("refused" in server.snapshot(pair.now)["dropped"] for server in crowd.servers), "by the first offer"
    assert crowd.total("handed_over", pair.now) == 0


def test_a_new_key_is_agreed_with_the_server_that_has_the_client(talk: Callable[..., Any]) -> None:
    pair = Pair(LINK)
    crowd = Crowd(pair, 2, by_port(2))
    pair.run_until_connected()
    pair.run(2)
    [home] = [index for index, names in enumerate(crowd.names(pair.now)) if names]
    pair.client_address = ("elsewhere", pair.client_address[1] + 1)
    story = talk(pair, end=pair.now + 400, tcp=1, interval=5.0)
    pair.run(420)  # keys are changed every two minutes
    story.assert_complete("rekeying at the other server")
    assert crowd.names(pair.now)[home] == ["client"]
    assert joined(pair) == ["client"]


def test_a_client_that_starts_again_elsewhere_is_one_client() -> None:
    pair = Pair(LINK)
    crowd = Crowd(pair, 2, by_port(2))
    pair.run_until_connected()
    pair.run(2)
    key = pair.client._private_key
    pair.client = pair.new_client(pair.invitation, private_key=key)
    pair.client_address = ("elsewhere", pair.client_address[1] + 1)
    pair.run(5)
    assert sorted(map(len, crowd.names(pair.now))) == [0, 1]


def test_a_server_that_lost_its_client_to_another_lets_go_of_it() -> None:
    """Both had a handshake of it before either could tell: the one that hears last that it has joined is the one."""
    pair = Pair(LINK)
    crowd = Crowd(pair, 2, by_port(2))
    pair.run_until_connected()
    pair.run(2)
    [home] = [server for server in crowd.servers if server.snapshot(pair.now)["peers"]]
    [peer] = pair.registry.peers()
    elsewhere = Siblings(1 - crowd.servers.index(home), 2)
    elsewhere.joined(peer.public_key, peer.address.packed)
    [(_, message)] = elsewhere.take_messages()
    home.receive_message(message, pair.now)
    assert home.snapshot(pair.now)["peers"] == []
    left = home.next_event()
    assert isinstance(left, PeerLeft)
    assert left.reason == "it came back by another way"


def test_a_revoked_client_is_out_wherever_it_is() -> None:
    pair = Pair(LINK)
    crowd = Crowd(pair, 3, by_port(3))
    pair.run_until_connected()
    pair.run(2)
    pair.client_address = ("elsewhere", pair.client_address[1] + 1)
    [key] = [peer.public_key for peer in pair.registry.peers()]
    crowd.revoke(key, pair.now)
    pair.run(60)
    assert crowd.names(pair.now) == [[], [], []]
    assert [event.reason for _, _, event in pair.events if isinstance(event, PeerLeft)] == ["revoked"]


def test_two_that_were_offered_one_address_do_not_both_get_it() -> None:
    """A subnet with one free address, and two new clients that reach different servers at the same moment."""
    pair = Pair(LINK)
    servers = [server_of(pair, "10.77.0.0/30", index) for index in range(2)]
    crowd = Crowd(pair, 2, lambda address: len(str(address[0])) % 2)
    crowd.servers[:] = servers
    pair.add_guest("even-")
    pair.run(10)
    assert sorted(map(len, crowd.names(pair.now))) == [0, 1]
    assert len(pair.registry.peers()) == 1


def server_of(pair: Pair, subnet: str, index: int) -> ServerEndpoint:
    server = pair.new_server(Siblings(index, 2))
    server._subnet = IPv4Network(subnet)
    return server


def test_a_super_packet_and_garbage_find_their_way() -> None:
    pair = Pair(LINK)
    crowd = Crowd(pair, 2, by_port(2))
    pair.run_until_connected()
    pair.run(2)
    assert pair.address is not None
    [home] = [index for index, names in enumerate(crowd.names(pair.now)) if names]
    ends = ((IPv4Address("10.77.0.1"), 80), (pair.address, 5000))
    packet = packets.tcp(*ends, sequence=1, acknowledgement=0, flags=packets.ACK, payload=bytes(3000))
    before = crowd.servers[home].snapshot(pair.now)["peers"][0]["inner_sent_bytes"]
    crowd.send_super_packet(SuperPacket(packet, 1000), pair.now, to=1 - home)
    pair.run(1)
    assert crowd.servers[home].snapshot(pair.now)["peers"][0]["inner_sent_bytes"] - before > 3000
    rng = random.Random(5)
    crowd.receive_datagrams([rng.randbytes(100) for _ in range(40)], ("scanner", 1), pair.now)
    assert sum(server.snapshot(pair.now)["dropped"]["foreign"] for server in crowd.servers) == 40

"""Stories that went wrong once, each named for what the user would have seen."""

from __future__ import annotations

import itertools
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from ghost.chaos.link import Link
from ghost.chaos.spec import parse
from ghost.compression.agreement import Agreement
from ghost.errors import PeerError
from ghost.obfuscation.mask import HeaderMask
from ghost.simulation import packets
from ghost.simulation.pair import CLIENT, SERVER, Pair
from ghost.tunnel.composer import LEAST_PART, Composer
from ghost.tunnel.receiver import Receiver
from ghost.tunnel.registry import MemoryRegistry, Peer
from ghost.wire import frames, inner, records
from ghost.wire.records import MAX_FLOWS, Record

LINK = parse("rate=10mbit,delay=50ms")
GATEWAY = IPv4Address("10.77.0.1")
KEY = bytes([9]) * 32


def to_client(pair: Pair, payload: bytes, address: IPv4Address | None = None) -> None:
    where = address or pair.address
    assert where is not None
    pair.send(packets.udp((GATEWAY, 7), (where, 5), payload), from_server=True)


class Bulk:
    """Incompressible packets towards the client, more than the path carries."""

    def __init__(self, pair: Pair, *, end: float, rate: float = 2e6, size: int = 1300) -> None:
        self.arrived: list[float] = []
        self._next, self._end, self._interval, self._size = pair.now, end, size / rate, size
        self._rng = random.Random(1)
        pair.applications.append(self)

    def next_time(self) -> float | None:
        return self._next if self._next < self._end else None

    def wake(self, pair: Pair) -> None:
        self._next += self._interval
        to_client(pair, self._rng.randbytes(self._size))

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        if not at_server:
            self.arrived.append(pair.now)

    def rate(self, start: float, end: float) -> float:
        return sum(start <= time < end for time in self.arrived) * self._size * 8 / (end - start)


# ---- sessions and addresses -------------------------------------------------------------------------------------


def test_an_address_in_use_is_given_to_nobody_else_even_when_its_peer_was_removed() -> None:
    pair = Pair(LINK)
    pair.run_until_connected()
    pair.run(1)
    pair.registry._peers.clear()  # the client is revoked, but its connection goes on
    other = pair.add_guest("other")
    pair.run(2)
    assert pair.address != pair.address_of("other")
    pair.client.close(pair.now)
    pair.run(1)
    other.client.close(pair.now)
    pair.run(1)  # KeyError
    assert pair.server._by_address == {}


def moved(pair: Pair) -> None:
    (peer,) = pair.registry.peers()
    pair.registry.save_peer(replace(peer, address=IPv4Address("10.77.0.50")))


def test_a_client_whose_address_was_changed_leaves_nothing_at_the_old_one() -> None:
    pair = Pair(LINK)
    pair.client = pair.new_client(pair.invitation, private_key=KEY)
    pair.run_until_connected()
    pair.run(1)
    moved(pair)
    pair.client = pair.new_client(pair.invitation, private_key=KEY)
    pair.run(2)
    to_client(pair, b"to a connection that is gone", IPv4Address("10.77.0.2"))
    pair.run(400)  # the clock stands still 180 s later: a timeout that nobody acts upon
    assert len(pair.server._timeouts) == len(pair.server._by_address) == 1


def test_an_address_changed_under_way_survives_a_rekey() -> None:
    pair = Pair(LINK)
    pair.run_until_connected()
    pair.run(1)
    moved(pair)
    connection = pair.client._connection
    assert connection is not None
    connection.epochs.current.created -= 10_000
    pair.run(30)
    to_client(pair, b"you are reached under it")
    pair.client.close(pair.now)
    pair.run(1)  # KeyError
    assert "inner_no_route" not in pair.server.snapshot(pair.now)["dropped"]


def test_an_invite_removed_between_handshake_and_first_packet_admits_nobody() -> None:
    pair = Pair(LINK)
    pair.run(0.08)
    pair.registry._invites.clear()
    pair.run(1)
    assert pair.registry.peers() == []
    assert pair.server.snapshot(pair.now)["peers"] == []


def test_a_crash_while_admitting_leaves_the_invite_to_nobody_else() -> None:
    order: list[str] = []

    class Watched(MemoryRegistry):
        def save_peer(self, peer: Peer) -> None:
            order.append("peer")
            super().save_peer(peer)

        def spend_invite(self, invite_id: bytes, public_key: bytes) -> None:
            order.append("invite")
            super().spend_invite(invite_id, public_key)

    pair = Pair(LINK)
    watched = Watched()
    watched._invites = pair.registry._invites
    pair.registry = watched
    pair.server = pair.new_server()
    pair.run(1)
    assert order[:2] == ["invite", "peer"]


def test_a_forged_packet_in_the_instant_of_the_handshake_promotes_nobody() -> None:
    pair = Pair(LINK)
    pair.run(0)
    due = pair.up.next_delivery()
    assert due is not None
    for datagram in pair.up.deliver(due):
        pair.server.receive_datagram(datagram, CLIENT, due)
    (connection_id,) = pair.server._candidates
    tag = bytes(16)
    forged = HeaderMask(pair.invitation.server_public_key).hide(connection_id << 32, tag) + tag
    pair.server.receive_datagram(forged, ("elsewhere", 1), due)
    assert pair.server._sessions == {}


def test_a_client_told_of_the_servers_end_in_mid_handshake_keeps_its_next_connection() -> None:
    pair = Pair(LINK)
    pair.run_until_connected()
    pair.run(2)
    pair.client._begin_handshake(pair.now)
    pair.server.close(pair.now)
    for datagram, _ in pair.server.datagrams_to_send(pair.now):
        pair.client.receive_datagram(datagram, SERVER, pair.now)
    pair.server = pair.new_server()
    pair.run(2)
    connection = pair.client._connection
    assert connection is not None
    connection.epochs.current.created -= 10_000
    pair.run(30)
    assert pair.client._connection is connection, "the rekey threw away the connection, and all that was under way"


def test_a_good_bye_is_said_however_many_control_frames_wait(connected: Callable[..., Pair]) -> None:
    pair = connected("rate=10mbit,delay=50ms")
    connection = pair.client._connection
    assert connection is not None
    for _ in range(8):
        connection.greet()
    pair.client.close(pair.now)
    pair.run(1)
    assert pair.server.snapshot(pair.now)["peers"] == []


# ---- a hostile peer -----------------------------------------------------------------------------------------------


def test_parts_without_end_are_not_kept() -> None:
    receiver = Receiver(Agreement())
    tracemalloc.start()
    try:
        for number in range(3000):
            part = records.encode(Record(0, False, False, 0, number, bytes(1380)), is_sized=False)
            try:
                receiver.on_symbol(frames.Symbol(number, part), 0.0)
            except PeerError:
                continue
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()


# ---- flows --------------------------------------------------------------------------------------------------------


def test_a_lane_whose_packet_is_under_way_never_counts_a_sequence_twice() -> None:
    composer, here, there = Composer(Agreement()), IPv4Address("10.77.0.2"), IPv4Address("10.77.0.1")

    def add(port: int, payload: bytes) -> None:
        packet = packets.tcp(
            (here, port), (there, 80), sequence=0, acknowledgement=0, flags=packets.ACK, payload=payload
        )
        parsed = inner.parse(packet)
        assert parsed is not None
        composer.add(packet, parsed, rate=1e6, prompt_id=0, now=0.0)

    seen: list[tuple[int, int]] = []

    def compose(room: int) -> None:
        seen.extend((record.flow, record.sequence) for record in records.decode(composer.compose(room)))

    add(0, bytes(1200))
    compose(LEAST_PART)  # with a head too small: the packet is staged, its flow has nothing queued any more
    for port in range(1, MAX_FLOWS + 1):
        add(port, b"")  # pure acknowledgements of other flows, the last of which takes the lane over
    compose(1389)
    add(MAX_FLOWS, b"data")
    compose(1389)
    assert len(seen) == len(set(seen)) == 2


# ---- timers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_client_is_never_silent_for_longer_than_a_nat_remembers(seed: int, tap: Callable[..., Any]) -> None:
    Tap = type(tap(Link(LINK, random.Random())))

    class Clocked(Tap):  # type: ignore[valid-type,misc]
        def send(self, datagram: bytes, now: float, **options: Any) -> None:
            times.append(now)
            super().send(datagram, now, **options)

    pair = Pair(LINK, seed=seed)
    pair.run_until_connected()
    pair.run(1)
    times: list[float] = []
    pair.up = Clocked(pair.up)
    rng = random.Random(seed)
    for _ in range(20):
        pair.run(rng.uniform(1, 60))
        assert pair.address is not None
        pair.send(packets.udp((pair.address, 5), (GATEWAY, 7), b"hello"), from_server=False)
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 25.1


# ---- estimates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_moved", [True, False], ids=["another address", "another route"])
def test_a_longer_path_is_filled_like_the_shorter_one_before(is_moved: bool) -> None:
    pair = Pair(parse("rate=10mbit,delay=20ms"))
    pair.run_until_connected()
    pair.run(1)
    bulk = Bulk(pair, end=pair.now + 60)
    pair.run(8)
    for link in (pair.up, pair.down):
        link.change(parse("rate=10mbit,delay=100ms"), pair.now)
    if is_moved:
        pair.client_address = ("elsewhere", 1)
    pair.run(52)
    rate = bulk.rate(pair.now - 30, pair.now)  # long enough for the moment when the shorter path is forgotten
    print(f"{rate / 1e6:.1f} Mbit/s on the longer path")
    assert rate > 8e6


def test_three_quarters_of_an_hour_without_traffic_leave_the_delay_estimate_sound() -> None:
    """The peer's 32-bit clock went more than half round: its next value must not be taken for one of the past."""
    pair = Pair(LINK)
    pair.now = 102_500.0  # uptime of the hosts: the clock is in the upper half of its range
    pair.server = pair.new_server()
    pair.client = pair.new_client(pair.new_invitation("client", expires=1e9))
    pair.run_until_connected(limit=pair.now + 10)
    pair.run(1)
    Bulk(pair, end=pair.now + 3)
    pair.run(4 + 2700)
    Bulk(pair, end=pair.now + 8)
    pair.run(7)
    peer = pair.server.snapshot(pair.now)["peers"][0]
    assert peer["queue_delay_ms"] < 20
    assert peer["rate_bps"] < 11e6


def test_a_stream_goes_on_when_a_client_that_only_listens_moves() -> None:
    """The server may send no more than a few bytes to the new address, and a lost challenge must not be the end."""
    gaps = []
    for seed in range(20):
        pair = Pair(parse("rate=10mbit,delay=50ms,loss=50%"), seed=seed)
        pair.run_until_connected()
        pair.run(2)
        bulk = Bulk(pair, end=pair.now + 40, rate=50_000, size=1000)
        pair.run(3)
        start = pair.now
        pair.client_address = ("elsewhere", 1)
        pair.run(36)
        times = [start, *(time for time in bulk.arrived if time > start), pair.now]
        gaps.append(max(later - earlier for earlier, later in itertools.pairwise(times)))
    assert max(gaps) < 5, sorted(round(gap, 1) for gap in gaps)

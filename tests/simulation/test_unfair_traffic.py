"""Somebody behind the tunnel takes what he can: the others hardly notice, and memory stays bounded. Virtual time,
uploads over 10 Mbit/s and a round trip of 50 ms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest

from ghost.chaos.spec import parse
from ghost.simulation import packets
from ghost.simulation.measure import percentile
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import GATEWAY, Bulk, Pings
from ghost.tunnel.connection import MAX_STAGED
from ghost.tunnel.flows import MAX_QUEUE_BYTES
from ghost.wire.records import MAX_FLOWS, MAX_RECORDS

LINK = "rate=10mbit,delay=25ms"
ROUND_TRIP = 0.05
EF = 46
ANSWERED = 40  # pings at the end whose answer may be on its way


class Flood:
    """`rate` packets of UDP a second with so many bytes of payload, from the client; `port` is that of the n-th."""

    def __init__(
        self, pair: Pair, *, rate: float, size: int, port: Callable[[int], int] = lambda n: 9, dscp: int = 0
    ) -> None:
        assert pair.address is not None
        self.received = 0
        self._near = pair.address
        self._interval = 1 / rate
        self._payload = bytes(range(size % 256)) + bytes(size - size % 256)
        self._port = port
        self._service = bytes([dscp << 2])
        self._sent = 0
        self._next = pair.now

    def next_time(self) -> float:
        return self._next

    def wake(self, pair: Pair) -> None:
        self._next += self._interval
        packet = packets.udp((self._near, 50_000), (GATEWAY, self._port(self._sent)), self._payload)
        head = packet[:1] + self._service + packet[2:10] + b"\0\0" + packet[12:20]
        total = packets.checksum(head)
        pair.send(head[:10] + total.to_bytes(2, "big") + head[12:] + packet[20:], from_server=False)
        self._sent += 1

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        self.received += at_server and packet[9] == 17


class Others(NamedTuple):
    """What is left to them: the pings' 99th percentile beyond the path in seconds, and the upload in bits a second."""

    delay: float
    goodput: float
    lost: int


def beside(flood: Callable[[Pair], Flood] | None, *, link: str = LINK, seconds: float = 8.0) -> tuple[Others, Pair]:
    pair = Pair(parse(link), seed=1)
    pair.run_until_connected()
    bulk, pings = Bulk(pair, is_download=False), Pings(pair, interval=0.05)
    pair.applications += [bulk, pings]
    pair.run(3.0)
    if flood is not None:
        pair.applications.append(flood(pair))
    start, first = pair.now, len(pings.rtts)
    pair.run(seconds)
    times = [math.inf if time is None else time for time in pings.rtts[first:-ANSWERED]]
    goodput = bulk.goodput_bps(start, pair.now)
    return Others(percentile(times, 0.99) - ROUND_TRIP, goodput, times.count(math.inf)), pair


def flows_and_bytes(pair: Pair) -> tuple[int, int]:
    """What the client holds of flows, and of their packets."""
    sender = pair.client._connection.sender  # type: ignore[union-attr]
    return len(sender.composer._flows), sender.composer.queued_bytes


@pytest.fixture(scope="module")
def alone() -> Others:
    """Without anybody else."""
    return beside(None)[0]


def scan(pair: Pair) -> Flood:
    return Flood(pair, rate=3000, size=20, port=lambda n: 1 + n % 65_000)


def tiny(pair: Pair) -> Flood:
    return Flood(pair, rate=20_000, size=4)


def marked(pair: Pair) -> Flood:
    return Flood(pair, rate=2500, size=1000, dscp=EF)


@pytest.mark.parametrize(
    ("flood", "share"), [(scan, 0.6), (tiny, 0.4), (marked, 0.4)], ids=["port scan", "tiny packets", "spoofed DSCP"]
)
def test_others_are_not_harmed(flood: Callable[[Pair], Flood], share: float, alone: Others) -> None:
    others, pair = beside(flood)
    flows, queued = flows_and_bytes(pair)
    assert others.lost == 0
    assert others.delay < alone.delay + 0.015
    assert others.goodput > share * alone.goodput
    assert flows <= MAX_FLOWS
    assert queued <= MAX_QUEUE_BYTES


def test_a_scan_that_a_thin_link_cannot_carry_takes_one_share_of_it() -> None:
    link = "rate=256kbit,delay=25ms,queue=400ms"
    alone, _ = beside(None, link=link)
    others, _ = beside(lambda pair: Flood(pair, rate=1000, size=20, port=lambda n: 1 + n % 65_000), link=link)
    assert others.lost == 0
    assert others.delay < alone.delay + 0.25
    assert others.goodput > 0.25 * alone.goodput


def test_a_flood_is_not_looked_at_again_while_its_queue_has_no_room() -> None:
    pair = Pair(parse("rate=10mbit,delay=20ms"), seed=1)
    pair.run_until_connected()
    pair.run(0.5)
    assert pair.address is not None
    flooded, other = (packets.udp((GATEWAY, port), (pair.address, 6000), bytes(1000)) for port in (5000, 5001))
    server = pair.server
    queued = server.snapshot(pair.now)["peers"][0]["inner_sent_bytes"]
    for _ in range(1000):
        server.send_packet(flooded, pair.now)
    (peer,) = server.snapshot(pair.now)["peers"]
    looked_at = (peer["inner_sent_bytes"] - queued) // len(flooded)
    assert looked_at + peer["queue_dropped_packets"] == 1001, "all are counted, the first refused one twice"
    before = peer["queue_dropped_packets"]
    server.send_packet(other, pair.now)
    (peer,) = server.snapshot(pair.now)["peers"]
    assert peer["queue_dropped_packets"] == before, "another flow of the same client has its own queue"
    pair.now += 1.0
    server.datagrams_to_send(pair.now)
    server.send_packet(flooded, pair.now)
    (peer,) = server.snapshot(pair.now)["peers"]
    assert peer["queue_dropped_packets"] == before, "after a turn there is room"


def test_a_turn_makes_only_so_many_small_packets_ready() -> None:
    pair = Pair(parse("rate=1gbit,delay=1ms"), seed=1)
    pair.run_until_connected()
    pair.run(0.5)
    assert pair.address is not None
    [session] = pair.server._sessions.values()
    composer = session.connection.sender.composer
    session.connection.sender._pacer.pace(1e9)
    pair.now += 0.1
    for number in range(400):
        packet = packets.tcp(
            (GATEWAY, 80), (pair.address, 5000), sequence=10 * number, acknowledgement=0,
            flags=packets.ACK, payload=number.to_bytes(2, "big") * 5,
        )  # fmt: skip
        pair.server.send_packet(packet, pair.now)
    for turn in (1, 2):
        assert pair.server.datagrams_to_send(pair.now)
        assert turn * MAX_STAGED <= composer.staged < turn * (MAX_STAGED + MAX_RECORDS)
        assert composer.has_data
        due = pair.server.next_timeout()
        assert due is not None
        assert due <= pair.now, "what is left goes on at once"
        pair.server.handle_timeout(pair.now)

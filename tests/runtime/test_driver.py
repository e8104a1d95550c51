from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from ghost.chaos.spec import parse
from ghost.compression.trains import SuperPacket
from ghost.runtime.chaos import Impairment
from ghost.runtime.clock import now
from ghost.runtime.driver import READS, Driver
from ghost.runtime.supervisor import Supervisor
from ghost.runtime.udp import Address, Udp


class FakeCore:
    """A tunnel that carries packets as they are, and remembers the turns."""

    def __init__(self, peer: Address) -> None:
        self.peer = peer
        self.log: list[tuple[str, Any]] = []
        self.due: float | None = None
        self.events: list[object] = []
        self.joins_segments = False
        self._out: list[tuple[bytes, Address]] = []
        self._in: list[bytes] = []

    def receive_datagram(self, data: bytes, address: Address, now: float) -> None:
        self.log.append(("datagram", now))
        self._in.append(data)

    def receive_datagrams(self, datagrams: list[bytes], address: Address, now: float) -> None:
        for data in datagrams:
            self.receive_datagram(data, address, now)

    def send_packet(self, packet: bytes, now: float) -> None:
        self.log.append(("packet", now))
        self._out.append((packet, self.peer))

    def send_super_packet(self, super_packet: SuperPacket, now: float) -> None:
        self.send_packet(super_packet.packet, now)

    def handle_timeout(self, now: float) -> None:
        self.log.append(("timeout", now))
        self.due = None

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        datagrams, self._out = self._out, []
        return datagrams

    def packets_to_deliver(self) -> list[bytes]:
        packets, self._in = self._in, []
        return packets

    def next_timeout(self) -> float | None:
        return self.due

    def next_event(self) -> object | None:
        return self.events.pop(0) if self.events else None

    def close(self, now: float) -> None:
        self._out.append((b"good-bye", self.peer))

    def snapshot(self, now: float) -> dict[str, Any]:
        return {"state": "connected"}


class FakeTun:
    """A packet socket pair in place of the device; `far` is the kernel's side."""

    is_offloading = False

    def __init__(self) -> None:
        near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setblocking(False)
        self.far.settimeout(5)
        self._near = near
        self._ring: deque[bytes] = deque()
        self.is_down = False

    def flood(self, count: int) -> None:
        """More packets than the pair holds wait to be read."""
        self._ring.extend([b"packet"] * (count - 1))
        self.far.send(b"packet")

    def fileno(self) -> int:
        return self._near.fileno()

    def read(self, size: int) -> bytes:
        return self._ring.popleft() if self._ring else os.read(self.fileno(), size)

    def write(self, packet: bytes) -> None:
        if self.is_down:
            raise OSError(5, "Input/output error")
        os.write(self.fileno(), packet)


class Rig:
    def __init__(self, supervisor: Supervisor) -> None:
        self.peer = Udp.listen("127.0.0.1", 0).sockets[0]
        self.udp = Udp.listen("127.0.0.1", 0)
        self.tun = FakeTun()
        self.core = FakeCore(("127.0.0.1", self.peer.port))
        self.events: list[object] = []
        self.driver = Driver(self.core, self.tun, self.udp, self.events.append)  # type: ignore[arg-type]
        self.driver.start(supervisor)

    def from_peer(self, data: bytes) -> None:
        self.peer.send([data], ("127.0.0.1", self.udp.sockets[0].port))

    def at_peer(self) -> list[bytes]:
        arrived = []
        while datagrams := self.peer.receive():
            arrived += datagrams[0]
        return arrived


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Supervisor() as supervisor, gevent.Timeout(20):
        yield Rig(supervisor)


def settle() -> None:
    gevent.sleep(0.05)


def test_packets_from_the_device_leave_as_datagrams_in_order(rig: Rig) -> None:
    for number in range(3):
        rig.tun.far.send(b"packet %d" % number)
    settle()
    assert rig.at_peer() == [b"packet 0", b"packet 1", b"packet 2"]


def test_after_a_rest_the_first_packet_waits_for_no_other(rig: Rig) -> None:
    settle()
    for number in range(3):
        rig.tun.far.send(b"packet %d" % number)
    settle()
    first, *others = (at for _, at in rig.core.log)
    assert len(others) == 2
    assert first < min(others)


def test_datagrams_reach_the_device(rig: Rig) -> None:
    rig.from_peer(b"hello")
    settle()
    assert rig.tun.far.recv(100) == b"hello"


def test_a_turn_has_one_time_and_a_bounded_batch(rig: Rig) -> None:
    rig.tun.flood(3 * READS)
    settle()
    times = [at for _, at in rig.core.log]
    assert len(times) == 3 * READS
    assert max(times.count(at) for at in times) == READS


def test_a_flooded_device_does_not_keep_datagrams_waiting(rig: Rig) -> None:
    rig.tun.flood(READS + 5)
    rig.from_peer(b"datagram")
    settle()
    kinds = [kind for kind, _ in rig.core.log]
    assert kinds.index("datagram") <= READS
    assert len(kinds) == READS + 6


def test_a_flooded_device_is_read_before_the_kernel_answers_into_it(rig: Rig) -> None:
    rig.tun.flood(3 * READS)
    rig.from_peer(b"question")
    written_after: list[int] = []
    write = rig.tun.write

    def note(packet: bytes) -> None:
        written_after.append(sum(kind == "packet" for kind, _ in rig.core.log))
        write(packet)

    rig.tun.write = note  # type: ignore[method-assign]
    settle()
    assert written_after[0] in (0, 2 * READS), "whoever was first: what is full is read again before it is written to"


def test_the_timeout_comes_when_it_is_due_and_not_before(rig: Rig) -> None:
    due = now() + 0.03

    def set_due(at: float) -> None:
        rig.core.due = due

    rig.driver.turn(set_due)
    gevent.sleep(0.01)
    assert rig.core.log == []
    gevent.sleep(0.1)
    [(kind, at)] = rig.core.log
    assert kind == "timeout"
    assert due <= at < due + 0.05


def test_a_timeout_that_moved_later_is_not_handled_early(rig: Rig) -> None:
    rig.driver.turn(lambda at: setattr(rig.core, "due", at + 0.01))
    later = now() + 0.06
    rig.core.due = later
    gevent.sleep(0.15)
    assert [at >= later for _, at in rig.core.log] == [True]


def test_events_are_told_before_the_datagrams_of_their_turn_leave(rig: Rig) -> None:
    at_event = []
    rig.driver._on_event = lambda event: at_event.append((event, rig.at_peer()))
    rig.core.events = ["timestamp used"]
    rig.tun.far.send(b"handshake")
    settle()
    assert at_event == [("timestamp used", [])]
    assert rig.at_peer() == [b"handshake"]


def test_a_device_that_is_down_costs_packets_and_nothing_else(rig: Rig) -> None:
    rig.tun.is_down = True
    rig.from_peer(b"lost")
    settle()
    rig.tun.is_down = False
    rig.from_peer(b"kept")
    settle()
    assert rig.tun.far.recv(100) == b"kept"
    assert rig.driver.snapshot() == {
        "state": "connected", "offloads": rig.udp.offloads, "udp_errors": {}, "tun_errors": {"Input/output error": 1},
    }  # fmt: skip


def test_closing_says_good_bye() -> None:
    with Supervisor() as supervisor:
        rig = Rig(supervisor)
        supervisor.on_exit("tunnel", rig.driver.close)
    assert rig.at_peer() == [b"good-bye"]


def test_a_bad_link_delays_both_ways_and_ends_by_itself(rig: Rig) -> None:
    rig.driver.impair(Impairment(parse("delay=150ms"), is_server=True, at=now(), until=now() + 0.8))
    rig.tun.far.send(b"out")
    rig.from_peer(b"in")
    rig.tun.far.settimeout(0.01)
    settle()
    assert rig.at_peer() == []
    assert rig.driver.snapshot()["chaos"] == "delay=150ms"
    with pytest.raises(TimeoutError):
        rig.tun.far.recv(100)
    gevent.sleep(0.3)
    assert rig.at_peer() == [b"out"]
    assert rig.tun.far.recv(100) == b"in"
    gevent.sleep(0.6)
    assert "chaos" not in rig.driver.snapshot()


def test_what_a_bad_link_held_back_goes_on_when_it_is_taken_away(rig: Rig) -> None:
    rig.driver.impair(Impairment(parse("delay=60s"), is_server=True, at=now()))
    rig.tun.far.send(b"out")
    rig.from_peer(b"in")
    settle()
    rig.driver.impair(None)
    settle()
    assert rig.at_peer() == [b"out"]
    assert rig.tun.far.recv(100) == b"in"

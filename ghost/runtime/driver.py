"""The gevent driver: waits for something to happen, tells the core, carries out what the core wants.

One greenlet waits on the TUN device, one on each UDP socket, one on the alarm. A turn reads a bounded batch, takes one
`now` after it (a datagram must not have arrived before it was sent: one-way delays are measured by it), then flushes:
packets to the TUN and the answers from it, events to `on_event`, datagrams to UDP, the alarm to the core's next
timeout. After a full batch the greenlet waits again like after a short one; the descriptor is still ready, so the event
loop comes back to it after everybody else had a turn. That is all the fairness there is, and it suffices.

Events come between asking the core for datagrams and sending them: `TimestampUsed` must be on disk before the
handshake that uses it is on the wire. `on_event` runs inside a turn and must not wait for anything.

An impairment (ghost.runtime.chaos) may stand between the core and the sockets. What it holds back it gives when its own
time has come, which the alarm knows.

What the kernel answers to a packet it has answered when the write returns: that is read within the same turn, so that
an echo or an acknowledgement waits for no other one. Timers are looked at after the datagrams have left.

Flow: readable -> read batch -> core.receive_datagram / core.send_packet -> flush -> wait.
"""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import gevent
from gevent.hub import get_hub

from ghost.compression.trains import SuperPacket
from ghost.constants import INNER_MTU
from ghost.runtime.chaos import Impairment
from ghost.runtime.clock import Alarm, now
from ghost.runtime.supervisor import Supervisor
from ghost.runtime.tun import Tun
from ghost.runtime.udp import Address, Udp, UdpSocket

# Bounds the work of a turn (64 full packets cost 2-4 ms) while the cost of waiting vanishes in it.
BATCH = 64
# Packets of a device that hands over one by one. To read and queue one costs a fifth of sending it, and what is not
# read the kernel drops whosever it is: only behind our own queues does a flood drop its own packets. Simulated, with
# the core's CPU time as the clock, assumed costs of the system's calls and 40 000 packets a second for one client:
# with 64 another client lost 37 % of its packets and the rest waited 19 ms, with 256 it lost 2 % and they waited 3.
# A device's queue holds 500 by default.
READS = 512
_IDLE = 0.0005
"""Seconds without a turn after which one thing is read and dealt with before asking for more: to hear that there is
nothing takes 15 to 30 us each time, where the code has left the processor's caches, and with such pauses there seldom
is more (measured: in 13 of 100 turns at 13 Mbit/s)."""
_READABLE = 1
# A device left at the kernel's default MTU hands over packets larger than ours: the core must see them whole to
# count and refuse them, so the read size is not the tunnel's MTU.
_READ_SIZE = max(2048, INNER_MTU)


class Endpoint(Protocol):
    """What the driver needs of the core (ghost.tunnel.client and .server)."""

    joins_segments: bool
    """Whether `packets_to_deliver` may hold super-packets, in connections that begin from now on."""

    def receive_datagram(self, data: bytes, address: Address, now: float) -> None: ...

    def receive_datagrams(self, datagrams: list[bytes], address: Address, now: float) -> None: ...

    def send_packet(self, packet: bytes, now: float) -> None: ...

    def send_super_packet(self, super_packet: SuperPacket, now: float) -> None: ...

    def handle_timeout(self, now: float) -> None: ...

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]: ...

    def packets_to_deliver(self) -> list[bytes | SuperPacket]: ...

    def next_timeout(self) -> float | None: ...

    def next_event(self) -> object | None: ...

    def close(self, now: float) -> None: ...

    def snapshot(self, now: float) -> dict[str, Any]: ...


class Driver:
    """Joins one endpoint to one TUN device and its UDP sockets."""

    def __init__(self, endpoint: Endpoint, tun: Tun, udp: Udp, on_event: Callable[[object], None]) -> None:
        endpoint.joins_segments = tun.is_offloading
        self._endpoint = endpoint
        self._tun = tun
        self._udp = udp
        self._on_event = on_event
        self._alarm = Alarm()
        self._armed: float | None = None
        self._has_more = False  # packets may have stayed on the TUN device when it was read last
        self._rests_since = 0.0
        self._most = BATCH  # things that this turn may read at once
        self.impairment: Impairment | None = None
        self.tun_errors: Counter[str] = Counter()
        self._supervisor: Supervisor | None = None
        self._readers: list[gevent.Greenlet] = []

    def start(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        gc.freeze()  # what is there by now stays: to look through it again and again takes milliseconds each time
        supervisor.spawn("tun", self._carry_out)
        self._read_sockets(supervisor)
        supervisor.spawn("alarm", self._wake)
        self.turn(lambda now: None)

    def turn(self, action: Callable[[float], None]) -> None:
        """Calls into the core from outside (connect, close) as a turn of its own."""
        at = now()
        action(at)
        self._flush(at)

    def snapshot(self) -> dict[str, Any]:
        """The core's, and what this host's kernel refused to carry: {"udp_errors": {errno: n}, "tun_errors": ...}."""
        at = now()
        status = self._endpoint.snapshot(at)
        status |= {"offloads": self._offloads(), "udp_errors": dict(self._udp.errors)}
        status |= {"tun_errors": dict(self.tun_errors)}
        return status | (self.impairment.snapshot(at) if self.impairment is not None else {})

    def impair(self, impairment: Impairment | None) -> None:
        """Datagrams go through this from now on; what the former one held back goes on at once."""
        former, self.impairment = self.impairment, impairment
        self.turn(lambda at: self._receive(former.release_in(), at) if former is not None else None)
        if former is not None:
            self._udp.send(former.release_out())

    def close(self) -> None:
        """Says good-bye to the peers. The greenlets must have been stopped."""
        self.impairment = None  # nobody would be there to send what it holds back
        self.turn(self._endpoint.close)
        self._alarm.close()

    def _carry_out(self) -> None:
        hub = get_hub()
        watcher = hub.loop.io(self._tun.fileno(), _READABLE)
        wait = hub.wait
        while True:
            wait(watcher)
            self._begin_turn()
            try:
                packets = self._read_tun()
            except OSError as error:
                self._tolerate(error)
                continue
            if packets:  # else a turn before has taken them
                at = now()
                self._send_packets(packets, at)
                self._flush(at)

    def _read_tun(self) -> list[bytes | SuperPacket]:
        """What waits on the TUN device, as much as a turn may take; OSError only where there is nothing."""
        read = self._tun.read
        packets: list[bytes | SuperPacket] = []
        segments, most = 0, READS if self._most == BATCH else self._most
        self._has_more = self._most == BATCH  # after a rest one is nearly always all
        try:
            while segments < self._most and len(packets) < most:
                packet = read(_READ_SIZE)
                packets.append(packet)
                if not isinstance(packet, bytes):
                    segments += len(packet.packet) // max(1, packet.segment_size)
        except BlockingIOError:
            self._has_more = False
        except OSError:
            self._has_more = False
            if not packets:
                raise
        return packets

    def _send_packets(self, packets: list[bytes | SuperPacket], at: float) -> None:
        for packet in packets:
            if isinstance(packet, bytes):
                self._endpoint.send_packet(packet, at)
            else:
                self._endpoint.send_super_packet(packet, at)

    def _carry_in(self, sock: UdpSocket) -> None:
        hub = get_hub()
        watcher = hub.loop.io(sock.fileno(), _READABLE)
        wait, receive, flush = hub.wait, sock.receive, self._flush
        receive_datagrams = self._endpoint.receive_datagrams
        while True:
            wait(watcher)
            self._begin_turn()
            batch: list[tuple[list[bytes], Address]] = []
            count = 0
            while count < self._most and (arrived := receive()) is not None:
                count += len(arrived[0])
                if batch and batch[-1][1] == arrived[1]:
                    batch[-1][0].extend(arrived[0])
                else:
                    batch.append(arrived)
            at = now()
            if self.impairment is not None:
                single = [(data, address) for datagrams, address in batch for data in datagrams]
                batch = [([data], address) for data, address in self.impairment.receive(single, at)]
            for datagrams, address in batch:
                receive_datagrams(datagrams, address, at)
            flush(at)

    def _wake(self) -> None:
        hub = get_hub()
        watcher = hub.loop.io(self._alarm.fileno(), _READABLE)
        while True:
            hub.wait(watcher)
            self._alarm.acknowledge()
            self._armed = None
            at = now()
            if self.impairment is not None:
                if self.impairment.is_rebound(at):
                    self._rebind()
                if self.impairment.is_over(at):
                    self.impair(None)
                else:
                    self._receive(self.impairment.receive([], at), at)
            due = self._endpoint.next_timeout()
            if due is not None and due <= at:
                self._endpoint.handle_timeout(at)
            self._flush(at)

    def _offloads(self) -> list[str]:
        """What the kernel does in our place, for `status`."""
        return ["TCP segmentation"] * self._tun.is_offloading + self._udp.offloads

    def _receive(self, datagrams: list[tuple[bytes, Address]], at: float) -> None:
        for data, address in datagrams:
            self._endpoint.receive_datagram(data, address, at)

    def _begin_turn(self) -> None:
        self._most = 1 if now() > self._rests_since + _IDLE else BATCH

    def _flush(self, at: float) -> None:
        endpoint = self._endpoint
        packets = endpoint.packets_to_deliver()
        if packets:
            if self._has_more:  # a device that is full drops what the kernel answers
                with contextlib.suppress(OSError):
                    self._send_packets(self._read_tun(), at)
            write = self._tun.write
            for packet in packets:
                try:
                    write(packet)
                except OSError as error:  # device down or full, or a packet that the kernel finds malformed
                    self.tun_errors[error.strerror or "unknown"] += 1
            # The kernel answers within the write: an echo, an acknowledgement, the data that one allows.
            with contextlib.suppress(OSError):  # who waits for the device hears of it as well
                self._send_packets(self._read_tun(), at)
        datagrams = endpoint.datagrams_to_send(at)
        while (event := endpoint.next_event()) is not None:
            self._on_event(event)
        if self.impairment is not None:
            datagrams = self.impairment.send(datagrams, at)
        if datagrams:
            self._udp.send(datagrams)
        due = endpoint.next_timeout()
        if self.impairment is not None:
            due = min((time for time in (due, self.impairment.next_time()) if time is not None), default=None)
        # A deadline that moved later is left to fire early, once: cheaper than re-arming on every packet.
        if due is not None and (self._armed is None or due < self._armed):
            self._armed = due
            self._alarm.set(due)
        self._rests_since = now()  # not from its beginning: a turn may take longer than what counts as a rest

    def _tolerate(self, error: OSError) -> None:
        """Reading fails while the device is down; a descriptor that stays readable must not spin."""
        self.tun_errors[error.strerror or "unknown"] += 1
        gevent.sleep(0.1)

    def _read_sockets(self, supervisor: Supervisor) -> None:
        self._readers = [supervisor.spawn("udp", self._carry_in, sock) for sock in self._udp.sockets]

    def _rebind(self) -> None:
        """Other ports for a client; whoever waits on the former sockets must have gone before they are closed."""
        assert self._supervisor is not None
        gevent.killall(self._readers)
        self._udp.redial()
        self._read_sockets(self._supervisor)

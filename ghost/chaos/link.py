"""One direction of a bad link, in virtual time: packets go in with a time and come out later, damaged or not
at all. Several senders may share a link, each in a lane of its own: one queue for all, and every packet comes
out of the lane that it went into.

Flow of a packet, in this order:

    mtu -> freeze -> policer -> drop-tail queue and serialisation at the rate -> blackout -> loss -> corruption
        -> duplication -> delay and jitter, in order unless picked by `reorder`

Rules: no clock and no global randomness. Each impairment draws from a generator of its own, seeded from the
one given, once for every packet that enters while the impairment is on, whatever becomes of the packet. So
the same seed loses the same packets on any machine, and turning one impairment up leaves what the others do
to the n-th packet alone. A link may follow a script instead of one description: `play`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from ghost.chaos.corruption import IPV6_HEADER, TCP, UDP, flip_packet, flip_payload
from ghost.chaos.spec import LinkSpec

UDP_OVERHEAD = 28
"""Bytes of IPv4 and UDP header around a bare payload (RFC 791, RFC 768)."""

EARLY = 0.1
"""A reordered packet takes this share of the delay: it overtakes all that are under way but the very last
few."""

IN_FLIGHT_LIMIT = 1 << 16
"""Packets of one lane under way at once, about 100 MB of full ones; beyond that they count as dropped by the queue, so
that a fast sender on a slow link without a rate cannot eat the host's memory."""

FLOW_LIMIT = 4096
"""5-tuples whose packets are counted for `freeze`; beyond that the one seen first is forgotten, as a middlebox
would."""

Heap = list[tuple[float, int, bytes, int, Hashable]]
"""Packets under way: (due, sequence, packet, size on the wire, flow)."""


@dataclass(slots=True)
class LinkStats:
    """Counters since the link was made; bytes are whole IP packets. Every packet in ends in exactly one of
    out, lost, queue_dropped, policed, frozen, too_big and blacked_out, or is still under way; a duplicate adds
    one to the right-hand side."""

    in_packets: int = 0
    in_bytes: int = 0
    out_packets: int = 0
    out_bytes: int = 0
    lost: int = 0
    queue_dropped: int = 0
    policed: int = 0
    frozen: int = 0
    duplicated: int = 0
    corrupted: int = 0
    reordered: int = 0
    too_big: int = 0
    blacked_out: int = 0


class Link:
    """Carries packets one way. `now` never decreases; blackouts are counted from the `now` given here or to
    `change`.

    `rng` is used while the link is made and not kept. `spec` came into force at `since`.
    """

    __slots__ = (
        "_corrupt_random",
        "_duplicate_random",
        "_flows",
        "_heap",
        "_in_burst",
        "_jitter_random",
        "_last_due",
        "_loss_random",
        "_next_free",
        "_reorder_random",
        "_script",
        "_script_interval",
        "_script_start",
        "_sequence",
        "_tokens",
        "_tokens_at",
        "since",
        "spec",
        "stats",
    )

    def __init__(self, spec: LinkSpec, rng: random.Random, now: float = 0.0) -> None:
        self.stats = LinkStats()
        self._loss_random = _stream(rng)
        self._corrupt_random = _stream(rng)
        self._duplicate_random = _stream(rng)
        self._reorder_random = _stream(rng)
        self._jitter_random = _stream(rng)
        self._heap: Heap = []
        self._flows: dict[Hashable, tuple[int, int]] = {}  # packets and bytes of each so far
        self._script: Sequence[LinkSpec] = ()
        self._script_interval = self._script_start = 0.0
        self._sequence = 0
        self._next_free = now
        self._last_due = now
        self._in_burst = self._loss_random() < spec.loss  # start in the stationary state, not always in a good one
        self.change(spec, now)

    def change(self, spec: LinkSpec, now: float) -> None:
        """Obey `spec` from now on; packets already accepted keep their schedule. The blackout period starts
        anew, a script ends, a policer's bucket is full and no flow has been counted."""
        self.spec = spec
        self.since = now
        self._script = ()
        self._tokens, self._tokens_at = float(spec.police_bytes), now
        self._flows.clear()

    def play(self, script: Sequence[LinkSpec], *, interval: float, now: float) -> None:
        """Obey each of `script`, at least one, for `interval` seconds in turn, over and over."""
        self.change(script[0], now)
        self._script, self._script_interval, self._script_start = script, interval, now

    def queue_delay(self, now: float) -> float:
        """Seconds that a packet sent now waits before its own serialisation begins."""
        return max(0.0, self._next_free - now)

    def send(self, packet: bytes, now: float, *, overhead: int = UDP_OVERHEAD, flow: Hashable = None) -> None:
        """Put one packet on the link: a bare UDP payload with `overhead` header bytes, or a whole IP packet
        with 0.

        A packet finds room while the wait is no longer than `spec.queue`, so the queue never holds more than
        that plus one packet. `flow` stands for the 5-tuple of a bare payload and comes out beside it.
        """
        self._carry(self._heap, packet, now, overhead, flow)

    def next_delivery(self) -> float | None:
        """When the next packet arrives, None while nothing is under way."""
        return self._heap[0][0] if self._heap else None

    def deliver(self, now: float) -> list[bytes]:
        """All packets that have arrived by now, in the order of their arrival."""
        heap = self._heap
        if not heap or heap[0][0] > now:
            return []
        return [entry[2] for entry in self._take(heap, now)]

    def deliver_flows(self, now: float) -> list[tuple[bytes, Hashable]]:
        """The same, each with the flow that it was sent with."""
        return [(packet, flow) for _, _, packet, _, flow in self._take(self._heap, now)]

    def lane(self) -> Lane:
        """A way over this link for one more sender."""
        return Lane(self)

    def _carry(self, heap: Heap, packet: bytes, now: float, overhead: int, flow: Hashable) -> None:
        if self._script:
            self.spec = self._script[int((now - self._script_start) / self._script_interval) % len(self._script)]
        spec, stats = self.spec, self.stats
        size = len(packet) + overhead
        stats.in_packets += 1
        stats.in_bytes += size

        lost = spec.loss > 0 and self._is_lost()
        corruption = self._corrupt_random() if spec.corrupt else 1.0
        duplicated = self._duplicate_random() < spec.duplicate if spec.duplicate else False
        reordered = self._reorder_random() < spec.reorder if spec.reorder else False
        jitter = (2 * self._jitter_random() - 1) * spec.jitter if spec.jitter else 0.0

        if spec.mtu is not None and size > spec.mtu:
            stats.too_big += 1
            return
        is_counted = spec.freeze_packets is not None or spec.freeze_bytes is not None
        if is_counted and self._is_frozen(flow if overhead else five_tuple(packet), size):
            stats.frozen += 1
            return
        if spec.police_bps is not None and not self._has_tokens(size, spec.police_bps, now):
            stats.policed += 1
            return
        leave = now
        if spec.rate_bps is not None:
            if self._next_free < now:
                self._next_free = now
            elif self._next_free - now > spec.queue:
                stats.queue_dropped += 1
                return
            self._next_free += size * 8 / spec.rate_bps
            leave = self._next_free
        if spec.blackout_length and self._is_blacked_out(leave):
            stats.blacked_out += 1
            return
        if lost:
            stats.lost += 1
            return
        if len(heap) >= IN_FLIGHT_LIMIT:
            stats.queue_dropped += 1
            return
        if corruption < spec.corrupt:
            # Below the threshold the same draw, stretched, is uniform again: it also picks the bit.
            flip = flip_payload if overhead else flip_packet
            packet = flip(packet, corruption / spec.corrupt)
            stats.corrupted += 1
        if reordered:
            due = leave + spec.delay * EARLY
            stats.reordered += 1
        else:
            due = leave + spec.delay + jitter
            if due < self._last_due:
                due = self._last_due
            else:
                self._last_due = due
        heappush(heap, (due, self._sequence, packet, size, flow))
        self._sequence += 1
        if duplicated:
            heappush(heap, (due, self._sequence, packet, size, flow))
            self._sequence += 1
            stats.duplicated += 1

    def _take(self, heap: Heap, now: float) -> Heap:
        stats = self.stats
        arrived = []
        while heap and heap[0][0] <= now:
            entry = heappop(heap)
            stats.out_packets += 1
            stats.out_bytes += entry[3]
            arrived.append(entry)
        return arrived

    def _is_frozen(self, flow: Hashable, size: int) -> bool:
        """Counts a packet of `flow`; whether it comes after the last that may pass."""
        spec, flows = self.spec, self._flows
        packets, octets = flows.get(flow, (0, 0))
        if spec.freeze_packets is not None and packets >= spec.freeze_packets:
            return True
        if spec.freeze_bytes is not None and octets >= spec.freeze_bytes:
            return True
        if flow not in flows and len(flows) >= FLOW_LIMIT:
            del flows[next(iter(flows))]
        flows[flow] = (packets + 1, octets + size)
        return False

    def _has_tokens(self, size: int, rate_bps: float, now: float) -> bool:
        """Takes `size` tokens from the policer's bucket if it holds that many."""
        earned = (now - self._tokens_at) * rate_bps / 8
        self._tokens = min(self._tokens + earned, self.spec.police_bytes)
        self._tokens_at = now
        if self._tokens < size:
            return False
        self._tokens -= size
        return True

    def _is_lost(self) -> bool:
        """One step of the loss process (clocked by packets): Bernoulli, or the two states of Gilbert and
        Elliott.

        In the bad state every packet is lost. It ends with probability 1 / burst and begins with the
        probability that makes `loss` the share of time spent in it.
        """
        spec = self.spec
        draw = self._loss_random()
        if spec.burst <= 1 or spec.loss == 1:
            return draw < spec.loss
        leave_bad = 1 / spec.burst
        if self._in_burst:
            self._in_burst = draw >= leave_bad
        else:
            self._in_burst = draw < leave_bad * spec.loss / (1 - spec.loss)
        return self._in_burst

    def _is_blacked_out(self, time: float) -> bool:
        spec = self.spec
        return (time - self.since) % spec.blackout_period >= spec.blackout_period - spec.blackout_length


def five_tuple(packet: bytes) -> bytes:
    """Protocol, addresses and ports of a whole IP packet, without ports where they cannot be seen."""
    if packet[:1] and packet[0] >> 4 == 4 and len(packet) >= 20:
        header = (packet[0] & 0x0F) * 4
        has_ports = packet[9] in (TCP, UDP) and not (packet[6] << 8 | packet[7]) & 0x1FFF
        return packet[9:10] + packet[12:20] + (packet[header : header + 4] if has_ports else b"")
    if packet[:1] and packet[0] >> 4 == 6 and len(packet) >= IPV6_HEADER:
        ports = packet[IPV6_HEADER : IPV6_HEADER + 4] if packet[6] in (TCP, UDP) else b""
        return packet[6:7] + packet[8:40] + ports
    return b""


class Lane:
    """One sender's way over a link that it shares with others; the queue, the losses and `link.stats` are common."""

    __slots__ = ("link", "_heap")

    def __init__(self, link: Link) -> None:
        self.link = link
        self._heap: Heap = []

    def send(self, packet: bytes, now: float, *, overhead: int = UDP_OVERHEAD, flow: Hashable = None) -> None:
        """As `Link.send`."""
        self.link._carry(self._heap, packet, now, overhead, flow)

    def next_delivery(self) -> float | None:
        """When the next packet of this lane arrives, None while none is under way."""
        return self._heap[0][0] if self._heap else None

    def deliver(self, now: float) -> list[bytes]:
        """The packets of this lane that have arrived by now, in the order of their arrival."""
        return [entry[2] for entry in self.link._take(self._heap, now)]


Way = Link | Lane
"""What a sender needs of a link, shared or not."""


def _stream(rng: random.Random) -> Callable[[], float]:
    """An independent generator seeded from `rng`."""
    return random.Random(rng.getrandbits(64)).random

"""A bulk transfer over TCP as a Linux kernel would run it, for what it does to a tunnel and a tunnel to it.

The source has CUBIC with proportional rate reduction (RFC 6937) or BBR with pacing, SACK, RACK-TLP (RFC 8985), the
retransmission timeout of RFC 6298 with Linux's 200 ms floor, and takes a spurious timeout back (as RFC 5682). The sink
acknowledges every second segment, at once where something is missing, or after 40 ms. Either end may open the
connection.

Both ends are sans-IO: they are told the time and hand packets to a callable. What Linux has and this has not:
timestamps (its default; without them the MSS is 12 bytes larger), DSACK undo, ECN, segmentation offload, pacing of
CUBIC (fq only), a receive window that grows (it is 6 MB from the start), and the close.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import ClassVar, Final, Protocol

from ghost.constants import INNER_MTU
from ghost.simulation.bbr import Bbr, Sample
from ghost.simulation.cubic import Cubic
from ghost.simulation.segments import ACK, MAX_SACKS, SYN, Codec, Range, Segment

MSS: Final = INNER_MTU - 40
RECEIVE_WINDOW: Final = 6 << 20  # bytes: the largest that Linux tunes itself to (tcp_rmem)
DELAYED_ACK: Final = 0.040  # seconds
SYN_TIMEOUT: Final = 1.0  # RFC 6298
LEAST_VARIATION: Final = 0.2  # Linux: the timeout is the smoothed round trip and at least this
MOST_TIMEOUT: Final = 120.0
DUPLICATE_THRESHOLD: Final = 3
ROUNDING: Final = 1e-9  # seconds: sums of the same times in another order

Send = Callable[[bytes, float], None]
Control = Cubic | Bbr


class Content(Protocol):
    """What is carried."""

    def randbytes(self, size: int, /) -> bytes:
        """The next bytes of it, or some that may be."""


class TcpSink:
    """The receiving end. `received` counts bytes in order, `deliveries` says when each count was reached."""

    __slots__ = (
        "received",
        "deliveries",
        "_codec",
        "_send",
        "_is_opener",
        "_is_open",
        "_gaps_beyond",
        "_unacknowledged",
        "_timer",
        "_syn_timeout",
    )

    def __init__(self, codec: Codec, send: Send, *, is_opener: bool) -> None:
        self.received = 0
        self.deliveries: list[tuple[float, int]] = []
        self._codec = codec
        self._send = send
        self._is_opener = is_opener
        self._is_open = False
        self._gaps_beyond: list[Range] = []  # sequences received out of order, latest first
        self._unacknowledged = 0
        self._timer: float | None = None
        self._syn_timeout = SYN_TIMEOUT

    def open(self, now: float) -> None:
        if self._is_opener:
            self._send_syn(now)

    def next_time(self) -> float | None:
        return self._timer

    def handle_timeout(self, now: float) -> None:
        if self._timer is None or self._timer > now:
            return
        if self._is_opener and not self._is_open:
            self._syn_timeout *= 2
            self._send_syn(now)
        else:
            self._acknowledge(now)

    def receive(self, segment: Segment, now: float) -> None:
        if segment.flags & SYN:
            self._is_open = True
            if self._is_opener:
                self._acknowledge(now)
            else:
                self._send(self._codec.encode(sequence=0, acknowledgement=1, flags=SYN | ACK), now)
        elif segment.size:
            self._on_data(segment.sequence, segment.sequence + segment.size, now)

    def _send_syn(self, now: float) -> None:
        self._send(self._codec.encode(sequence=0, acknowledgement=0, flags=SYN), now)
        self._timer = now + self._syn_timeout

    def _on_data(self, start: int, end: int, now: float) -> None:
        expected = 1 + self.received
        had_gap = bool(self._gaps_beyond)
        if start > expected:
            self._hold(start, end)
        elif end > expected:
            while self._gaps_beyond and (follower := min(self._gaps_beyond))[0] <= end:
                self._gaps_beyond.remove(follower)
                end = max(end, follower[1])
            self.received = end - 1
            self.deliveries.append((now, self.received))
        self._unacknowledged += 1
        if self._unacknowledged >= 2 or had_gap or start != expected:
            self._acknowledge(now)
        elif self._timer is None:
            self._timer = now + DELAYED_ACK

    def _hold(self, start: int, end: int) -> None:
        apart = []
        for held in self._gaps_beyond:
            if held[1] < start or held[0] > end:
                apart.append(held)
            else:
                start, end = min(start, held[0]), max(end, held[1])
        self._gaps_beyond = [(start, end), *apart]

    def _acknowledge(self, now: float) -> None:
        self._unacknowledged = 0
        self._timer = None
        sacks = tuple(self._gaps_beyond[:MAX_SACKS])
        packet = self._codec.encode(sequence=1, acknowledgement=1 + self.received, flags=ACK, sacks=sacks)
        self._send(packet, now)


class Phase:
    """No Enum, as ghost.reliability.congestion's Mode is none. LOSS is after a timeout."""

    __slots__ = ("value",)
    CLOSED: ClassVar[Phase]
    OPENING: ClassVar[Phase]
    OPEN: ClassVar[Phase]
    RECOVERY: ClassVar[Phase]
    LOSS: ClassVar[Phase]

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"<{self.value}>"


Phase.CLOSED, Phase.OPENING, Phase.OPEN = Phase("closed"), Phase("opening"), Phase("open")
Phase.RECOVERY, Phase.LOSS = Phase("recovery"), Phase("loss")


@dataclass(slots=True)
class TcpStats:
    sent: int = 0  # segments, retransmissions included
    retransmitted: int = 0
    recoveries: int = 0
    timeouts: int = 0
    spurious_timeouts: int = 0
    tail_probes: int = 0


_IN_FLIGHT, _SACKED, _LOST = range(3)  # the fate of a segment


class _Sent:
    """A segment not yet acknowledged; `order` counts transmissions. `delivered`, `delivered_at` and `first_sent` are
    what the rate of its delivery is counted from (draft-cheng-iccrg-delivery-rate-estimation)."""

    __slots__ = ("payload", "time", "order", "fate", "is_repeat", "delivered", "delivered_at", "first_sent")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.time = 0.0
        self.order = -1
        self.fate = _LOST
        self.is_repeat = False
        self.delivered = 0
        self.delivered_at = self.first_sent = 0.0


class TcpSource:
    """The sending end: segments of MSS bytes from `rng`, for ever or until `total` bytes (rounded up to whole
    segments). `control` is CUBIC unless given; it, `stats`, `phase` and `srtt` may be looked at."""

    __slots__ = (
        "control",
        "stats",
        "phase",
        "srtt",
        "_codec",
        "_send",
        "_is_opener",
        "_content",
        "_count",
        "_variation",
        "_min_rtt",
        "_una",
        "_next",
        "_window",
        "_in_flight",
        "_sacked",
        "_highest_sacked",
        "_sacks_done",
        "_lost",
        "_by_order",
        "_order",
        "_newest_order",
        "_newest_rtt",
        "_has_seen_reordering",
        "_recovery_end",
        "_prr_delivered",
        "_prr_sent",
        "_prior_cwnd",
        "_may_be_spurious",
        "_backoff",
        "_opened",
        "_timeout_at",
        "_probe_at",
        "_reorder_at",
        "_pace_at",
        "_delivered",
        "_delivered_at",
        "_first_sent",
        "_newest_delivered",
    )

    def __init__(
        self,
        codec: Codec,
        send: Send,
        *,
        is_opener: bool,
        rng: Content,
        total: int | None = None,
        control: Control | None = None,
    ) -> None:
        self.control: Control = control or Cubic()
        self.stats = TcpStats()
        self.phase = Phase.CLOSED
        self.srtt = 0.0
        self._codec = codec
        self._send = send
        self._is_opener = is_opener
        self._content = rng
        self._count = math.inf if total is None else math.ceil(total / MSS)
        self._variation = 0.0
        self._min_rtt = math.inf
        self._una = 0  # index of the oldest segment not acknowledged
        self._next = 0  # index of the first segment never sent
        self._window: dict[int, _Sent] = {}
        self._in_flight = 0
        self._sacked = 0
        self._highest_sacked = -1
        self._sacks_done: dict[int, int] = {}  # start of a SACK block to the end that has been worked off
        self._lost: list[int] = []  # heap of indices; one whose fate has changed since is skipped
        self._by_order: OrderedDict[int, tuple[int, _Sent]] = OrderedDict()  # in flight, oldest sending first
        self._order = 0
        self._newest_order = -1  # of all delivered segments, with its round trip: RACK's yardstick
        self._newest_rtt = 0.0
        self._has_seen_reordering = False
        self._recovery_end = 0
        self._prr_delivered = 0
        self._prr_sent = 0
        self._prior_cwnd = 0.0
        self._may_be_spurious = False
        self._backoff = 0
        self._opened = 0.0
        self._timeout_at: float | None = None
        self._probe_at: float | None = None
        self._reorder_at: float | None = None
        self._pace_at: float | None = None  # when pacing allows the next segment
        self._delivered = 0  # segments ever
        self._delivered_at = 0.0
        self._first_sent = 0.0  # when the segment delivered last was sent
        self._newest_delivered: _Sent | None = None  # of the acknowledgement that is being read

    def open(self, now: float) -> None:
        if self._is_opener:
            self._send_syn(now)

    def next_time(self) -> float | None:
        least = self._timeout_at  # written out: asked for every packet
        due = self._probe_at
        if due is not None and (least is None or due < least):
            least = due
        due = self._reorder_at
        if due is not None and (least is None or due < least):
            least = due
        due = self._pace_at
        if due is not None and (least is None or due < least):
            least = due
        return least

    def handle_timeout(self, now: float) -> None:
        if self._pace_at is not None and self._pace_at <= now:
            self._pace_at = None
            self._transmit(now)
        if self._reorder_at is not None and self._reorder_at <= now:
            if self._detect_losses(now):
                if self.phase is Phase.OPEN:
                    self._enter_recovery()
                if self.phase is Phase.RECOVERY and isinstance(self.control, Cubic):
                    self._reduce_proportionally(self.control, 1, is_safe=False)
            self._transmit(now)
        if self._timeout_at is not None and self._timeout_at <= now:
            self._on_timeout(now)
        elif self._probe_at is not None and self._probe_at <= now:
            self._send_tail_probe(now)

    def receive(self, segment: Segment, now: float) -> None:
        if segment.flags & SYN:
            if not segment.flags & ACK:  # the sink opens; a repeat means that the answer was lost
                self._send_syn(now)
                return
            if self.phase is Phase.OPENING:
                self._establish(now)
        elif self.phase is Phase.OPENING:
            self._establish(now)
        elif self.phase is not Phase.CLOSED:
            self._on_ack(segment, now)

    # ---- opening ----------------------------------------------------------------------------------------------

    def _send_syn(self, now: float) -> None:
        if self.phase not in (Phase.CLOSED, Phase.OPENING):
            return
        self.phase = Phase.OPENING
        flags = SYN if self._is_opener else SYN | ACK
        self._send(self._codec.encode(sequence=0, acknowledgement=0 if self._is_opener else 1, flags=flags), now)
        if self._timeout_at is None:
            self._opened = now
        self._timeout_at = now + SYN_TIMEOUT * (1 << self._backoff)

    def _establish(self, now: float) -> None:
        self.phase = Phase.OPEN
        self._timeout_at = None
        if not self._backoff:
            self._on_rtt(now - self._opened)
            if isinstance(self.control, Bbr):
                self.control.on_open(now - self._opened)
        self._backoff = 0
        self._transmit(now)

    # ---- acknowledgements ---------------------------------------------------------------------------------------

    def _on_ack(self, segment: Segment, now: float) -> None:
        acked_to = (segment.acknowledgement - 1) // MSS
        if acked_to < self._una or acked_to > self._next:
            return
        control = self.control
        is_limited = self._is_window_limited()
        in_flight_before = self._in_flight
        self._newest_delivered = None
        has_advanced = acked_to > self._una
        originals: list[float] = []  # times of first sendings that this acknowledgement covers
        is_original_acked = is_repeat_acked = False
        delivered = 0
        for index in range(self._una, acked_to):
            sent = self._window.pop(index)
            if sent.fate == _SACKED:
                self._sacked -= 1
                continue
            delivered += 1
            if sent.is_repeat:
                is_repeat_acked = True
            else:
                is_original_acked = True
            self._deliver(index, sent, originals, now)
        self._una = acked_to
        if self._sacks_done and not self._sacked:
            self._sacks_done.clear()
        if is_repeat_acked:
            originals.clear()  # they may have waited for the repeat, with their own acknowledgement lost
        for block in segment.sacks:
            delivered += self._on_sack(block, originals, now)
        if originals:
            self._on_rtt(now - originals[0])
            if isinstance(control, Cubic):
                control.on_rtt(now - originals[-1], acked_to=acked_to, sent_to=self._next, now=now)
        lost = self._detect_losses(now)
        if self.phase is Phase.LOSS and self._may_be_spurious and is_original_acked:
            self._undo_timeout()
        if self.phase in (Phase.RECOVERY, Phase.LOSS) and acked_to >= self._recovery_end:
            if self.phase is Phase.RECOVERY and isinstance(control, Cubic):
                control.cwnd = control.ssthresh
            self.phase = Phase.OPEN
        if lost and self.phase is Phase.OPEN:
            self._enter_recovery()
        if isinstance(control, Bbr):
            rtt = now - originals[-1] if originals else None
            control.on_ack(self._sample(delivered, lost, rtt, in_flight_before), now)
        elif self.phase is Phase.RECOVERY:
            self._reduce_proportionally(control, delivered, is_safe=has_advanced and not lost)
        elif has_advanced and is_limited:
            control.on_acked(delivered, now)
        if has_advanced:
            self._backoff = 0
            self._restart_timers(now)
        self._transmit(now)

    def _on_sack(self, block: Range, originals: list[float], now: float) -> int:
        """Segments delivered by the block that were not known before."""
        start, end = (block[0] - 1) // MSS, (block[1] - 1) // MSS
        first = max(self._sacks_done.get(start, start), self._una)
        self._sacks_done[start] = max(end, first)
        delivered = 0
        for index in range(first, end):
            sent = self._window[index]
            if sent.fate != _SACKED:
                delivered += 1
                self._deliver(index, sent, originals, now)
                sent.fate = _SACKED
                self._sacked += 1
                self._highest_sacked = max(self._highest_sacked, index)
        return delivered

    def _deliver(self, index: int, sent: _Sent, originals: list[float], now: float) -> None:
        if sent.fate == _IN_FLIGHT:
            self._in_flight -= 1
            del self._by_order[sent.order]
        self._delivered += 1
        self._delivered_at = now
        if self._newest_delivered is None or sent.order > self._newest_delivered.order:
            self._newest_delivered = sent
        rtt = now - sent.time
        if not sent.is_repeat:
            originals.append(sent.time)
            self._has_seen_reordering |= index < self._highest_sacked
        elif rtt < self._min_rtt:
            return  # the first sending was delivered after all and says nothing of this one
        if sent.order > self._newest_order:
            self._newest_order, self._newest_rtt = sent.order, rtt

    def _sample(self, delivered: int, lost: int, rtt: float | None, in_flight_before: int) -> Sample:
        newest = self._newest_delivered
        rate = None
        if newest is not None:
            self._first_sent = newest.time
            interval = max(newest.time - newest.first_sent, self._delivered_at - newest.delivered_at)
            if interval >= self._min_rtt - ROUNDING:  # less is compressed acknowledgements, not a rate
                rate = (self._delivered - newest.delivered) / interval
        return Sample(
            acked=delivered,
            lost=lost,
            rate=rate,
            rtt=rtt,
            delivered=self._delivered,
            delivered_before=newest.delivered if newest is not None else 0,
            in_flight_before=in_flight_before,
            in_flight=self._in_flight,
            is_recovering=self.phase is not Phase.OPEN,
        )

    def _on_rtt(self, rtt: float) -> None:
        """RFC 6298."""
        if rtt < self._min_rtt:
            self._min_rtt = rtt
        if self.srtt:
            self._variation += (abs(rtt - self.srtt) - self._variation) / 4
            self.srtt += (rtt - self.srtt) / 8
        else:
            self.srtt, self._variation = rtt, rtt / 2

    def _is_window_limited(self) -> bool:
        """Linux: in slow start half of the window in use is enough to let it grow."""
        control = self.control
        is_slow_start = isinstance(control, Cubic) and control.cwnd < control.ssthresh
        return self._in_flight * (2 if is_slow_start else 1) >= int(control.cwnd)

    # ---- losses -----------------------------------------------------------------------------------------------

    def _detect_losses(self, now: float) -> int:
        """RACK: lost is what was sent before something that has arrived, and a reordering's time ago. Returns how
        many were."""
        patience = 0.0
        is_suspicious = self.phase is not Phase.OPEN or self._sacked >= DUPLICATE_THRESHOLD
        if self._has_seen_reordering or not is_suspicious:
            patience = min(self._min_rtt / 4, self.srtt)
        self._reorder_at = None
        lost = []
        newest_order = self._newest_order
        for order, (index, sent) in self._by_order.items():
            if order >= newest_order:
                break
            due = sent.time + self._newest_rtt + patience
            if due > now + ROUNDING:
                self._reorder_at = due
                break
            lost.append((index, sent))
        for index, sent in lost:
            self._mark_lost(index, sent)
        return len(lost)

    def _mark_lost(self, index: int, sent: _Sent) -> None:
        sent.fate = _LOST
        self._in_flight -= 1
        del self._by_order[sent.order]
        heappush(self._lost, index)

    def _enter_recovery(self) -> None:
        self.phase = Phase.RECOVERY
        self.stats.recoveries += 1
        self._prior_cwnd = self.control.cwnd
        self._recovery_end = self._next
        self._prr_delivered = self._prr_sent = 0
        self._probe_at = None
        self.control.on_loss()

    def _reduce_proportionally(self, cubic: Cubic, delivered: int, *, is_safe: bool) -> None:
        """RFC 6937 with the slow-start bound: sending shrinks with what is delivered, not at once."""
        self._prr_delivered += delivered
        if self._in_flight > cubic.ssthresh:
            share = self._prr_delivered * cubic.ssthresh / self._prior_cwnd
            room = math.ceil(share) - self._prr_sent
        else:
            room = max(self._prr_delivered - self._prr_sent, delivered) + is_safe
            room = min(int(cubic.ssthresh) - self._in_flight, room)
        cubic.cwnd = float(self._in_flight + max(room, 0 if self._prr_sent else 1))

    def _on_timeout(self, now: float) -> None:
        self._backoff += 1
        if self.phase is Phase.OPENING:
            self._send_syn(now)
            return
        self.stats.timeouts += 1
        if self.phase is Phase.OPEN or (self.phase is Phase.LOSS and self._backoff == 1):
            self.control.on_loss()
        self._may_be_spurious = self._backoff == 1
        self.phase = Phase.LOSS
        self._recovery_end = self._next
        for index, sent in list(self._by_order.values()):
            self._mark_lost(index, sent)
        self.control.on_timeout()
        self._probe_at = self._reorder_at = None
        self._timeout_at = now + self._timeout()
        self._transmit(now)

    def _undo_timeout(self) -> None:
        """What was sent once has arrived, so nothing was lost but time."""
        self.stats.spurious_timeouts += 1
        self._may_be_spurious = False
        self.phase = Phase.OPEN
        self.control.undo()
        for index in self._lost:
            sent = self._window.get(index)
            if sent is not None and sent.fate == _LOST:
                sent.fate = _IN_FLIGHT
                self._in_flight += 1
                self._by_order[sent.order] = (index, sent)
        self._by_order = OrderedDict(sorted(self._by_order.items()))
        self._lost.clear()

    # ---- sending ----------------------------------------------------------------------------------------------

    def _transmit(self, now: float) -> None:
        allowed = int(self.control.cwnd)
        if self._in_flight >= allowed:
            return
        limit: float = self._una + RECEIVE_WINDOW // MSS
        if self._count < limit:
            limit = self._count
        while self._in_flight < allowed and self._pace_at is None:
            index = self._next_lost()
            if index is None:
                if self._next >= limit:
                    return
                self._send_new(now)
            else:
                self._send_segment(index, self._window[index], now)
            if isinstance(self.control, Bbr):
                self._pace_at = now + 1 / self.control.pacing_rate

    def _next_lost(self) -> int | None:
        while self._lost:
            sent = self._window.get(self._lost[0])
            index = heappop(self._lost)
            if sent is not None and sent.fate == _LOST:
                return index
        return None

    def _send_new(self, now: float) -> None:
        index = self._next
        self._next += 1
        sent = self._window[index] = _Sent(self._content.randbytes(MSS))
        self._send_segment(index, sent, now)
        if self.phase is Phase.OPEN:
            self._schedule_probe(now)

    def _send_segment(self, index: int, sent: _Sent, now: float) -> None:
        stats, order = self.stats, self._order
        stats.sent += 1
        if sent.order >= 0:
            sent.is_repeat = True
            stats.retransmitted += 1
        if not self._in_flight:
            self._first_sent = self._delivered_at = now
        sent.time = now
        sent.delivered, sent.delivered_at, sent.first_sent = self._delivered, self._delivered_at, self._first_sent
        sent.order = order
        sent.fate = _IN_FLIGHT
        self._order = order + 1
        self._by_order[order] = (index, sent)
        self._in_flight += 1
        self._prr_sent += 1
        if self._timeout_at is None or index == self._una:
            self._timeout_at = now + self._timeout()
        packet = self._codec.encode(sequence=1 + index * MSS, acknowledgement=1, flags=ACK, payload=sent.payload)
        self._send(packet, now)

    # ---- timers -----------------------------------------------------------------------------------------------

    def _timeout(self) -> float:
        if not self.srtt:
            return SYN_TIMEOUT * (1 << self._backoff)
        spread = 4 * self._variation
        timeout = (self.srtt + (spread if spread > LEAST_VARIATION else LEAST_VARIATION)) * (1 << self._backoff)
        return timeout if timeout < MOST_TIMEOUT else MOST_TIMEOUT

    def _restart_timers(self, now: float) -> None:
        self._probe_at = None
        if not self._window:
            self._timeout_at = None
            return
        self._timeout_at = now + self._timeout()
        if self.phase is Phase.OPEN:
            self._schedule_probe(now)

    def _schedule_probe(self, now: float) -> None:
        """RFC 8985 section 7.2; Linux does without while there are SACKs, for then RACK's timer runs."""
        self._probe_at = None
        if self._sacked or not self.srtt:
            return
        probe_at = now + 2 * self.srtt + (LEAST_VARIATION if self._in_flight == 1 else 0.0)
        if self._timeout_at is not None and probe_at < self._timeout_at:
            self._probe_at = probe_at

    def _send_tail_probe(self, now: float) -> None:
        self.stats.tail_probes += 1
        if self._next < min(self._count, self._una + RECEIVE_WINDOW // MSS):
            self._send_new(now)
        else:
            index = self._next - 1
            sent = self._window[index]
            if sent.fate == _IN_FLIGHT:
                self._in_flight -= 1
                del self._by_order[sent.order]
                self._send_segment(index, sent, now)
        self._probe_at = None
        self._timeout_at = now + self._timeout()

"""How fast to send: the bottleneck's rate and no more, whatever is lost on the way.

Loss by itself is no signal here. The rate follows the span rate (span.py) while the one-way delay shows a queue, and
grows while it shows none:

    START   push far above the rate seen until a queue appears and less is served than sent (start.py): then the span
            rate is the bottleneck's.
    DRAIN   send less, until as much arrives as is sent: the queue is empty, and what delay is left is the path's own
            jitter or somebody else's queue. From then on only what exceeds that counts. After START, and once a second.
    STEADY  pace at the estimate, corrected by the queue's distance from its target of a few packets. An unsaturated
            path is probed with growing steps, each only after all that the last one sent was served.

Bytes here are wire bytes: datagrams with their IP and UDP headers, first transmissions, repairs and acknowledgements
alike. Repairs are inside the rate, never on top of it.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import ClassVar, Final

from ghost.constants import FULL_PACKET
from ghost.reliability import start
from ghost.reliability.delay import QueueDelay
from ghost.reliability.excess import ExcessLoss, Verdict
from ghost.reliability.loss import SentPacket
from ghost.reliability.rivalry import Rivalry
from ghost.reliability.rtt import INITIAL_RTT, RttEstimator
from ghost.reliability.span import SpanRate
from ghost.reliability.start import Start

INITIAL_PACKETS: Final = 10  # a round trip; RFC 6928's initial window
INITIAL_WINDOW: Final = 16 * FULL_PACKET  # bytes: those packets and what repairs them
INITIAL_SPREAD: Final[tuple[float, ...]] = (0.05, 0.3)
"""Seconds over which they are spread at least, and at most: whoever is long on the way would begin so slowly that an
inner TCP takes it for a queue."""
START_WINDOW: Final = 2.0  # times what is delivered: a push is far shorter than the round trip that is in flight
LEAST_RATE: Final[float] = (
    4.0 * FULL_PACKET
)  # bytes a second, 47 kbit/s: below it acknowledgements are too rare to steer by
LEAST_WINDOW: Final = 4 * FULL_PACKET  # bytes
HEADROOM: Final = 0.08  # seconds of the rate in flight beyond 1.6 round trips: half of the acknowledgements may be lost

LEAST_HORIZON: Final = 0.020  # seconds: on shorter round trips batches and acknowledgements set the pace of news
SPAN_PACKETS: Final = 10
LONGEST_STEP: Final = 2 * FULL_PACKET / LEAST_RATE  # seconds from packet to packet at most, while no rate is known

LATE: Final = 2.0  # seconds after which a first backlog is another kind of traffic than before, if
FEW: Final = 16  # symbols at most were sent, and
JITTERY: Final = 0.01  # seconds of jitter were seen

PROVING_PACKETS: Final = 3  # a queue so long is no shallow buffer's

DRAIN_PERIOD: Final = 1.0  # seconds, at least 10 round trips
DRAIN_GAIN: Final = 0.90
DRAIN_GAIN_DEEP: Final = 0.75  # where a steady delay is taken for the path's own: it might be ours
DRAIN_GAIN_AFTER_START: Final = 0.5  # START leaves up to a round trip's worth of queue
OVERSHOT: Final = 0.6  # times the rate after a drain that left a long queue, after START and
OVERSHOT_JITTERS: Final = 6.0
PASSING: Final = 0.75  # of what the path does not lose by itself: the delay that is left is nobody's queue
MOST_OVERSHOOTS: Final = 4  # times at most: then it is somebody else's
DRAIN_MOST: Final = 4  # horizons or measurements: by then the queue is not ours
DRAIN_SAMPLES: Final = 5
DRAINED: Final = 0.03  # more arriving than sent by less than this share: there is no queue left to arrive from
FLOORS: Final = 8  # drains remembered

TARGET_PACKETS: Final = 3  # a standing queue short enough for calls, long enough to see that the path is full
LEAST_TARGET: Final = 0.005  # seconds: a turn of a busy receiver takes 1-3 ms and hides anything shorter
MOST_TARGET: Final = 0.006
QUEUE_GAIN: Final = 0.5
CREEP: Final = 0.02
LARGEST_CUT: Final = 0.3
FULL: Final = 0.5  # of the last horizon with a queue: we fill the path
CONGESTED: Final = 0.025  # seconds of queue beyond twice the target: what is lost now is dropped by it

PROBE_FIRST: Final = 0.01
PROBE_AFTER_START: Final = 0.08  # START that ended before a queue was seen may have ended far too early
MOST_LOSS: Final = 0.67  # beyond it the rate is at fault whatever a trial said: no such link is pressed harder
PROBE_NOISY: Final = 0.03
NOISE: Final = 2.0
PROBE_TO_PAY: Final = 0.15
PROBE_MOST: Final = 0.5
HOLD_FIRST: Final = 1.0  # seconds without growth after a loss that the rate had caused, doubled each time
HOLD_MOST: Final = 16.0
CUT: Final = 0.97  # of what was delivered, corrected for the path's own loss
PROBE_PROOF: Final = 0.85  # of the estimate must have been sent and served before it grows further
STRETCH_LIMIT: Final = 0.03  # more sent than served by this share: the queue grows, though it may not show yet


class Mode:
    """No Enum: in Python 3.11 finding a member of one takes ten times as long, and every packet asks some times."""

    __slots__ = ("value",)
    START: ClassVar[Mode]
    DRAIN: ClassVar[Mode]
    STEADY: ClassVar[Mode]

    def __init__(self, value: str) -> None:
        self.value = value


Mode.START, Mode.DRAIN, Mode.STEADY = Mode("start"), Mode("drain"), Mode("steady")


class CongestionControl:
    """`rate` is the estimate of the bottleneck and `pacing_rate` what to send now, both in wire bytes a second."""

    __slots__ = (
        "mode",
        "trials",
        "guilty",
        "rate",
        "pacing_rate",
        "packet_size",
        "delay",
        "queue",
        "_span",
        "_max_rate",
        "_updated",
        "_horizon",
        "_min_rtt",
        "_smoothed_rtt",
        "_mode_since",
        "_overshoots",
        "_drained",
        "_floors",
        "_floor",
        "_spread",
        "_start",
        "_began",
        "_is_unused",
        "_next_drain",
        "_unsaturated_since",
        "_probe",
        "_grown_at",
        "_refilled_at",
        "_busy",
        "_last_step",
        "_delivered_before",
        "_excess",
        "_rivalry",
        "_passed",
        "_path_loss",
        "_rate_before",
        "_hold",
        "_hold_until",
    )

    def __init__(self, *, max_rate: float | None, now: float) -> None:
        self.mode = Mode.START
        self.trials = self.guilty = 0
        """How often a loss put the rate on trial, and how often the rate was found to be its cause."""
        self.rate = INITIAL_PACKETS * FULL_PACKET / INITIAL_RTT
        self.pacing_rate = 0.0
        self.packet_size = FULL_PACKET
        """Bytes of the largest packets that are sent now: the standing queue is measured in them."""
        self.delay = QueueDelay()
        self.queue = 0.0
        """Seconds of queue that is ours, as far as it can be told."""
        self._span = SpanRate()
        self._max_rate = max_rate or float("inf")
        self._updated = now
        self._min_rtt = self._smoothed_rtt = INITIAL_RTT
        self._horizon = max(INITIAL_RTT, LEAST_HORIZON)  # seconds in which what is done now shows
        self._mode_since = now
        self._overshoots = MOST_OVERSHOOTS
        self._drained: list[float] = []  # queue samples of the drain that is under way
        self._floors: deque[tuple[float, float]] = deque(maxlen=FLOORS)  # what the last drains left, and its spread
        self._floor = self._spread = 0.0
        self._next_drain = now
        self._unsaturated_since: float | None = None
        self._probe = PROBE_FIRST
        self._grown_at = self._refilled_at = now
        self._last_step = self._delivered_before = 0.0
        self._busy = 0.0  # the share of the last horizon in which a queue showed
        self._excess = ExcessLoss(now)
        self._rivalry = Rivalry()
        self._path_loss = 0.0
        self._rate_before = self._passed = 0.0  # the rate on trial, and what was delivered of it
        self._hold = HOLD_FIRST
        self._hold_until = now
        self._start = Start(self.rate, now)
        self._began = now
        self._is_unused = True  # nothing had to wait yet
        self._set_pacing(self._start.gain)

    def limit(self, max_rate: float | None) -> None:
        """Never pace faster than this from now on, bytes a second; None for no limit."""
        self._max_rate = max_rate or float("inf")
        self.pacing_rate = min(self.pacing_rate, self._max_rate)

    @property
    def target(self) -> float:
        """Seconds of standing queue to keep."""
        return self._target_of(self.packet_size, self.rate)

    @staticmethod
    def _target_of(packet_size: int, rate: float) -> float:
        packet_time = packet_size / rate
        target = TARGET_PACKETS * packet_time
        if target <= LEAST_TARGET:
            return LEAST_TARGET
        return min(target, max(MOST_TARGET, packet_time))

    @property
    def window(self) -> float:
        """Bytes in flight beyond which nothing more is sent, whatever the pacing says."""
        if self._rivalry.is_on and self.mode is Mode.STEADY:
            return max(self._rivalry.window, LEAST_WINDOW)
        span = 1.6 * self._horizon + HEADROOM
        if self.mode is Mode.START:
            surviving = 1 - self._path_loss
            proved = START_WINDOW * self._start.delivered / surviving
            begun = INITIAL_WINDOW + START_WINDOW * self._start.carried / surviving if not self._start.has_rate else 0.0
            return max(min(start.GAIN * self.rate, proved) * span + INITIAL_WINDOW, begun)
        window = self.rate * span
        return window if window > LEAST_WINDOW else LEAST_WINDOW

    @property
    def likely_rate(self) -> float:
        """What the path may turn out to carry, in wire bytes a second: queues are sized by it."""
        return start.PROSPECT * self.rate if self.mode is Mode.START else self.rate

    @property
    def is_starting(self) -> bool:
        """Whether the rate is still being found: what is sent does not fill the path."""
        return self.mode is Mode.START and not self._start.is_crowded(self._smoothed_rtt)

    @property
    def is_congested(self) -> bool:
        """Whether losses are now more likely the queue's than the path's."""
        if self.mode is Mode.START and self._start.is_crowded(self._smoothed_rtt):
            return True
        return self._rivalry.is_on or self.has_long_queue

    @property
    def has_long_queue(self) -> bool:
        """Whether more than what we want stands there, and more than noise."""
        if self.queue <= CONGESTED:  # nearly always: every packet asks
            return False
        return self.queue > CONGESTED + 2 * self._target_of(FULL_PACKET, self.rate) + self.noise

    @property
    def noise(self) -> float:
        """Seconds by which the queue's measure varies without a queue."""
        if not self.delay.is_noisy:
            return 2 * self.delay.jitter
        return max(NOISE * self.delay.jitter, self._spread)

    def on_ack(
        self,
        packet: SentPacket,
        *,
        arrived: float,
        acked_bytes: int,
        ack_delay: float,
        rtt: RttEstimator,
        has_backlog: bool,
        now: float,
    ) -> None:
        """`packet` is the reference packet, `arrived` its arrival on the receiver's clock.

        `acked_bytes` are all that was acknowledged so far. `has_backlog`: more is waiting than may leave.
        """
        if self._is_unused and not packet.is_app_limited:
            self._is_unused = False
            if now - self._began > LATE and packet.sources < FEW and self.delay.jitter > JITTERY:
                self._begin_anew(now)
        self._min_rtt, self._smoothed_rtt = rtt.min_rtt, rtt.smoothed
        horizon = rtt.smoothed / 2  # comparisons written out: a call of `max` takes ten times as long
        if horizon < rtt.min_rtt:
            horizon = rtt.min_rtt
        self._horizon = horizon if horizon > LEAST_HORIZON else LEAST_HORIZON
        if not self._start.has_rate:
            self.rate = INITIAL_PACKETS * FULL_PACKET / min(max(rtt.smoothed, INITIAL_SPREAD[0]), INITIAL_SPREAD[1])
        self.delay.update(
            arrived - packet.time,
            rtt.latest - ack_delay,
            grain=FULL_PACKET / self.rate,
            round_trip_time=rtt.smoothed,
            now=now,
        )
        queue = self.delay.queue - self._floor
        self.queue = queue if queue > 0 else 0.0
        if self.mode is Mode.START:
            window = self._start.window(self.delay.jitter, horizon=self._horizon, rate=self.rate)
        else:
            horizon = self._horizon * (1.0 if self.mode is Mode.STEADY else 0.5)
            window = horizon + 4 * self.delay.jitter
            least = SPAN_PACKETS * FULL_PACKET / self.rate
            if window < least:
                window = least
        has_span = self._span.update(
            packet,
            arrived=arrived,
            acked_bytes=acked_bytes,
            window=window,
            longest_step=LONGEST_STEP if self._start.is_assumed else 0.0,
            is_broken_by_pauses=self.mode is not Mode.START,
        )
        if self._excess.is_on_trial:
            self._set_pacing(1.0)
        elif self.mode is Mode.START:
            self.rate = self._start.on_ack(
                packet,
                arrived=arrived,
                acked_bytes=acked_bytes,
                rate=self.rate,
                queue=self.queue,
                delay=self.delay,
                span=self._span if has_span else None,
                window=window,
                path_loss=self._path_loss,
                rtt=rtt,
                has_backlog=has_backlog,
                now=now,
            )
            if self._start.is_over and self.queue * self._span.delivered > PROVING_PACKETS * FULL_PACKET:
                self._excess.learn(self._path_loss, rate=self.rate)
            if self._start.is_over:
                self._overshoots *= not self._start.is_doubtful
                self._drain(DRAIN_GAIN_AFTER_START, now)
            else:
                self._set_pacing(self._start.gain)
        elif self.mode is Mode.DRAIN:
            self._on_drain_ack(packet, has_span, window, now)
        else:
            target = self._target_of(FULL_PACKET, self._rivalry.unstarved(self.rate))
            self._rivalry.watch(
                0.0 if self.delay.is_noisy else self.delay.queue,
                ours=2 * target + self.noise,  # short packets wait behind long ones of before
                rate=self.rate,
                round_trip=rtt.smoothed,
                elapsed=now - self._updated,
                now=now,
            )
            if self._rivalry.accepted > self._floor:
                self._floor = self._rivalry.accepted
            if self._rivalry.is_on:
                self._on_rivalry_ack(has_span, rtt.smoothed, now)
            else:
                self._on_steady_ack(packet, has_span, window, now)
        self._updated = now

    def on_fates(
        self, acked: list[SentPacket], lost: list[SentPacket], *, loss: float, burst: float, now: float
    ) -> bool:
        """Packets known to have arrived or to be lost; returns whether they put the rate on trial.

        `loss` is the path's rate of loss as far as it is known, `burst` the mean length of a run of losses.
        """
        self._path_loss = loss if loss < MOST_LOSS else MOST_LOSS
        is_aftermath = self.mode is Mode.DRAIN and self._overshoots > 0  # of START, which sent too much at its end
        if self.is_congested or is_aftermath:  # the queue's drops, and the queue is being dealt with
            self._excess.abandon(now)
            return False
        verdict = self._excess.update(
            acked,
            lost,
            rate=self.rate,
            burst=burst,
            horizon=self._horizon,
            now=now,
            most=self.window / self._smoothed_rtt,
        )
        self.trials += verdict is Verdict.EXCESS
        self.guilty += verdict is Verdict.GUILTY
        if self._excess.loss > MOST_LOSS and self._span.delivered:
            self.rate = min(self.rate, self._span.delivered / (1 - MOST_LOSS))
        if verdict is Verdict.EXCESS and self.mode is Mode.START and self._start.is_paying(self._span):
            self._excess.acquit()
        elif verdict is Verdict.EXCESS and self.mode is Mode.START and self._start.is_early:
            self._excess.dismiss()
        elif verdict is Verdict.EXCESS:
            self._rate_before = self.rate
            self._passed = CUT * (self._span.delivered or (1 - self._excess.loss) * self.rate)
            self.rate = min(self.rate, self._passed / (1 - self._excess.floor))
            self._set_pacing(1.0)
        elif verdict is Verdict.INNOCENT:
            self.rate = max(self.rate, self._rate_before) if self._excess.loss < MOST_LOSS else self.rate
            self._start.forget()
        elif verdict is Verdict.GUILTY:
            self.rate = min(self._rate_before, self._passed / (1 - self._excess.floor))
            self._probe = PROBE_AFTER_START if self.mode is Mode.START else PROBE_FIRST
            self.mode, self._mode_since = Mode.STEADY, now
            self._hold_until = now + self._hold
            self._hold = min(2 * self._hold, HOLD_MOST)
        return self._excess.is_on_trial and verdict is Verdict.EXCESS

    def on_blackout(self) -> None:
        """Nothing is heard any more: what comes afterwards may be another path, at a rate like the last one."""
        self._span.forget()

    def on_path_change(self) -> None:
        self._span.forget()
        self._floors.clear()
        self._floor = self._spread = 0.0
        self._rivalry = Rivalry()
        self.delay = QueueDelay()

    def _begin_anew(self, now: float) -> None:
        """What acknowledgements alone show of a path with jitter: hardly its rate, and a least delay that bulk, of
        whose packets only the latest count, never meets."""
        self.on_path_change()
        self.mode, self._mode_since = Mode.START, now
        self._overshoots = MOST_OVERSHOOTS
        self._start = Start(self.rate, now)

    def _drain(self, gain: float, now: float) -> None:
        self.mode, self._mode_since = Mode.DRAIN, now
        self._drained.clear()
        # With a queue the span rate is the bottleneck's, without one no more than was sent: below both it empties.
        self._set_pacing(gain * min(1.0, (self._span.rate or self.rate) / self.rate))

    def _on_drain_ack(self, packet: SentPacket, has_span: bool, window: float, now: float) -> None:
        """Only packets sent since the drain began tell of it; the latter half of them what it left."""
        if packet.time >= self._mode_since:
            self._drained.append(self.delay.queue)
        span = self._span
        is_empty = has_span and span.since >= self._mode_since and -span.stretch < DRAINED + self.delay.jitter / window
        is_late = now - self._mode_since > DRAIN_MOST * max(self._horizon, window)
        is_over = is_empty or (is_late and len(self._drained) >= DRAIN_SAMPLES)
        is_passing = is_empty and span.delivered > PASSING * (1 - self._path_loss) * span.rate
        is_long = self.queue > CONGESTED + OVERSHOT_JITTERS * self.delay.jitter
        if is_over and self._overshoots and is_long and not is_passing:
            # What START found cannot be right, nor is what was lost meanwhile the path's loss.
            self._overshoots -= 1
            self.rate *= OVERSHOT
            self._drain(DRAIN_GAIN_AFTER_START, now)
            return
        if self._drained and (is_empty or (is_over and (self.delay.is_noisy or not self._floors))):
            settled = sorted(self._drained[len(self._drained) // 2 :])
            if self.delay.is_noisy:
                middle, upper = settled[len(settled) // 2], settled[len(settled) * 9 // 10]
                self._floors.append((middle, upper - middle))
            else:
                self._floors.append((settled[0], 0.0))
            self._floor, self._spread = (median(values) for values in zip(*self._floors, strict=True))
        if is_over:
            self._overshoots = 0
            self.mode, self._mode_since = Mode.STEADY, now
            self._next_drain = now + max(DRAIN_PERIOD, 10 * self._min_rtt)
            self._unsaturated_since = None
            if self._busy > FULL:
                # The queue is short because the drain emptied it, not because the path has room: creeping refills it.
                self._refilled_at = now + self.target / CREEP + self._horizon
            self._set_pacing(1.0)

    def _on_rivalry_ack(self, has_span: bool, round_trip: float, now: float) -> None:
        delivered = self._span.delivered / (1 - self._path_loss) if has_span else self.rate
        self._rivalry.update(delivered, round_trip=round_trip, now=now)
        self.rate = self._rivalry.rate
        self._next_drain = now  # the first thing to do when it is over
        self._set_pacing(self._rivalry.gain)

    def _on_steady_ack(self, packet: SentPacket, has_span: bool, window: float, now: float) -> None:
        span, queue, target, jitter = self._span, self.queue, self.target, self.delay.jitter
        # While a queue grows or shrinks the span rate is the bottleneck's. While it does neither it may be no
        # more than what was sent, so it can only raise the estimate.
        noise = self.noise
        has_queue = queue >= target / 2 + noise
        passed = (now - self._updated) / self._horizon
        self._busy += (has_queue - self._busy) * (passed if passed < 1.0 else 1.0)
        if self.delay.is_noisy:  # a moment says little
            has_queue = self._busy > FULL
            queue = queue if has_queue else min(queue, target)
        is_changing = abs(span.stretch) > STRETCH_LIMIT + 2 * jitter / window
        is_bottleneck = has_queue and is_changing and not packet.is_app_limited
        served = span.rate
        if self.is_congested and has_queue and not packet.is_app_limited:
            # A full queue drops what is too much: only what arrives tells of the bottleneck.
            served = min(served, span.delivered / (1 - self._path_loss))
            is_bottleneck = is_bottleneck or served < self.rate
        if has_span and span.since >= self._mode_since and (is_bottleneck or served > self.rate):
            share = min(1.0, 2 * (now - self._updated) / window)
            self.rate += share * (served - self.rate)
        if has_queue:
            self._probe = PROBE_NOISY if self.delay.is_noisy else PROBE_FIRST
        if has_queue or packet.is_app_limited:
            self._unsaturated_since = None
        elif self._unsaturated_since is None:
            self._unsaturated_since = now
        else:
            self._grow(packet, window, now)
        error = target - queue if queue < target else min(0.0, target + noise - queue)
        gain = 1 + max(-LARGEST_CUT, min(CREEP, QUEUE_GAIN * error / self._horizon))
        if queue > 0.030 + target + noise:
            gain = min(gain, 0.7)
        elif queue > 0.004 + 2 * target + noise:
            gain = min(gain, 0.92)
        self._set_pacing(gain)
        if now >= self._next_drain:
            is_deep = self._floor > self.target and not self.delay.is_noisy
            self._drain(DRAIN_GAIN_DEEP if is_deep else DRAIN_GAIN, now)

    def _grow(self, packet: SentPacket, window: float, now: float) -> None:
        """Probes an unsaturated path for more, a step at a time: only when all that the last step sent was served."""
        if now - (self._unsaturated_since or now) < self._horizon / 2 or packet.time < self._grown_at:
            return
        if now < self._hold_until or now < self._refilled_at:
            return
        span = self._span
        if span.rate >= PROBE_PROOF * self.rate and span.stretch < STRETCH_LIMIT + 2 * self.delay.jitter / window:
            # Larger steps have to pay as well: a policer shows no queue, but no more arrives than before.
            if self._last_step >= PROBE_TO_PAY and span.delivered < (1 + self._last_step / 2) * self._delivered_before:
                self._probe = PROBE_FIRST
            self.rate *= 1 + self._probe
            self._last_step, self._delivered_before = self._probe, span.delivered
            self._probe = min(2 * self._probe, PROBE_MOST)
        self._grown_at = now

    def _set_pacing(self, gain: float) -> None:
        if self.rate < LEAST_RATE:
            self.rate = LEAST_RATE
        pacing_rate = gain * self.rate
        if pacing_rate < LEAST_RATE:
            pacing_rate = LEAST_RATE
        self.pacing_rate = pacing_rate if pacing_rate < self._max_rate else self._max_rate

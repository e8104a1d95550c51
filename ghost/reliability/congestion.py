"""How fast to send: the bottleneck's rate and no more, whatever is lost on the way.

Loss by itself is no signal here. The rate follows the span rate (span.py) while the one-way delay shows a queue, and
grows while it shows none:

    START   pace at twice the rate seen, which doubles it each round trip, until a queue appears: then the span rate
            is the bottleneck's.
    STEADY  pace at the estimate, corrected by the queue's distance from its target of a few packets. An unsaturated
            path is probed with growing steps; once a second one round trip at 90 % drains what stands, so that the
            base delay stays true.

Bytes here are wire bytes: datagrams with their IP and UDP headers, first transmissions, repairs and acknowledgements
alike. Repairs are inside the rate, never on top of it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from ghost.reliability.delay import QueueDelay
from ghost.reliability.loss import SentPacket
from ghost.reliability.rtt import INITIAL_RTT, RttEstimator
from ghost.reliability.span import SpanRate

PACKET: Final = 1480  # bytes: a full datagram on the wire
INITIAL_PACKETS: Final = 10  # a round trip; RFC 6928's initial window
LEAST_RATE: Final = 4 * PACKET  # bytes a second, 47 kbit/s: below it acknowledgements are too rare to steer by
LEAST_WINDOW: Final = 4 * PACKET  # bytes
START_GAIN: Final = 2.0
START_QUEUE: Final = 0.006  # seconds, or 8 % of the round trip: a queue that scheduling noise does not explain
START_SAMPLES: Final = 5
SPAN_PACKETS: Final = 10

TARGET_PACKETS: Final = 3  # a standing queue short enough for calls, long enough to see that the path is full
LEAST_TARGET: Final = 0.005  # seconds: a turn of a busy receiver takes 1-3 ms and hides anything shorter
MOST_TARGET: Final = 0.006
NOISE_MOST: Final = 0.003
"""Seconds, beyond 1.5 times the jitter: what a drained path may still show and is not taken for a queue. Schedulers and
timers of the two hosts account for 0.5-1 ms; a standing queue of somebody else must not be believed to be noise."""
LEAST_HORIZON: Final = 0.020  # seconds: on shorter round trips batches and acknowledgements set the pace of news
QUEUE_GAIN: Final = 0.5
CREEP: Final = 0.02
LARGEST_CUT: Final = 0.3
DRAIN_GAIN: Final = 0.90
DRAIN_PERIOD: Final = 1.0  # seconds, at least 10 round trips
PROBE_FIRST: Final = 0.01
PROBE_MOST: Final = 0.5
PROBE_PROOF: Final = 0.85  # of the estimate must have been sent and served before it grows further
STRETCH_LIMIT: Final = 0.015  # more sent than served by this share: the queue grows, though it may not show yet
HEADROOM: Final = (
    0.080  # seconds of the rate in flight beyond 1.6 round trips: half of the acknowledgements may be lost
)


class Mode(Enum):
    START = "start"
    STEADY = "steady"


class CongestionControl:
    """`rate` is the estimate of the bottleneck and `pacing_rate` what to send now, both in wire bytes a second."""

    __slots__ = (
        "mode",
        "rate",
        "pacing_rate",
        "delay",
        "_span",
        "_max_rate",
        "_samples",
        "_updated",
        "_least_queue",
        "_interval_end",
        "_unsaturated_since",
        "_probe",
        "_drain_until",
        "_next_drain",
        "_min_rtt",
        "_noise",
        "_drained",
        "_grown_at",
    )

    def __init__(self, *, max_rate: float | None, now: float) -> None:
        self.mode = Mode.START
        self.rate = INITIAL_PACKETS * PACKET / INITIAL_RTT
        self.delay = QueueDelay()
        self._span = SpanRate()
        self._max_rate = max_rate or float("inf")
        self._samples = 0
        self._updated = now
        self._least_queue = float("inf")
        self._interval_end = now
        self._unsaturated_since: float | None = None
        self._probe = PROBE_FIRST
        self._drain_until = now
        self._next_drain = now
        self._min_rtt = INITIAL_RTT
        self._noise = 0.0
        self._grown_at = now
        self._drained: list[float] = []  # queue samples of the drain that is under way
        self.pacing_rate = 0.0
        self._set_pacing(START_GAIN)

    @property
    def target(self) -> float:
        """Seconds of standing queue to keep."""
        packet_time = PACKET / self.rate
        return min(max(TARGET_PACKETS * packet_time, LEAST_TARGET), max(MOST_TARGET, packet_time))

    @property
    def window(self) -> float:
        """Bytes in flight beyond which nothing more is sent, whatever the pacing says."""
        gain = START_GAIN if self.mode is Mode.START else 1.0
        return max(gain * self.rate * (1.6 * self._min_rtt + HEADROOM), LEAST_WINDOW)

    def on_ack(self, packet: SentPacket, *, arrived: float, ack_delay: float, rtt: RttEstimator, now: float) -> None:
        """`packet` is the largest newly acknowledged one, `arrived` its arrival on the receiver's clock."""
        if not self._samples:
            self.rate = max(self.rate, INITIAL_PACKETS * PACKET / rtt.min_rtt)
        self._samples += 1
        self._min_rtt = rtt.min_rtt
        self.delay.update(arrived - packet.time, rtt.latest - ack_delay, now=now, min_rtt=rtt.min_rtt)
        window = max(
            (0.5 if self.mode is Mode.START else 1.0) * rtt.min_rtt, SPAN_PACKETS * PACKET / self.rate, LEAST_HORIZON
        )
        has_span = self._span.update(packet, arrived=arrived, window=window)
        if self.mode is Mode.START:
            self._on_start_ack(has_span, now=now)
        else:
            self._on_steady_ack(packet, has_span, window=window, now=now)
        self._updated = now

    def on_blackout(self) -> None:
        """Nothing is heard any more: what comes afterwards may be another path, at a rate like the last one."""
        self._span.forget()

    def on_path_change(self) -> None:
        self._span.forget()
        self.delay = QueueDelay()

    def _on_start_ack(self, has_span: bool, *, now: float) -> None:
        if has_span:
            self.rate = max(self.rate, min(self._span.rate, 2 * self.rate))
        queue_limit = max(START_QUEUE, 0.08 * self._min_rtt) + 2 * self.delay.jitter
        if self._samples >= START_SAMPLES and has_span and self.delay.queue > queue_limit:
            self.mode = Mode.STEADY
            self.rate = self._span.rate
            self._next_drain = now + self._drain_period
            self._interval_end = now + self._min_rtt
            self._set_pacing(DRAIN_GAIN)
            return
        self._set_pacing(START_GAIN)

    def _on_steady_ack(self, packet: SentPacket, has_span: bool, *, window: float, now: float) -> None:
        queue, target = max(0.0, self.delay.queue - self._noise), self.target
        slack = target + 2 * self.delay.jitter
        self._least_queue = min(self._least_queue, queue)
        is_draining = now < self._drain_until
        if is_draining:
            self._drained.append(self.delay.queue)
        is_saturated = self._least_queue > 0.3 * target and not packet.is_app_limited
        if has_span and not is_draining and (is_saturated or self._span.rate > self.rate):
            share = min(1.0, 2 * (now - self._updated) / window)
            self.rate += share * (self._span.rate - self.rate)
        has_queue = queue >= target / 2 + self.delay.jitter
        if has_queue:
            self._probe = PROBE_FIRST
        if has_queue or packet.is_app_limited or is_draining:
            self._unsaturated_since = None
        elif self._unsaturated_since is None:
            self._unsaturated_since = now
        self._grow(packet, now)
        if now >= self._interval_end:
            self._end_interval(now)
        gain = 1 + max(-LARGEST_CUT, min(CREEP, QUEUE_GAIN * (target - queue) / self._horizon))
        if queue > 0.030 + slack:
            gain = min(gain, 0.7)
        elif queue > 0.004 + target + slack:
            gain = min(gain, 0.92)
        self._set_pacing(min(gain, DRAIN_GAIN) if is_draining else gain)

    def _grow(self, packet: SentPacket, now: float) -> None:
        """Probes an unsaturated path for more, a step at a time: only when all that the last step sent was served."""
        since = self._unsaturated_since
        if since is None or now - since < self._horizon / 2 or packet.time < self._grown_at:
            return
        span = self._span
        if span.rate >= PROBE_PROOF * self.rate and span.sent_rate < (1 + STRETCH_LIMIT) * span.rate:
            self.rate *= 1 + self._probe
            self._probe = min(2 * self._probe, PROBE_MOST)
        self._grown_at = now

    def _end_interval(self, now: float) -> None:
        """Every half round trip: forget the interval's least queue, drain when it is time, learn what a drain showed."""
        self._interval_end = now + self._horizon / 2
        self._least_queue = float("inf")
        if self._drained and now >= self._drain_until:
            settled = sorted(self._drained[len(self._drained) // 2 :])
            self._noise = min(settled[len(settled) // 2], NOISE_MOST + 1.5 * self.delay.jitter)
            self._drained.clear()
        if now >= self._next_drain:
            self._drain_until = now + self._horizon
            self._next_drain = now + self._drain_period

    @property
    def _drain_period(self) -> float:
        return max(DRAIN_PERIOD, 10 * self._min_rtt)

    @property
    def _horizon(self) -> float:
        """Seconds in which what is done now shows."""
        return max(self._min_rtt, LEAST_HORIZON)

    def _set_pacing(self, gain: float) -> None:
        self.rate = max(self.rate, LEAST_RATE)
        self.pacing_rate = min(max(gain * self.rate, LEAST_RATE), self._max_rate)

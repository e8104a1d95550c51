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
LEAST_PACKETS: Final = 4  # a round trip: below it acknowledgements are too rare to steer by
START_GAIN: Final = 2.0
START_QUEUE: Final = (
    0.006  # seconds, or 8 % of the round trip: a queue that scheduling noise does not explain
)
START_SAMPLES: Final = 5
SPAN_PACKETS: Final = 10

TARGET_PACKETS: Final = 3  # a standing queue short enough for calls, long enough to see that the path is full
LEAST_TARGET: Final = 0.001  # seconds: timers and schedulers hide anything shorter
MOST_TARGET: Final = 0.006
QUEUE_GAIN: Final = 0.5
CREEP: Final = 0.02
LARGEST_CUT: Final = 0.3
DRAIN_GAIN: Final = 0.90
DRAIN_PERIOD: Final = 1.0  # seconds, at least 10 round trips
PROBE_FIRST: Final = 0.01
PROBE_MOST: Final = 0.5
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
        return max(gain * self.rate * (1.6 * self._min_rtt + HEADROOM), INITIAL_PACKETS * PACKET)

    def on_ack(self, packet: SentPacket, *, arrived: float, rtt: RttEstimator, now: float) -> None:
        """`packet` is the largest newly acknowledged one, `arrived` its arrival on the receiver's clock."""
        if not self._samples:
            self.rate = max(self.rate, INITIAL_PACKETS * PACKET / rtt.min_rtt)
        self._samples += 1
        self._min_rtt = rtt.min_rtt
        self.delay.update(arrived - packet.time, now=now, min_rtt=rtt.min_rtt)
        window = max(
            rtt.min_rtt * (0.5 if self.mode is Mode.START else 1.0), SPAN_PACKETS * PACKET / self.rate
        )
        span = self._span.update(packet, arrived=arrived, window=window)
        if self.mode is Mode.START:
            self._on_start_ack(span, rtt=rtt, now=now)
        else:
            self._on_steady_ack(packet, span, window=window, rtt=rtt, now=now)
        self._updated = now

    def on_blackout(self) -> None:
        """Nothing is heard any more: what comes afterwards may be another path, at a rate like the last one."""
        self._span.forget()

    def on_path_change(self) -> None:
        self._span.forget()
        self.delay.forget()

    def _on_start_ack(self, span: float | None, *, rtt: RttEstimator, now: float) -> None:
        if span is not None:
            self.rate = max(self.rate, min(span, 2 * self.rate))
        queue_limit = max(START_QUEUE, 0.08 * rtt.min_rtt) + 2 * self.delay.jitter
        if self._samples >= START_SAMPLES and span is not None and self.delay.queue > queue_limit:
            self.mode = Mode.STEADY
            self.rate = span
            self._next_drain = now + self._drain_period(rtt)
            self._interval_end = now + rtt.min_rtt
            self._set_pacing(DRAIN_GAIN)
            return
        self._set_pacing(START_GAIN)

    def _on_steady_ack(
        self, packet: SentPacket, span: float | None, *, window: float, rtt: RttEstimator, now: float
    ) -> None:
        queue, target = self.delay.queue, self.target
        self._least_queue = min(self._least_queue, queue)
        is_draining = now < self._drain_until
        is_saturated = self._least_queue > 0.3 * target and not packet.is_app_limited
        if span is not None and not is_draining and (is_saturated or span > self.rate):
            share = min(1.0, 2 * (now - self._updated) / window)
            self.rate += share * (span - self.rate)
        if queue >= target / 2 + self.delay.jitter or packet.is_app_limited or is_draining:
            self._unsaturated_since = None
            if queue >= target / 2 + self.delay.jitter:
                self._probe = PROBE_FIRST
        elif self._unsaturated_since is None:
            self._unsaturated_since = now
        if now >= self._interval_end:
            self._end_interval(rtt, now)
        gain = 1 + max(-LARGEST_CUT, min(CREEP, QUEUE_GAIN * (target - queue) / rtt.min_rtt))
        if queue > 0.030 + target + 2 * self.delay.jitter:
            gain = min(gain, 0.7)
        elif queue > 2 * target + 0.004 + 2 * self.delay.jitter:
            gain = min(gain, 0.92)
        self._set_pacing(min(gain, DRAIN_GAIN) if is_draining else gain)

    def _end_interval(self, rtt: RttEstimator, now: float) -> None:
        """Every half round trip: grow where the path stayed empty, and start a drain when it is time."""
        if self._unsaturated_since is not None and now - self._unsaturated_since > rtt.min_rtt / 2:
            self.rate *= 1 + self._probe
            self._probe = min(2 * self._probe, PROBE_MOST)
        self._interval_end = now + max(rtt.min_rtt / 2, 0.005)
        self._least_queue = float("inf")
        if now >= self._next_drain:
            self._drain_until = now + rtt.min_rtt
            self._next_drain = now + self._drain_period(rtt)

    def _drain_period(self, rtt: RttEstimator) -> float:
        return max(DRAIN_PERIOD, 10 * rtt.min_rtt)

    def _set_pacing(self, gain: float) -> None:
        least = LEAST_PACKETS * PACKET / max(self._min_rtt, 0.01)
        self.rate = max(self.rate, least)
        self.pacing_rate = min(max(gain * self.rate, least), self._max_rate)

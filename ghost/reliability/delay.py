"""How long the queue ahead of us is, from one-way delays.

The receiver stamps arrivals with its own clock, so a sample is off by an unknown constant and the path back does not
matter. The queue cannot be longer than what the round trip has grown by, which bounds the harm of two clocks that
drift apart. The least of the last minute is the empty path; what a sample exceeds it by is queue, and jitter. (A
window of 12 s is too short beside a flow that keeps the queue filled, simulated.) Samples are filtered by the median
of five, or under jitter by the least of a round trip.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

BASE_WINDOW: Final = 60.0  # seconds
_BUCKETS: Final = 12
JITTER_LIMIT: Final = 0.001  # seconds: above it the median of five is no longer a fair sample
MEDIAN_OF: Final = 5
NOISE_WINDOW: Final = 0.7  # round trips
_JITTER_SAMPLES: Final = 16
_JITTER_GAIN: Final = 1 / _JITTER_SAMPLES


class QueueDelay:
    """`queue` and `jitter` in seconds; `is_noisy` where delays vary by more than the queueing of single packets."""

    __slots__ = (
        "queue",
        "jitter",
        "is_noisy",
        "_minima",
        "_former",
        "_bucket_start",
        "_last",
        "_trend",
        "_latest",
        "_recent",
        "_samples",
    )

    def __init__(self) -> None:
        self.queue = 0.0
        self.jitter = 0.0
        self.is_noisy = False
        self._minima: deque[tuple[float, float]] = deque(maxlen=_BUCKETS)  # (one way, round trip)
        self._former: tuple[float, float] = (inf, inf)  # the least of all but the last
        self._bucket_start = -inf
        self._last: float | None = None
        self._trend = 0.0  # from sample to sample: a queue that grows evenly is no jitter
        self._samples = 0
        self._latest: deque[float] = deque(maxlen=MEDIAN_OF)
        self._recent: deque[tuple[float, float]] = deque(maxlen=256)

    def update(self, one_way: float, round_trip: float, *, grain: float, round_trip_time: float, now: float) -> None:
        """`one_way` = arrival on the receiver's clock minus departure on ours; `round_trip` without the ack delay.

        `grain` is the seconds that the path takes for one packet, `round_trip_time` the usual one.
        """
        if now - self._bucket_start >= BASE_WINDOW / _BUCKETS:
            self._bucket_start = now
            self._minima.append((one_way, round_trip))
            former = list(self._minima)[:-1]
            self._former = (
                min([each[0] for each in former], default=inf),
                min([each[1] for each in former], default=inf),
            )
        else:
            least_one_way, least_round_trip = self._minima[-1]
            if one_way < least_one_way or round_trip < least_round_trip:
                self._minima[-1] = (min(one_way, least_one_way), min(round_trip, least_round_trip))
        if self._last is not None:
            self._samples += 1
            gain = _JITTER_GAIN if self._samples >= _JITTER_SAMPLES else 1 / self._samples
            change = one_way - self._last
            self.jitter += gain * (abs(change - self._trend) - self.jitter)
            self._trend += gain * (change - self._trend)
        self._last = one_way
        (least_one_way, least_round_trip), before = self._minima[-1], self._former
        if before[0] < least_one_way:
            least_one_way = before[0]
        if before[1] < least_round_trip:
            least_round_trip = before[1]
        queue, grown = one_way - least_one_way, round_trip - least_round_trip
        if grown < queue:
            queue = grown
        self._latest.append(queue)
        self._recent.append((now, queue))
        self.is_noisy = self.jitter > JITTER_LIMIT and self.jitter > grain
        if self.is_noisy:
            since = now - NOISE_WINDOW * round_trip_time
            self.queue = queue
            for time, delay in reversed(self._recent):  # on a fast path a few of them
                if time < since:
                    break
                if delay < self.queue:
                    self.queue = delay
        else:
            self.queue = self.median

    @property
    def median(self) -> float:
        """Seconds of queue by the latest samples alone, whatever the jitter."""
        latest = sorted(self._latest)
        return latest[len(latest) // 2]

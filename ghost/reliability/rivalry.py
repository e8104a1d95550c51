"""Holding one's own beside senders that fill the queue.

A controller that keeps the queue short gives way to one that does not: kernel CUBIC takes all but a tenth of a link
from it. So a queue that stands for long although we keep away from it is somebody else's, and while it stands the rate
is found as BBR finds it (draft-cardwell-iccrg-bbr-congestion-control-00): the most that was delivered of late, pushed
a quarter higher for one round trip in eight and given back in the next, with no more than twice the path's product of
rate and delay in flight. That shares a bottleneck with CUBIC and with BBR alike, simulated and in kernels, and within
its bound it cannot flood an empty path either: there the queue falls at once, and the rivalry is over.
"""

from __future__ import annotations

from collections import deque
from typing import Final

PATIENCE: Final = 1.0  # seconds of standing queue, and
PATIENCE_ROUND_TRIPS: Final = 4.0  # as many round trips: our own would be gone by then
RELIEF: Final = 0.4  # of the time with a queue is taken back by the time without
LEAST_QUEUE: Final = 0.008  # seconds, or
QUEUE_SHARE: Final = 0.06  # of a round trip beyond what is ours
GAINS: Final[tuple[float, ...]] = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # one round trip each
RATE_ROUND_TRIPS: Final = 10  # memory of the most that was delivered
FILL: Final = 0.55  # of the way: when the queue is fuller we fall back, when it is emptier we gain
LOW_MEMORY: Final = 3.0  # seconds, up to twice as many
HIGHEST_MEMORY: Final = 10.0  # seconds
ENTRY: Final = 0.5  # of the rate that was ours before the rival came
BLINDED: Final = 0.25
"""Of that rate: who has less may be starved, and must not take the rival's queue for the one that so little needs."""


class Rivalry:
    """`is_on` while somebody else keeps the queue filled; then `rate` (bytes a second) and `gain` are to be paced at.

    Times in seconds. `base` is the round trip without any queue.
    """

    __slots__ = (
        "is_on",
        "rate",
        "gain",
        "base",
        "accepted",
        "_standing",
        "_since",
        "_rates",
        "_highest",
        "_lows",
        "_low_since",
        "_alone",
    )

    def __init__(self) -> None:
        self.is_on = False
        self.rate = 0.0
        self.gain = 1.0
        self.base = 0.0
        self.accepted = 0.0
        """Seconds of standing delay that turned out to be the path's."""
        self._standing = 0.0
        self._highest = 0.0
        self._lows = (0.0, 0.0)  # of the period before, and of the one under way
        self._low_since = 0.0
        self._alone = 0.0
        self._since = 0.0
        self._rates: deque[tuple[float, float]] = deque()  # (when, rate), falling in rate

    def unstarved(self, rate: float) -> float:
        """The rate by which to tell our queue from a rival's, while we are left with `rate`."""
        return max(rate, BLINDED * self._alone) if self._standing else rate

    def watch(self, queue: float, *, ours: float, rate: float, round_trip: float, elapsed: float, now: float) -> None:
        """`queue` in front of the path, of which `ours` is wanted at `rate`; `elapsed` since the last call."""
        queue = queue - self.accepted if queue > self.accepted else 0.0
        self.base = max(round_trip - queue, round_trip / 4)
        highest = self._highest * (1 - (elapsed / HIGHEST_MEMORY if elapsed < HIGHEST_MEMORY else 1.0))
        self._highest = queue if queue > highest else highest
        if now - self._low_since > LOW_MEMORY:
            self._low_since, self._lows = now, (self._lows[1], queue)
        if queue < self._lows[1]:
            self._lows = (self._lows[0], queue)
        if not self._standing:
            self._alone = rate
        if queue > ours + max(LEAST_QUEUE, QUEUE_SHARE * self.base):
            self._standing += elapsed
        elif self._standing:
            self._standing = max(0.0, self._standing - RELIEF * elapsed)
        patience = PATIENCE + PATIENCE_ROUND_TRIPS * round_trip
        if self._standing > 1.5 * patience:
            self._standing = 1.5 * patience
        if not self.is_on and self._standing > patience:
            self.is_on, self._since = True, now
            self._rates.clear()
            self._rates.append((now, ENTRY * self._alone))
        elif self.is_on and (not self._standing or self._is_path(now)):
            self.is_on = False
            self._standing = 0.0

    def _is_path(self, now: float) -> bool:
        """Whether the delay stands so still that it is nobody's queue: the path has become longer."""
        if now - self._since < 2 * LOW_MEMORY or self._highest - min(self._lows) > LEAST_QUEUE:
            return False
        self.accepted += min(self._lows)
        return True

    def update(self, delivered: float, *, round_trip: float, now: float) -> None:
        """`delivered` bytes a second lately, what the path lost by itself added."""
        while self._rates and self._rates[-1][1] <= delivered:
            self._rates.pop()
        self._rates.append((now, delivered))
        while self._rates[0][0] < now - RATE_ROUND_TRIPS * round_trip:
            self._rates.popleft()
        self.rate = self._rates[0][1]
        self.gain = GAINS[int((now - self._since) / self.base) % len(GAINS)]

    @property
    def window(self) -> float:
        """Bytes in flight that leave the queue between its lowest and its highest of late.

        Below its lowest it is no rival's but the path's own delay, which has grown.
        """
        least = self.base + min(self._lows)
        return self.rate * (least + max(FILL * (self._highest - min(self._lows)), (GAINS[0] - 1) * least))

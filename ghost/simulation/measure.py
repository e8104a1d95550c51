"""Small instruments: percentiles, what a link carried between two moments, and the queue that stands in front of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from ghost.chaos.link import Link
from ghost.simulation.pair import Pair

QUEUE_SAMPLE_INTERVAL: Final = 0.010  # seconds


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value with at least `share` (0 to 1) of all at or below it; nan of nothing."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def bytes_between(deliveries: Sequence[tuple[float, int]], start: float, end: float) -> int:
    """Of (time, bytes so far) pairs in order of time: the bytes that came at or after `start` and before `end`."""
    first, last = (bisect_left(deliveries, (time, 0)) for time in (start, end))
    count_at = [deliveries[index - 1][1] if index else 0 for index in (first, last)]
    return count_at[1] - count_at[0]


class QueueWatch:
    """An application that only looks: `delays` are the waits in front of `link` in seconds, 100 a second."""

    def __init__(self, link: Link, start: float) -> None:
        self.delays: list[float] = []
        self._link = link
        self._next = start

    def next_time(self) -> float:
        return self._next

    def wake(self, pair: Pair) -> None:
        self._next = pair.now + QUEUE_SAMPLE_INTERVAL
        self.delays.append(self._link.queue_delay(pair.now))

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        pass

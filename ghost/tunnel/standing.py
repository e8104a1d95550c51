"""How much of a flow's queue does nothing but delay: the part that never left for several round trips.

CoDel (RFC 8289) takes a queue that stays above 5 ms for 100 ms for a standing one. Two things here ask for more than
that. What is lost is repaired in order, so acknowledgements come in bursts and a queue that is needed swings by the
length of such a wait; and a CUBIC inside, told to slow down, goes on with 0.7 of its window, so that a queue of less
than 0.43 round trips leaves the path idle. How far the queue swings is measured, the rest is arithmetic; what stands
beyond both is of no use.

Only arrivals are looked at. A queue is at its shortest just before one, so what leaves needs no clock.
"""

from __future__ import annotations

from typing import Final

ROUNDS: Final = 5.0  # round trips that are looked at together: some waits for repairs should be among them
LEAST_INTERVAL: Final = 0.15  # seconds; several turns of a busy host, and Linux' delayed acknowledgement
ROUND_TRIPS: Final = 0.43
"""Of queue that may stand: 1 / 0.7 - 1 for CUBIC (RFC 9438 section 4.6); less leaves the path idle after a hint."""
SWINGS: Final = 1.0
"""Times what the queue swings by that may stand beneath. Simulated with 5 round trips at 10 and 30 % loss, a CUBIC
keeps its goodput, and its queue is 166 and 212 ms long instead of 269 and 331; with 0.2 and 3 round trips it loses 4
and 6 %."""
LEAST_STANDING: Final = 3000  # bytes: two packets, as in RFC 8289 one would keep a thin path idle
LEAST_SECONDS: Final = 0.01  # of queue: with less a host that wakes late has nothing to send


class Standing:
    """The queue of one flow, seen whenever something is added to it."""

    __slots__ = ("_added", "_before", "_least", "_most", "_since")

    def __init__(self, now: float) -> None:
        self._since = now
        self._before = self._least = self._most = 0  # bytes queued when the interval began, and since
        self._added = 0

    def is_too_long(self, queued: int, size: int, *, round_trip: float, now: float) -> bool:
        """Whether, at the end of an interval, more stood than is of use; `size` bytes join the `queued` ones."""
        if queued < self._least:
            self._least = queued
        if queued + size > self._most:
            self._most = queued + size
        elapsed = now - self._since
        if elapsed < LEAST_INTERVAL or elapsed < ROUNDS * round_trip:
            self._added += size
            return False
        left = self._before + self._added - queued
        of_use = left / elapsed * max(LEAST_SECONDS, ROUND_TRIPS * round_trip) + SWINGS * (self._most - self._least)
        is_too_long = left > 0 and self._least > max(LEAST_STANDING, of_use)  # without a path nobody can help it
        self._since = now
        self._before = self._least = queued
        self._most = queued + size
        self._added = size
        return is_too_long

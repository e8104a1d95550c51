"""When the next datagram may leave: a token bucket in bytes."""

from __future__ import annotations

from typing import Final

BURST_SECONDS: Final = 0.004  # a busy host wakes us this late now and then; what it may not catch up is lost rate
LEAST_BURST: Final = 2 * 1500  # bytes
URGENT_SECONDS: Final = 0.020


class Pacer:
    """Credit grows at `rate` bytes a second up to a small burst; urgent datagrams may take it below zero."""

    __slots__ = ("_burst", "_credit", "_rate", "_updated", "_urgent_floor")

    def __init__(self, rate: float, now: float) -> None:
        self._credit = float(LEAST_BURST)
        self._updated = now
        self.pace(rate)

    def pace(self, rate: float) -> None:
        """From now on so many bytes a second."""
        self._rate = rate
        # Comparisons written out: a call of `max` takes ten times as long, and every acknowledgement comes here.
        burst, urgent = rate * BURST_SECONDS, rate * URGENT_SECONDS
        self._burst = burst if burst > LEAST_BURST else LEAST_BURST
        self._urgent_floor = -(urgent if urgent > 2 * LEAST_BURST else 2 * LEAST_BURST)

    def _refill(self, now: float) -> None:
        credit = self._credit + (now - self._updated) * self._rate
        self._credit = credit if credit < self._burst else self._burst
        self._updated = now

    def may_send(self, now: float) -> bool:
        self._refill(now)
        return self._credit > 0

    def may_send_urgent(self, now: float) -> bool:
        """Urgent datagrams borrow from the future, but not so much that they would flood the path."""
        self._refill(now)
        return self._credit > self._urgent_floor

    @property
    def credit(self) -> float:
        """Bytes, as of the last question whether to send: datagrams may leave as long as there is any."""
        return self._credit

    def on_sent(self, size: int) -> None:
        self._credit -= size

    def next_time(self) -> float:
        """When credit is above zero again; a time in the past means now."""
        return self._updated if self._credit > 0 else self._updated + (1 - self._credit) / self._rate

    def next_urgent_time(self) -> float:
        """When an urgent datagram may leave; a time in the past means now."""
        missing = self._urgent_floor - self._credit
        return self._updated if missing < 0 else self._updated + (1 + missing) / self._rate

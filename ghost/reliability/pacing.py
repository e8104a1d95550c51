"""When the next datagram may leave: a token bucket in bytes."""

from __future__ import annotations

from typing import Final

from ghost.constants import FULL_PACKET

BURST_SECONDS: Final = 0.004  # a busy host wakes us this late now and then; what it may not catch up is lost rate
LEAST_BURST: Final = 2 * 1500  # bytes
GATHER_SECONDS: Final = 0.001
GATHER_SECONDS_LOSSY: Final = 0.003
LOSSY: Final = 0.05
FAST: Final = 2.2e6  # bytes a second: below it the processor has time, and shallow buffers may be near
MOST_GATHERED: Final = 3 * FULL_PACKET  # bytes: a policer's bucket may be shallow
"""Once there is no credit, so much of it is waited for that packets leave by the few: that of GATHER_SECONDS less a
packet. A turn for each costs more than the packet, and what is prompt waits at the bottleneck behind those that left
together. Where losses make repairs, which cost the processor most, and round trips vary by more, they wait longer: at
20 Mbit/s with 20 % loss both ends take 0.75 of a core then instead of 0.98 (measured)."""
URGENT_SECONDS: Final = 0.020


class Pacer:
    """Credit grows at `rate` bytes a second up to a small burst; urgent datagrams may take it below zero."""

    __slots__ = ("_burst", "_credit", "_gathered", "_is_spent", "_rate", "_updated", "_urgent_floor")

    def __init__(self, rate: float, now: float) -> None:
        self._credit = float(LEAST_BURST)
        self._is_spent = False  # and not yet gathered anew
        self._updated = now
        self.pace(rate)

    def pace(self, rate: float, *, gather: float = GATHER_SECONDS) -> None:
        """From now on so many bytes a second; packets leave by what `gather` seconds give, one by one for 0."""
        self._rate = rate
        # Comparisons written out: a call of `max` takes ten times as long, and every acknowledgement comes here.
        burst, urgent = rate * BURST_SECONDS, rate * URGENT_SECONDS
        self._burst = burst if burst > LEAST_BURST else LEAST_BURST
        self._urgent_floor = -(urgent if urgent > 2 * LEAST_BURST else 2 * LEAST_BURST)
        self._gathered = min(max(0.0, rate * gather - FULL_PACKET), MOST_GATHERED)

    def _refill(self, now: float) -> None:
        credit = self._credit + (now - self._updated) * self._rate
        self._credit = credit if credit < self._burst else self._burst
        self._updated = now

    def may_send(self, now: float) -> bool:
        self._refill(now)
        if self._is_spent:
            self._is_spent = self._credit <= self._gathered
        return not self._is_spent

    def may_send_urgent(self, now: float) -> bool:
        """Urgent datagrams borrow from the future, but not so much that they would flood the path."""
        self._refill(now)
        return self._credit > self._urgent_floor

    @property
    def credit(self) -> float:
        """Bytes, as of the last question whether to send: datagrams may leave as long as there is any."""
        return self._credit

    def on_sent(self, size: int) -> None:
        """What must leave whatever was borrowed, as acknowledgements, does not keep the rest waiting ever longer."""
        if self._credit > self._urgent_floor:
            self._credit -= size
        if self._credit <= 0:
            self._is_spent = True

    def next_time(self) -> float:
        """When the next datagram may leave; a time in the past means now."""
        missing = self._gathered - self._credit if self._is_spent else -1.0
        return self._updated if missing < 0 else self._updated + (1 + missing) / self._rate

    def next_urgent_time(self) -> float:
        """When an urgent datagram may leave; a time in the past means now."""
        missing = self._urgent_floor - self._credit
        return self._updated if missing < 0 else self._updated + (1 + missing) / self._rate

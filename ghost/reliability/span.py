"""The span rate: what the bottleneck serves, unbiased by random loss.

For two acknowledged packets a < b it is the bytes sent in (a, b], lost ones included, over the time between their
arrivals. Where the loss comes after the bottleneck that is the bottleneck's rate exactly; where it comes before, the
rate at which to send so that the bottleneck is full. A delivered-rate filter, as in BBR, needs a factor 1/(1 - p)
whose noise at 30 % loss biases its maximum by 10 %, and collapses above 20 %.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ghost.reliability.loss import SentPacket


class _Arrival(NamedTuple):
    arrived: float
    number: int
    sent_bytes: int


class SpanRate:
    """Arrivals of the last window, in order of both number and arrival."""

    __slots__ = ("_arrivals",)

    def __init__(self) -> None:
        self._arrivals: deque[_Arrival] = deque()

    def update(self, packet: SentPacket, *, arrived: float, window: float) -> float | None:
        """Bytes a second over the last `window` seconds; None while arrivals do not reach back that far."""
        arrivals = self._arrivals
        if arrivals and (packet.number <= arrivals[-1].number or arrived < arrivals[-1].arrived):
            return None
        arrivals.append(_Arrival(arrived, packet.number, packet.sent_bytes))
        while len(arrivals) > 2 and arrivals[1].arrived <= arrived - window:
            arrivals.popleft()
        first = arrivals[0]
        if arrived - first.arrived < window or len(arrivals) < 2:
            return None
        return (packet.sent_bytes - first.sent_bytes) / (arrived - first.arrived)

    def forget(self) -> None:
        self._arrivals.clear()

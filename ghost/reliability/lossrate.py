"""How lossy and how bursty the path is: what redundancy is dimensioned by."""

from __future__ import annotations

from math import sqrt
from typing import Final

from ghost.reliability.loss import SentPacket

MEMORY: Final = 256
"""Packets: the standard deviation of the estimate at 30 % loss is then 2 %, and a change is followed in a second
at 256 packets a second."""
_FADING: Final = 1 - 1 / MEMORY
PRIOR: Final = 0.1
"""What is assumed before anything is known: the first losses of a lossy path would otherwise wait a round trip for
their repair, which an inner TCP in slow start takes for congestion."""
PRIOR_WEIGHT: Final = 8  # packets: after 150 clean ones less than 0.5 % of it is left
SPARSE_FADING: Final = 0.75
"""What is left of it after each clean packet where few are sent: a typist's first minute would else go twice."""
SPARSE_LEAST: Final = 0.005
SPARSE_MEMORY: Final = 1024
"""Packets since the last loss for which redundancy is still worth its bytes there: at 1 % the estimate would else fall
below its threshold now and then, and a lost key takes a round trip more."""

YOUNG: Final = 64
"""Packets up to which the estimate may be too low by its own deviation. Simulated at 30 and 50 % loss, of the pings
that came late in 20 seconds 9 of 22 and 13 of 18 were among the first fifty."""


class LossRate:
    """`rate` in 0..1, what is assumed at first included, and `measured` without it.

    `sparse` is the rate for traffic so thin that what is lost may be mended after its loss.
    `burst` is the mean length of a run of lost packets, 1 when losses are independent or rare.
    """

    __slots__ = ("rate", "measured", "burst", "_lost_at", "_samples", "_run", "_last_lost", "_runs")

    def __init__(self) -> None:
        self.rate = PRIOR
        self.measured = 0.0
        self.burst = 1.0
        self._lost_at: int | None = None
        self._samples = 0
        self._run = 0
        self._last_lost = -2
        self._runs = 0

    @property
    def sparse(self) -> float:
        if self._lost_at is None:
            return min(self.rate, PRIOR * SPARSE_FADING**self._samples)
        is_recent = self._samples - self._lost_at < SPARSE_MEMORY
        return max(self.rate, SPARSE_LEAST) if is_recent else self.rate

    @property
    def cautious(self) -> float:
        """What the rate may well be while little is known; 0 where nothing speaks for more than `rate`."""
        if self._lost_at is None or self._samples >= YOUNG:
            return 0.0
        return self.rate + sqrt(self.rate * (1 - self.rate) / (self._samples + PRIOR_WEIGHT))

    def update(self, acked: list[SentPacket], lost: list[SentPacket]) -> None:
        self._note_arrivals(len(acked))
        for packet in lost:
            self._note(1.0)
            self._lost_at = self._samples
            if packet.number == self._last_lost + 1:
                self._run += 1
            else:
                if self._run:
                    self._runs += 1
                    self.burst += (self._run - self.burst) / min(self._runs, MEMORY // 8)
                self._run = 1
            self._last_lost = packet.number

    def forgive(self, spurious: int, *, burst: float | None = None) -> None:
        """Takes back losses that were none, or not by chance; `burst` is what it was before them."""
        if burst is not None:
            self.burst, self._run = burst, 0
        share = spurious / max(1, min(self._samples, MEMORY))
        self.rate = max(0.0, self.rate - share)
        self.measured = max(0.0, self.measured - share)

    def _note_arrivals(self, count: int) -> None:
        """`_note` of as many zeros: one for every packet of a transfer, hence without a call for each."""
        rate, measured, samples = self.rate, self.measured, self._samples
        self._samples += count
        if samples >= MEMORY:
            for _ in range(count):  # to the last bit what stands below, MEMORY being a power of two
                rate *= _FADING
            for _ in range(count if measured else 0):
                measured *= _FADING
        else:
            for at in range(samples + 1, samples + count + 1):
                rate -= rate / min(at + PRIOR_WEIGHT, MEMORY)
                measured -= measured / min(at, MEMORY)
        self.rate, self.measured = rate, measured

    def _note(self, value: float) -> None:
        self._samples += 1
        self.rate += (value - self.rate) / min(self._samples + PRIOR_WEIGHT, MEMORY)
        self.measured += (value - self.measured) / min(self._samples, MEMORY)

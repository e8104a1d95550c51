"""Round-trip time, by RFC 9002 section 5: smoothed, its variation, and the probe timeout that follows from them."""

from __future__ import annotations

from math import inf
from typing import Final

INITIAL_RTT: Final = 0.2  # seconds; RFC 9002 takes 0.333, a tunnel that comes up through loss cannot wait so long
GRANULARITY: Final = 0.001  # seconds; RFC 9002 section 6.1.2
MEMORY: Final = 20.0  # seconds: a route that became longer must show; BBR's 10 s are too few drains of a shared queue


class RttEstimator:
    """All in seconds. `min_rtt` is the least raw sample of the last 10 to 20 s, the others exclude the ack delay."""

    __slots__ = ("latest", "smoothed", "variation", "min_rtt", "has_sample", "_minima", "_since")

    def __init__(self) -> None:
        self.latest = self.smoothed = self.min_rtt = INITIAL_RTT
        self.variation = INITIAL_RTT / 2
        self.has_sample = False
        self._minima = (inf, inf)  # of the half of MEMORY before, and of the one under way
        self._since = 0.0

    def update(self, sample: float, *, ack_delay: float, now: float) -> None:
        """`sample` from sending a packet to hearing of it, of which the peer says it waited `ack_delay`."""
        sample = max(sample, 1e-6)
        self.latest = sample
        self._note(sample, now)
        if not self.has_sample:
            self.has_sample = True
            self.smoothed = sample
            self.variation = sample / 2
            return
        # section 5.3: the delay is believed only as far as it does not push a sample below the minimum
        adjusted = sample - ack_delay if sample >= self.min_rtt + ack_delay else sample
        self.variation += 0.25 * (abs(self.smoothed - adjusted) - self.variation)
        self.smoothed += 0.125 * (adjusted - self.smoothed)

    def probe_timeout(self, *, max_ack_delay: float) -> float:
        """How long without any acknowledgement before a probe is due (section 6.2.1)."""
        spread = 4 * self.variation  # written out: asked for every packet
        return self.smoothed + (spread if spread > GRANULARITY else GRANULARITY) + max_ack_delay

    def on_path_change(self) -> None:
        """The least of the old path says nothing about the new one."""
        self._minima = (inf, inf)

    def _note(self, sample: float, now: float) -> None:
        before, under_way = self._minima
        if now - self._since >= MEMORY / 2:
            self._since = now
            before, under_way = under_way, inf
        if sample < under_way:
            under_way = sample
        self._minima = (before, under_way)
        self.min_rtt = before if before < under_way else under_way

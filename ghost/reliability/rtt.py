"""Round-trip time, by RFC 9002 section 5: smoothed, its variation, and the probe timeout that follows from them."""

from __future__ import annotations

from typing import Final

INITIAL_RTT: Final = 0.2  # seconds; RFC 9002 takes 0.333, a tunnel that comes up through loss cannot wait so long
GRANULARITY: Final = 0.001  # seconds; RFC 9002 section 6.1.2


class RttEstimator:
    """All in seconds. `min_rtt` is the least of the raw samples, `smoothed` and `variation` exclude the ack delay."""

    __slots__ = ("latest", "smoothed", "variation", "min_rtt", "has_sample")

    def __init__(self) -> None:
        self.latest = self.smoothed = self.min_rtt = INITIAL_RTT
        self.variation = INITIAL_RTT / 2
        self.has_sample = False

    def update(self, sample: float, *, ack_delay: float) -> None:
        """`sample` from sending a packet to hearing of it, of which the peer says it waited `ack_delay`."""
        sample = max(sample, 1e-6)
        self.latest = sample
        if not self.has_sample:
            self.has_sample = True
            self.min_rtt = self.smoothed = sample
            self.variation = sample / 2
            return
        self.min_rtt = min(self.min_rtt, sample)
        # section 5.3: the delay is believed only as far as it does not push a sample below the minimum
        adjusted = sample - ack_delay if sample >= self.min_rtt + ack_delay else sample
        self.variation += 0.25 * (abs(self.smoothed - adjusted) - self.variation)
        self.smoothed += 0.125 * (adjusted - self.smoothed)

    def probe_timeout(self, *, max_ack_delay: float) -> float:
        """How long without any acknowledgement before a probe is due (section 6.2.1)."""
        return self.smoothed + max(4 * self.variation, GRANULARITY) + max_ack_delay

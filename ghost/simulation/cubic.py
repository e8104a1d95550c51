"""CUBIC as Linux runs it: RFC 9438 with fast convergence, and HyStart's two ways out of slow start.

HyStart matters here: a tunnel that repairs losses delivers in order but with a jitter, and a delay that grows by an
eighth of the round trip (4 to 16 ms) for eight samples, or acknowledgements that come back to back for half a round
trip, end slow start long before the path is full.
"""

from __future__ import annotations

import math
from typing import Final

INITIAL_WINDOW: Final = 10  # segments (RFC 6928)
BETA: Final = 0.7
C: Final = 0.4
FRIENDLY_GAIN: Final = 3 * (1 - BETA) / (1 + BETA)
UNKNOWN_MAXIMUM_GAIN: Final = 1 / 20  # Linux: at least 5 % a round trip until the first loss

HYSTART_LOW_WINDOW: Final = 16  # segments
HYSTART_SAMPLES: Final = 8
HYSTART_ACK_DELTA: Final = 0.002  # seconds between acknowledgements of one train
HYSTART_LEAST_RISE: Final = 0.004  # seconds
HYSTART_MOST_RISE: Final = 0.016


class Cubic:
    """`cwnd` and `ssthresh` in segments, not whole ones; `slow_start_exit` says when and at which window HyStart
    ended slow start."""

    __slots__ = (
        "cwnd",
        "ssthresh",
        "slow_start_exit",
        "_maximum",
        "_epoch",
        "_origin",
        "_k",
        "_friendly",
        "_min_rtt",
        "_round_end",
        "_round_start",
        "_last_ack",
        "_round_rtt",
        "_samples",
        "_before",
    )

    def __init__(self) -> None:
        self.cwnd = float(INITIAL_WINDOW)
        self.ssthresh = math.inf
        self.slow_start_exit: tuple[float, float] | None = None
        self._maximum = 0.0
        self._epoch: float | None = None
        self._origin = self._k = self._friendly = 0.0
        self._min_rtt = math.inf
        self._round_end = 0
        self._round_start = self._last_ack = 0.0
        self._round_rtt = math.inf
        self._samples = 0
        self._before = (self.cwnd, self.ssthresh, self._maximum)

    def on_rtt(self, rtt: float, *, acked_to: int, sent_to: int, now: float) -> None:
        """A round trip of a segment sent once; `acked_to` and `sent_to` are segment indices after it."""
        if self._epoch is not None and now - self._epoch < 1.0:
            return  # Linux: right after a recovery samples mislead
        self._min_rtt = min(self._min_rtt, rtt)
        if self.slow_start_exit is None and self.cwnd < self.ssthresh:
            self._hystart(rtt, acked_to=acked_to, sent_to=sent_to, now=now)

    def on_acked(self, segments: int, now: float) -> None:
        """Segments delivered while the window was what limited the sender."""
        if self.cwnd < self.ssthresh:
            grown = min(self.cwnd + segments, self.ssthresh)
            segments -= math.ceil(grown - self.cwnd)
            self.cwnd = grown
        if segments > 0:
            self._avoid_congestion(segments, now)

    def on_loss(self) -> None:
        """A loss episode begins: the new `ssthresh`; the caller moves `cwnd` there."""
        self._before = (self.cwnd, self.ssthresh, self._maximum)
        self._epoch = None
        has_shrunk = self.cwnd < self._maximum
        self._maximum = self.cwnd * (1 + BETA) / 2 if has_shrunk else self.cwnd
        self.ssthresh = max(self.cwnd * BETA, 2.0)

    def on_timeout(self) -> None:
        """After `on_loss` where the episode is new: all is lost, and Linux forgets what it knew but `ssthresh`."""
        self.cwnd = 1.0
        self.slow_start_exit = self._epoch = None
        self._maximum = 0.0
        self._min_rtt = math.inf

    def undo(self) -> None:
        """The last loss episode was none."""
        cwnd, self.ssthresh, self._maximum = self._before
        self.cwnd = max(self.cwnd, cwnd)

    def _avoid_congestion(self, segments: int, now: float) -> None:
        cwnd = self.cwnd
        if self._epoch is None:
            self._epoch = now
            self._friendly = cwnd
            self._origin = max(cwnd, self._maximum)
            self._k = ((self._origin - cwnd) / C) ** (1 / 3)
        ahead = now - self._epoch + (self._min_rtt if self._min_rtt < math.inf else 0.0)
        target = self._origin + C * (ahead - self._k) ** 3
        target = cwnd if target < cwnd else min(target, 1.5 * cwnd)
        self._friendly += FRIENDLY_GAIN * segments / cwnd
        gain = ((target if target > self._friendly else self._friendly) - cwnd) / cwnd
        if not self._maximum:
            gain = max(gain, UNKNOWN_MAXIMUM_GAIN)
        self.cwnd += gain * segments

    def _hystart(self, rtt: float, *, acked_to: int, sent_to: int, now: float) -> None:
        if acked_to > self._round_end:
            self._round_end = sent_to
            self._round_start = self._last_ack = now
            self._round_rtt = math.inf
            self._samples = 0
        if self.cwnd < HYSTART_LOW_WINDOW:
            return
        is_train_long = False
        if now - self._last_ack <= HYSTART_ACK_DELTA:
            self._last_ack = now
            is_train_long = now - self._round_start > self._min_rtt / 2
        self._round_rtt = min(self._round_rtt, rtt)
        self._samples += 1
        rise = min(max(self._min_rtt / 8, HYSTART_LEAST_RISE), HYSTART_MOST_RISE)
        if is_train_long or (self._samples > HYSTART_SAMPLES and self._round_rtt > self._min_rtt + rise):
            self.slow_start_exit = (now, self.cwnd)
            self.ssthresh = self.cwnd

"""Asking a path from which nothing is heard: probe timeouts (RFC 9002 section 6.2), and what silence means.

The first probes are cheap insurance against a lost tail. Further ones that nobody answers say that the path is silent:
then nothing but probes is sent, often enough that a path that comes back is found within a second, and seldom once that
takes minutes.
"""

from __future__ import annotations

from typing import Final

from ghost.constants import FULL_PACKET

SHARES: Final[tuple[float, ...]] = (0.05, 0.5)
"""Of the rate may go into the first probes, and into the next ones if those are lost as well: a burst of losses passes
by packets, not by time."""
PACKETS: Final[tuple[int, ...]] = (2, 8)  # least (RFC 9002 section 6.2.4) and most at once
BEFORE_SILENCE: Final = 3  # unanswered, after which only probes are sent: the path is gone
BEFORE_BACKOFF: Final = 8  # a burst of losses must not slow the probing down
MAX_INTERVAL: Final = 1.0  # seconds: a path that comes back is found within this
BEFORE_PATIENCE: Final = 40  # after half a minute the path is left to the handshakes that run alongside
PATIENT_INTERVAL: Final = 20.0  # seconds


class Probing:
    """`unanswered` probe timeouts in a row; `owed` probes are to be sent whatever else may leave."""

    __slots__ = ("owed", "unanswered")

    def __init__(self) -> None:
        self.unanswered = 0
        self.owed = 0

    @property
    def is_silent(self) -> bool:
        """Whether nothing but probes should be sent."""
        return self.unanswered >= BEFORE_SILENCE

    def on_timeout(self, *, rate: float, interval: float) -> bool:
        """Nothing was heard for `interval` seconds on a path of `rate` bytes a second; True when silence begins."""
        self.unanswered += 1
        is_again = 1 < self.unanswered <= BEFORE_SILENCE
        packets = SHARES[is_again] * rate * interval / FULL_PACKET
        self.owed = max(PACKETS[0], min(int(packets), PACKETS[1]))
        return self.unanswered == BEFORE_SILENCE

    def on_answer(self) -> None:
        """Something that was sent is known to have arrived."""
        self.unanswered = 0

    def on_contact(self) -> None:
        """The peer was heard: a path given up for lost is back, one way at least, and worth a probe at once."""
        if self.unanswered > BEFORE_BACKOFF:
            self.unanswered = BEFORE_SILENCE
            self.owed = PACKETS[0]

    def delay(self, interval: float) -> float:
        """Seconds from the last packet that asks for an answer to the next probe; `interval` is the probe timeout."""
        backoff = self.unanswered - BEFORE_BACKOFF
        if backoff <= 0:
            return interval
        most = PATIENT_INTERVAL if self.unanswered > BEFORE_PATIENCE else MAX_INTERVAL
        return min(interval * (1 << min(backoff, 16)), max(interval, most))

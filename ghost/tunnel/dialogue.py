"""Whether somebody types in a TCP flow: then its acknowledgements may wait for the next key, which carries them.

An echo of 36 bytes and the acknowledgement of it each take a datagram of their own, of which 52 bytes are the tunnel's.
A flow types when its last segments were small and the acknowledgement is of little. After one that waited in vain the
next does not wait, after two in a row the next three: whatever looks like typing and is not suffers little.
"""

from __future__ import annotations

from typing import Final

from ghost.constants import PATIENCE
from ghost.wire.inner import tcp_acknowledgement

SMALL: Final = 256  # bytes of inner packet: a key sealed by ssh has 76 to 88
LITTLE: Final = 512  # bytes acknowledged at once
LEAST_TALK: Final = 4  # small segments in a row: the first lines of other protocols are no dialogue
MEMORY: Final = 1.0  # seconds since the last one
_MOST_FAILURES: Final = 2
_SACK_HEAD: Final = b"\x01\x01\x05"  # two no-operations, kind 5 (RFC 2018)
_BARE, _STAMPED = 40, 52  # bytes of a pure acknowledgement, without options and with timestamps


class Dialogue:
    """One direction of a TCP flow."""

    __slots__ = ("_acknowledged", "_failures", "_rest", "_segment_at", "_talk", "_waits_since")

    def __init__(self) -> None:
        self._acknowledged = 0
        self._failures = 0
        self._rest = 0
        self._segment_at = float("-inf")
        self._talk = 0
        self._waits_since: float | None = None

    def on_segment(self, packet: bytes, now: float) -> None:
        """A segment with a payload leaves."""
        if len(packet) > SMALL:
            self._talk = 0
            return
        self._talk = min(self._talk + 1, LEAST_TALK)
        self._segment_at = now
        self._acknowledged = tcp_acknowledgement(packet)
        if self._waits_since is not None:
            if now - self._waits_since <= PATIENCE:
                self._failures = 0
            else:
                self._fail()
            self._waits_since = None

    def may_wait(self, packet: bytes, now: float) -> bool:
        """Whether this pure acknowledgement may wait for a segment."""
        acknowledged = tcp_acknowledgement(packet)
        advance = (acknowledged - self._acknowledged) & 0xFFFFFFFF
        self._acknowledged = acknowledged
        if self._talk < LEAST_TALK or not 0 < advance <= LITTLE:
            return False
        size = len(packet)
        if size != _BARE and (size != _STAMPED or packet[40:43] == _SACK_HEAD):  # it tells of a gap
            return False
        if now - self._segment_at > MEMORY:
            return False
        if self._rest:
            self._rest -= 1
            return False
        if self._waits_since is None:
            self._waits_since = now
        elif now - self._waits_since > PATIENCE:
            self._fail()
            self._waits_since = None
            return False
        return True

    def _fail(self) -> None:
        self._failures = min(self._failures + 1, _MOST_FAILURES)
        self._rest = (1 << self._failures) - 1

"""The first round trips of a TCP flow on a path with jitter: none may look shorter than those to come.

Linux leaves slow start when round trips have grown by 4 to 16 ms (HyStart, RFC 9406). Where delays vary they always
grow: of a few segments some are lucky, while a stream of them, which keeps its order, waits for the slowest. The flow
then takes ten seconds to fill what slow start fills in two. So an acknowledgement of a flow's first segments is not
delivered before a usual round trip has passed since they were read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from ghost.compression.trains import SuperPacket
from ghost.wire.inner import is_behind, parse, reverse, tcp_acknowledgement

FIRST_SEGMENTS: Final = 512  # or super-packets: slow start to 10 Mbit/s over half a second
ROUND_TRIPS: Final = 10  # usual ones, after which a flow is no longer young
LEAST_JITTER: Final = 0.004  # seconds: HyStart bears as much
JITTERS: Final = 5.0  # of lone packets, that a usual round trip is longer than a mean one
MAX_HELD: Final = 1024  # acknowledgements


class Beginning:
    """One direction of a flow: when its first segments were read, as far as they are not acknowledged."""

    __slots__ = ("_ends", "_left", "_read", "_release", "_round_trip")

    def __init__(self) -> None:
        self._ends = float("inf")
        self._left = FIRST_SEGMENTS
        self._read: deque[tuple[int, float]] = deque()  # (sequence, when)
        self._release = 0.0
        self._round_trip = 0.0

    def on_segment(self, sequence: int, now: float) -> None:
        """A segment that begins there was read."""
        if self._left and not (self._read and is_behind(sequence, self._read[-1][0])):
            self._left -= 1
            self._read.append((sequence, now))

    def release_time(self, acknowledgement: int, round_trip: float) -> float:
        """When to deliver it: `round_trip` after the newest segment that it acknowledges, but none before another.

        The first `round_trip` holds for all: one that grows would be what is to be hidden.
        """
        read_at: float | None = None
        while self._read and is_behind(self._read[0][0], acknowledgement):
            read_at = self._read.popleft()[1]
        if read_at is not None and read_at < self._ends:
            if not self._round_trip:
                self._round_trip, self._ends = round_trip, read_at + ROUND_TRIPS * round_trip
            self._release = max(self._release, read_at + self._round_trip)
        return self._release


class Beginnings:
    """What is held of a connection's packets; true while there is any."""

    __slots__ = ("_count", "_find", "_held")

    def __init__(self, find: Callable[[bytes], Beginning | None]) -> None:
        """`find` gives that of a flow by its key."""
        self._count = 0
        self._find = find
        self._held: list[tuple[float, int, bytes]] = []  # heap of (when, count, packet)

    def __bool__(self) -> bool:
        return bool(self._held)

    @property
    def next_time(self) -> float | None:
        return self._held[0][0] if self._held else None

    def sift(self, packets: list[bytes | SuperPacket], *, round_trip: float, now: float) -> list[bytes | SuperPacket]:
        """Those to be delivered now; `round_trip` is the usual one, in seconds, 0 where each is as long as the next."""
        ready: list[bytes | SuperPacket] = []
        while self._held and self._held[0][0] <= now:
            ready.append(heappop(self._held)[2])
        for packet in packets:
            release = 0.0
            if round_trip and not isinstance(packet, SuperPacket) and len(self._held) < MAX_HELD:
                release = self._release_time(packet, round_trip)
            if release > now and isinstance(packet, bytes):
                self._count += 1
                heappush(self._held, (release, self._count, packet))
            else:
                ready.append(packet)
        return ready

    def _release_time(self, packet: bytes, round_trip: float) -> float:
        inner = parse(packet)
        beginning = self._find(reverse(inner.key)) if inner is not None and inner.is_pure_ack else None
        return beginning.release_time(tcp_acknowledgement(packet), round_trip) if beginning is not None else 0.0

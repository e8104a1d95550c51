"""Inner TCP in slow start: fewer acknowledgements, so that it does not take a repair for a full path.

Linux leaves slow start (HyStart), and others do (HyStart++, RFC 9406), when the least of a round's first eight round
trips exceeds the connection's least by an eighth, 16 ms at most. A loss at the beginning of a round does that, because
what follows waits until it is repaired, and under jitter every round does. From then on CUBIC needs seconds or
minutes for what slow start does in a few round trips. With fewer than eight samples a round there is no verdict, and
the window grows by the bytes that are acknowledged, not by the acknowledgements.

So while the path is not full the acknowledgements of a flow are handed to its sender some six times a round trip, each
the newest. When packets of it have waited for the path for a third of a round trip on end, the path is full: from then
on it gets all, sees the queue, and leaves slow start as it should. The first segments are left alone, for HyStart looks
at none of them and short transfers should not wait.
"""

from __future__ import annotations

from typing import Final, TypeVar

from ghost.wire.inner import TCP, is_behind, parse, reverse, tcp_acknowledgement

T = TypeVar("T")

FREE: Final = 24_000  # bytes of a flow that are acknowledged as usual: HyStart begins at 16 segments
IDLE: Final = 1.0  # seconds after which they are counted anew
FULL: Final = 0.34  # round trips of waiting
SAMPLES: Final = 6  # a round trip of the path; rounds are longer than that, never shorter
MAX_GROWING: Final = 64  # flows in slow start at a time that are known
_SIZES: Final = frozenset((40, 52))  # bytes of a pure acknowledgement without a gap: bare, and with timestamps
_SACK_HEAD: Final = b"\x01\x01\x05"  # two no-operations, kind 5 (RFC 2018)
_ACK: Final = 0x10


class Growth:
    """One direction of a TCP flow: whether its sender is still finding out what the path carries."""

    __slots__ = ("acknowledged", "held", "is_over", "next_at", "_at", "_sent", "_waiting_since")

    def __init__(self, now: float) -> None:
        self.acknowledged: int | None = None
        """What was handed to its sender last, modulo 2**32."""
        self.held: bytes | None = None
        """The newest acknowledgement, until `next_at`."""
        self.is_over = False
        """The path is full, or something was lost."""
        self.next_at = 0.0
        self._at = now
        self._sent = 0
        self._waiting_since = now

    def on_segments(self, size: int, *, queued: int, round_trip: float, is_path_known: bool, now: float) -> bool:
        """`size` bytes of it join the `queued` ones that wait for the path; whether acknowledgements are to be held."""
        if now - self._at > IDLE:
            self._sent = 0
        self._at = now
        self._sent += size
        if not queued or not is_path_known:
            self._waiting_since = now
        elif now - self._waiting_since > FULL * round_trip:
            self.is_over = True
        return self._sent > FREE and not self.is_over


class SlowStarts:
    """The flows of one connection whose senders are in slow start, as far as can be told."""

    __slots__ = ("_growing", "_holding")

    def __init__(self) -> None:
        self._growing: dict[bytes, Growth] = {}  # by the key of their acknowledgements
        self._holding: dict[Growth, None] = {}

    def on_segments(
        self, key: bytes, growth: Growth, size: int, *, queued: int, round_trip: float, is_path_known: bool, now: float
    ) -> None:
        """As Growth.on_segments, of the flow of that key."""
        is_on = growth.on_segments(size, queued=queued, round_trip=round_trip, is_path_known=is_path_known, now=now)
        if is_on:
            self._growing[reverse(key)] = growth
            if len(self._growing) > MAX_GROWING:
                del self._growing[next(iter(self._growing))]
        elif growth.is_over:
            self._growing.pop(reverse(key), None)
            growth.next_at = now  # before what comes next, which nothing holds

    def thin(self, packets: list[T], *, round_trip: float, now: float) -> list[T]:
        """Those of the packets that their receivers should have now, in order."""
        if not self._growing:
            return packets
        return [packet for packet in packets if not self._is_held(packet, round_trip, now)]

    @property
    def next_time(self) -> float | None:
        """When `due` has something."""
        return min((growth.next_at for growth in self._holding), default=None)

    def due(self, round_trip: float, now: float) -> list[bytes]:
        """Acknowledgements that were held and are to be handed on now."""
        packets = []
        for growth in [growth for growth in self._holding if growth.next_at <= now]:
            del self._holding[growth]
            if growth.held is not None:
                packets.append(growth.held)
                growth.acknowledged, growth.held = tcp_acknowledgement(growth.held), None
                growth.next_at = now + round_trip / SAMPLES
        return packets

    def _is_held(self, packet: object, round_trip: float, now: float) -> bool:
        if not isinstance(packet, bytes) or len(packet) not in _SIZES or packet[9] != TCP:
            return False
        inner = parse(packet)
        growth = self._growing.get(inner.key) if inner is not None and inner.is_pure_ack else None
        if growth is None or growth.is_over:
            return False
        acknowledged, former = tcp_acknowledgement(packet), growth.acknowledged
        if packet[33] != _ACK or packet[40:43] == _SACK_HEAD:
            growth.is_over, growth.held = True, None  # something was lost, or marked; it says what was held as well
            return False
        if former is not None and not is_behind(former, acknowledged):
            return False  # it says something else: a window, a probe's answer
        if now >= growth.next_at:
            growth.acknowledged, growth.held = acknowledged, None
            growth.next_at = now + round_trip / SAMPLES
            return False
        self._holding[growth] = None
        growth.held = packet
        return True

"""Symbols that the receiver does not know yet, and which of them are worth sending again.

A symbol enters when it is first sent and leaves when the receiver reports it, however it learned it. In between it is
either in flight (its last transmission has no fate yet) or missing (that one was lost).
"""

from __future__ import annotations

from typing import Final

from ghost.constants import MAX_MEMBERS_SIZE
from ghost.reliability.field import unit
from ghost.wire.frames import SYMBOL_ID_BITS, is_sayable
from ghost.wire.numbers import expand, stretches

MAX_SYMBOLS: Final = 4096
"""Between the oldest unknown symbol and the newest: 50 Mbit/s over 900 ms, and 6 MB of memory at the most."""
MAX_SPAN: Final = MAX_MEMBERS_SIZE * 8
_SPAN: Final = (1 << MAX_SPAN) - 1
_SHIFT_STEP: Final = 256


class SendWindow:
    """`settled` is the id below which a symbol that is not known has not arrived: what lies above may be on its way."""

    __slots__ = ("floor", "next_id", "settled", "_payloads", "_units", "_last_packet", "_missing", "_base", "_unknown")

    def __init__(self) -> None:
        self.floor = 0
        """Below it the receiver knows everything."""
        self.next_id = 0
        self.settled = 0
        self._payloads: dict[int, bytes] = {}  # in order of id
        self._units: dict[int, int] = {}  # of those that were coded: in most repairs they stay for long
        self._last_packet: dict[int, int] = {}
        self._missing: set[int] = set()
        self._base = 0
        self._unknown = 0  # bit i: the receiver does not know symbol _base + i; meets reports without a walk

    def __len__(self) -> int:
        return len(self._payloads)

    @property
    def room(self) -> int:
        """How many new symbols fit."""
        return MAX_SYMBOLS - (self.next_id - self.floor)

    @property
    def is_full(self) -> bool:
        return self.next_id - self.floor >= MAX_SYMBOLS

    def payload(self, symbol_id: int) -> bytes:
        return self._payloads[symbol_id]

    def units(self, symbol_ids: list[int]) -> list[int]:
        """What a repair over these is made of (ghost.reliability.field)."""
        units = self._units
        for symbol_id in symbol_ids:
            if symbol_id not in units:
                units[symbol_id] = unit(self._payloads[symbol_id])
        return [units[symbol_id] for symbol_id in symbol_ids]

    def add(self, payload: bytes) -> int:
        symbol_id = self.next_id
        self.next_id += 1
        self._payloads[symbol_id] = payload
        self._unknown |= 1 << (symbol_id - self._base)
        return symbol_id

    def add_run(self, payloads: list[bytes], first_packet: int) -> int:
        """`add` and `on_sent` for symbols that leave in consecutive packets; returns the first one's id."""
        first, count = self.next_id, len(payloads)
        ids = range(first, first + count)
        self._payloads.update(zip(ids, payloads, strict=True))
        self._last_packet.update(zip(ids, range(first_packet, first_packet + count), strict=True))
        self._unknown |= ((1 << count) - 1) << (first - self._base)
        self.next_id += count
        return first

    def on_sent(self, symbol_id: int, packet_number: int) -> None:
        self._last_packet[symbol_id] = packet_number
        self._missing.discard(symbol_id)

    def on_lost(self, symbol_id: int, packet_number: int) -> None:
        """That transmission failed: unless a later one is under way, the symbol is missing."""
        if self._last_packet.get(symbol_id) == packet_number:
            self._missing.add(symbol_id)

    def want_again(self, symbol_id: int) -> None:
        """What is under way of it will not do."""
        if symbol_id in self._payloads:
            self._missing.add(symbol_id)

    def on_known(self, symbol_id: int) -> None:
        if symbol_id in self._payloads:
            del self._payloads[symbol_id]
            self._units.pop(symbol_id, None)
            self._last_packet.pop(symbol_id, None)
            self._missing.discard(symbol_id)
            self._unknown ^= 1 << (symbol_id - self._base)
            if symbol_id == self.floor:
                self._raise_floor()

    def on_report(self, floor: int, bitmap: int) -> None:
        """An acknowledgement's word: all below `floor` (truncated), and floor + 1 + i for every bit i, is known.

        A floor beyond what was sent is nonsense and changes nothing.
        """
        floor = expand(floor, bits=SYMBOL_ID_BITS, near=self.floor)
        if floor < self._base or floor > self.next_id:
            return
        offset = floor - self._base
        news = (bitmap << (offset + 1) | (1 << offset) - 1) & self._unknown
        self._unknown ^= news
        payloads, last_packet = self._payloads, self._last_packet
        for start, end in stretches(news, self._base):
            for symbol_id in range(start, end):
                del payloads[symbol_id]
                last_packet.pop(symbol_id, None)
            if self._missing:
                self._missing.difference_update(range(start, end))
        if news or floor > self.floor:
            self._raise_floor()
        if offset >= _SHIFT_STEP:  # seldom, so that many symbols share one copy of a long integer
            self._unknown >>= offset
            self._base = floor

    def _raise_floor(self) -> None:
        unknown = self._unknown
        self.floor = self._base + (unknown & -unknown).bit_length() - 1 if unknown else self.next_id

    def next_missing(self) -> int | None:
        """The oldest missing symbol."""
        return min(self._missing) if self._missing else None

    @property
    def unknown_settled(self) -> int:
        """How many of the settled symbols the receiver lacks."""
        return (self._unknown & (1 << max(self.settled - self._base, 0)) - 1).bit_count()

    def is_codable(self, limit: int) -> bool:
        """Whether one repair can cover all that is missing: `limit` symbols, and as many as it can say."""
        return self.unknown_settled <= limit and is_sayable(self._relative_to_floor()[1])

    def members(self, limit: int) -> tuple[int, int]:
        """(first id, bitmap from it on) of what a repair should cover: at least one symbol, and at most `limit`.

        All settled ones that are missing, and the newest of the others; the latter alone where there is more missing
        than is codable.
        """
        floor, limit = self.floor, max(limit, 1)
        unknown, missing = self._relative_to_floor()
        settled, length = min(max(self.settled - floor, 0), self.next_id - floor), self.next_id - floor
        if not self.is_codable(limit):
            missing = _lowest(missing & _SPAN, limit) if settled == length else 0
        newest = max(settled, length - limit + missing.bit_count())
        members = missing | unknown >> newest << newest
        if not is_sayable(members):
            first = length - min(limit, MAX_SPAN)
            members = missing or unknown >> first << first
        if not members:  # the newest have all arrived
            members = _lowest(unknown & _SPAN, limit)
        first = (members & -members).bit_length() - 1
        return floor + first, members >> first

    def _relative_to_floor(self) -> tuple[int, int]:
        """Bitmaps from the floor on of what is unknown, and of that what is settled."""
        floor = self.floor
        unknown = self._unknown >> (floor - self._base)
        return unknown, unknown & (1 << max(self.settled - floor, 0)) - 1


def _lowest(bitmap: int, count: int) -> int:
    """Its lowest `count` ones."""
    while bitmap.bit_count() > count:
        bitmap &= (1 << bitmap.bit_length() - 1) - 1
    return bitmap

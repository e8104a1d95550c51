"""Symbols that have arrived: each is handed on once, and reported until the sender knows.

Symbols far beyond the first missing one are refused, which bounds the memory that a peer can claim.
"""

from __future__ import annotations

from typing import Final

from ghost.errors import PeerError
from ghost.reliability.send_window import MAX_SYMBOLS
from ghost.wire.frames import SYMBOL_ID_BITS
from ghost.wire.numbers import expand

MAX_REPORT_BITS: Final = 255 * 8
_TRUNCATED: Final = (1 << SYMBOL_ID_BITS) - 1


class ReceiveWindow:
    """`floor` is the first unknown symbol; everything below it is known."""

    __slots__ = ("floor", "_known")

    def __init__(self) -> None:
        self.floor = 0
        self._known = 0  # bit i: floor + 1 + i is known

    def accept(self, truncated_id: int) -> int | None:
        """The symbol's full id when it is news, None when it is known; PeerError("window") when it is too far ahead."""
        if not self._known and truncated_id == self.floor & _TRUNCATED:  # the usual case, without arithmetic
            self.floor += 1
            return self.floor - 1
        symbol_id = expand(truncated_id, bits=SYMBOL_ID_BITS, near=self.floor)
        offset = symbol_id - self.floor
        if offset < 0:
            return None
        if offset == 0:
            # the run of known symbols that follows the floor joins what lies below it
            run = (~self._known & (self._known + 1)).bit_length()
            self.floor += run
            self._known >>= run
            return symbol_id
        if offset > MAX_SYMBOLS:
            raise PeerError("window")
        bit = 1 << (offset - 1)
        if self._known & bit:
            return None
        self._known |= bit
        return symbol_id

    @property
    def has_holes(self) -> bool:
        """Whether symbols beyond a missing one are known."""
        return self._known != 0

    def accept_run(self, count: int) -> int:
        """`accept` for the `count` next symbols where there are no holes; returns the first one's id."""
        self.floor += count
        return self.floor - count

    def is_known(self, symbol_id: int) -> bool:
        offset = symbol_id - self.floor
        return offset < 0 or (offset > 0 and self._known >> (offset - 1) & 1 == 1)

    def report(self) -> tuple[int, int]:
        """(floor, bitmap) as an acknowledgement carries them."""
        return self.floor, self._known & ((1 << MAX_REPORT_BITS) - 1)

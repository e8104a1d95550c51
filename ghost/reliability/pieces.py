"""Symbols that became too large for their path: they cross in pieces.

A symbol stays the same however often it is sent, because repairs may cover it and the receiver may hold it already. So
where the path shrinks, those that are under way are cut; new ones are made smaller. Each piece says where in its symbol
it begins, and the pieces of several cuts may overlap: the receiver has the symbol when they leave no gap.
"""

from __future__ import annotations

from ghost.constants import MAX_SYMBOL


class PieceSender:
    """Which pieces of which symbols are under way or known. `size` is that of a whole piece in bytes."""

    __slots__ = ("_size", "_open", "_under_way")

    def __init__(self) -> None:
        self._size = MAX_SYMBOL
        self._open: dict[int, dict[int, bool]] = {}  # by symbol: offsets that are not known, and whether under way
        self._under_way: dict[int, tuple[int, int]] = {}  # packet number to symbol and offset

    def __len__(self) -> int:
        """Symbols in pieces."""
        return len(self._open)

    def forget_below(self, floor: int) -> None:
        """Symbols below `floor` are known, however they became it."""
        if min(self._open) < floor:
            self._open = {known: offsets for known, offsets in self._open.items() if known >= floor}

    def resize(self, size: int) -> list[int]:
        """All cuts begin anew; returns the symbols that were cut."""
        cut = list(self._open)
        self._size = size
        self._open.clear()
        self._under_way.clear()
        return cut

    def next_piece(self, symbol_id: int, payload: bytes) -> tuple[int, bytes, bool]:
        """(offset, piece, whether it is the last) of the piece of a symbol that should go next."""
        offsets = self._open.setdefault(symbol_id, dict.fromkeys(range(0, len(payload), self._size), False))
        offset = min(offsets, key=lambda at: (offsets[at], at))
        return offset, payload[offset : offset + self._size], offset + self._size >= len(payload)

    def on_sent(self, number: int, symbol_id: int, offset: int) -> bool:
        """The piece left in the packet of that number; True when no other piece of its symbol waits to leave."""
        offsets = self._open[symbol_id]
        offsets[offset] = True
        self._under_way[number] = symbol_id, offset
        return all(offsets.values())

    def on_acked(self, number: int) -> int | None:
        """The symbol of which the last piece has arrived, if this was it."""
        symbol_id, offset = self._under_way.pop(number, (-1, 0))
        offsets = self._open.get(symbol_id)
        if offsets is None:
            return None
        offsets.pop(offset, None)
        if offsets:
            return None
        del self._open[symbol_id]
        return symbol_id

    def on_lost(self, number: int) -> int | None:
        """The symbol whose piece must go again, if any."""
        symbol_id, offset = self._under_way.pop(number, (-1, 0))
        offsets = self._open.get(symbol_id, {})
        if offset not in offsets:
            return None
        offsets[offset] = False
        return symbol_id


class PieceJoiner:
    """Pieces received of symbols that are not known yet, in no more bytes than the symbols have."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[int, _Torn] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, symbol_id: int, offset: int, piece: bytes, *, is_last: bool, floor: int) -> bytes | None:
        """The symbol, when it is whole. Below `floor` all symbols are known: what is held of them is dropped."""
        if self._open and next(iter(self._open)) < floor:
            self._open = {known: torn for known, torn in self._open.items() if known >= floor}
        torn = self._open.setdefault(symbol_id, _Torn())
        end = offset + len(piece)
        torn.data[offset:end] = piece
        torn.known |= ((1 << len(piece)) - 1) << offset
        if is_last:
            torn.size = end
        if torn.size is None or torn.known != (1 << torn.size) - 1:
            return None
        del self._open[symbol_id]
        return bytes(torn.data[: torn.size])


class _Torn:
    """`known` has a bit for every byte that is there; `size` is None until the last piece has come."""

    __slots__ = ("data", "known", "size")

    def __init__(self) -> None:
        self.data = bytearray(MAX_SYMBOL)
        self.known = 0
        self.size: int | None = None

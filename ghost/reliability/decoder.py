"""Solving for missing symbols: Gauss-Jordan elimination, one equation at a time.

A repair is an equation over the symbols that are still unknown here; the known ones are subtracted on arrival, for
which their units are kept a while. The rows are always fully reduced: a row's pivot stands in no other row, so that a
row with one unknown left is a solved symbol, and an equation that reduces to nothing was redundant.

Bounds: MAX_ROWS equations, the units of the last KEPT symbols, of which most are let go when the peer does not send
repairs, and a quarter of a core: the worst that a peer can send, equations over MAX_MEMBERS unknown symbols each, takes
20 ms each where 240 wait (measured), so work is counted, and what comes when there was too much of it is dropped.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ghost.constants import MAX_MEMBERS
from ghost.reliability.field import INVERSES, PRODUCTS, WIDTH, factors, payload_of, scale, unit, weighted_sum

MAX_ROWS: Final = MAX_MEMBERS  # with fewer, what was coded over as many lost symbols could never be solved
WORK_RATE: Final = 2e6  # factors a second; each takes some 0.12 us, the arithmetic of the values included (measured)
MOST_WORK: Final = 4e6  # at once: 230 symbols that were lost together
KEPT: Final = 2048  # symbols: a round trip of 600 ms at 30 Mbit/s; 3 MB
KEPT_WITHOUT_REPAIRS: Final = MAX_MEMBERS
REPAIRS_EXPECTED: Final = 10.0  # seconds after a repair that another one may come


class _Row:
    """sum of factors[id] * symbol(id) = value, the pivot's factor being 1."""

    __slots__ = ("factors", "value")

    def __init__(self, factors: dict[int, int], value: int) -> None:
        self.factors = factors
        self.value = value

    def subtract(self, other: _Row, factor: int) -> None:
        """self - factor * other; in this field minus is plus."""
        self.value ^= scale(other.value, factor)
        product = PRODUCTS[factor]
        for symbol_id, theirs in other.factors.items():
            mine = self.factors.get(symbol_id, 0) ^ product[theirs]
            if mine:
                self.factors[symbol_id] = mine
            else:
                del self.factors[symbol_id]


class Decoder:
    """What is known, and what is known about the unknown. All symbol ids are full ones."""

    __slots__ = ("redundant", "_oldest", "_payloads", "_units", "_rows", "_repairs_until", "_work", "_worked_at")

    def __init__(self) -> None:
        self.redundant = 0
        """Repairs that taught nothing."""
        self._payloads: dict[int, bytes] = {}  # of known symbols
        self._units: dict[int, int] = {}  # of those that a repair had: others most likely have them too
        self._oldest: deque[int] = deque()  # their ids; a dict is slow to find its first key after many were deleted
        self._rows: dict[int, _Row] = {}  # by pivot
        self._repairs_until = float("-inf")
        self._work = 0.0
        self._worked_at = 0.0

    @property
    def rank(self) -> int:
        """Independent equations that wait for more."""
        return len(self._rows)

    def on_symbol(self, symbol_id: int, payload: bytes, now: float) -> list[tuple[int, bytes]]:
        """A symbol has become known; returns the (id, payload) of others that it solved."""
        solved: list[tuple[int, bytes]] = []
        self._payloads[symbol_id] = payload
        self._oldest.append(symbol_id)
        if self._rows:
            self._learn(symbol_id, unit(payload), solved)
        if len(self._oldest) > KEPT_WITHOUT_REPAIRS:
            self._forget(now)
        return solved

    def on_run(self, first_id: int, payloads: list[bytes], now: float) -> None:
        """`on_symbol` for consecutive symbols where no equation waits for them."""
        ids = range(first_id, first_id + len(payloads))
        self._payloads.update(zip(ids, payloads, strict=True))
        self._oldest.extend(ids)
        if len(self._oldest) > KEPT_WITHOUT_REPAIRS:
            self._forget(now)

    def on_repair(
        self, seed: int, members: list[int], data: bytes, *, floor: int, now: float
    ) -> list[tuple[int, bytes]]:
        """An equation over `members`; symbols below `floor` are known. Returns what it solved."""
        self._repairs_until = now + REPAIRS_EXPECTED
        self._work = max(0.0, self._work - (now - self._worked_at) * WORK_RATE)
        self._worked_at = now
        if self._work > MOST_WORK:
            self.redundant += 1
            return []
        self._work += len(members)
        units, sums, unknown = self._units, [0] * WIDTH, {}
        for symbol_id, factor in zip(members, factors(seed, members), strict=True):
            known = units.get(symbol_id)
            if known is None and symbol_id in self._payloads:
                known = units[symbol_id] = unit(self._payloads[symbol_id])
            if known is not None:
                sums[factor] ^= known
            elif symbol_id < floor:  # known once, and let go since
                self.redundant += 1
                return []
            else:
                unknown[symbol_id] = factor
        row = _Row(unknown, int.from_bytes(data, "little") ^ weighted_sum(sums))
        solved: list[tuple[int, bytes]] = []
        if not self._insert(row, solved):
            self.redundant += 1
        self._forget(now)
        return solved

    def _insert(self, row: _Row, solved: list[tuple[int, bytes]]) -> bool:
        """Reduces the row by the others and them by it; False when nothing of it is left."""
        for pivot in [symbol_id for symbol_id in row.factors if symbol_id in self._rows]:
            other = self._rows[pivot]
            self._work += len(other.factors)
            row.subtract(other, row.factors[pivot])
        if not row.factors or len(self._rows) >= MAX_ROWS:
            return False
        pivot = min(row.factors)
        inverse = INVERSES[row.factors[pivot]]
        product = PRODUCTS[inverse]
        row.factors = {symbol_id: product[factor] for symbol_id, factor in row.factors.items()}
        row.value = scale(row.value, inverse)
        for other in self._rows.values():
            factor = other.factors.get(pivot)
            if factor:
                self._work += len(row.factors)
                other.subtract(row, factor)
        self._rows[pivot] = row
        self._harvest(solved)
        return True

    def _harvest(self, solved: list[tuple[int, bytes]]) -> None:
        """Takes out every row that has come down to its pivot."""
        for pivot in [pivot for pivot, row in self._rows.items() if len(row.factors) == 1]:
            payload = payload_of(self._rows.pop(pivot).value)
            if payload is not None:
                self._payloads[pivot] = payload
                self._oldest.append(pivot)
                solved.append((pivot, payload))

    def _learn(self, symbol_id: int, value: int, solved: list[tuple[int, bytes]]) -> None:
        own = self._rows.pop(symbol_id, None)
        if own is not None:
            del own.factors[symbol_id]
            own.value ^= value
            if own.factors:
                self._insert(own, solved)
            return
        touched = False
        for row in self._rows.values():
            factor = row.factors.pop(symbol_id, 0)
            if factor:
                row.value ^= scale(value, factor)
                touched = True
        if touched:
            self._harvest(solved)

    def _forget(self, now: float) -> None:
        limit = KEPT if now < self._repairs_until else KEPT_WITHOUT_REPAIRS
        oldest, payloads, units = self._oldest, self._payloads, self._units
        gone = [oldest.popleft() for _ in range(len(oldest) - limit)]
        for symbol_id in gone:
            payloads.pop(symbol_id, None)
        for symbol_id in gone if units else ():
            units.pop(symbol_id, None)

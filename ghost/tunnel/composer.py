"""From inner packets to what the sender sends: their class, their queue, their records.

    inner packet -> flow -> prompt:  one record, handed to the sender at once
                        \\-> bulk:    flow queue ... compressed when its turn comes -> records of a symbol

Prompt are packets of flows other than TCP that stay below a rate (ping, DNS, calls, games) and TCP's pure
acknowledgements, which want no order: a later one says more than an earlier one. TCP is ordered, whatever else is
bulk has no order to keep. A symbol is filled with whole records as far as they fit; only an inner packet too large for
an empty symbol is sent in parts, which its flow's order then joins again.
"""

from __future__ import annotations

from typing import Final

from ghost.compression.payload import PacketCompressor
from ghost.constants import MAX_SYMBOL
from ghost.tunnel.flows import Flow, FlowQueue, FlowTable
from ghost.wire import records
from ghost.wire.inner import TCP, Inner

LARGEST_PROMPT: Final = 1200  # bytes of inner packet; a bigger one would fill a datagram and travels as a symbol
LEAST_PART: Final = 256  # bytes of room below which a part is not begun


class _Staged:
    """The inner packet whose turn it is: what is left of it, compressed or not."""

    __slots__ = ("flow", "encoding", "body", "is_first", "needs_parts")

    def __init__(self, flow: Flow, encoding: int, body: bytes) -> None:
        self.flow = flow
        self.encoding = encoding
        self.body = body
        self.is_first = True
        self.needs_parts = len(body) + records.RECORD_OVERHEAD > MAX_SYMBOL


class Composer:
    """One connection's outgoing inner packets."""

    __slots__ = ("saved_by_compression", "_compressor", "_flows", "_queue", "_staged")

    def __init__(self, compressor: PacketCompressor | None) -> None:
        self.saved_by_compression = 0
        """Bytes."""
        self._compressor = compressor
        self._flows = FlowTable()
        self._queue = FlowQueue()
        self._staged: _Staged | None = None

    @property
    def has_data(self) -> bool:
        """Whether there is anything to compose a symbol of."""
        return self._staged is not None or self._queue.bytes > 0

    @property
    def queued_bytes(self) -> int:
        return self._queue.bytes

    @property
    def dropped(self) -> int:
        """Packets refused by a full queue."""
        return self._queue.dropped

    def add(self, packet: bytes, inner: Inner, *, rate: float, now: float) -> bytes | None:
        """Queues the packet, or returns its record when it is prompt. `rate` bytes a second bound the queue."""
        flow = self._flows.find(inner, now)
        is_sparse = inner.protocol != TCP and flow.is_sparse_with(len(packet), now)
        if len(packet) <= LARGEST_PROMPT and (inner.is_pure_ack or is_sparse):
            encoding, body = self._compress(flow, packet)
            return records.encode(records.Record(encoding, True, True, records.UNORDERED, 0, body), is_sized=False)
        self._queue.push(flow, packet, rate=rate)
        return None

    def compose(self, room: int) -> bytes:
        """The records of a new symbol, at most `room` bytes; empty when nothing waits or fits."""
        placed: list[records.Record] = []
        while len(placed) < records.MAX_RECORDS:
            staged = self._staged or self._stage()
            if staged is None:
                break
            room -= records.RECORD_OVERHEAD + bool(placed) * records.SIZE_FIELD  # the one before is not the last
            if len(staged.body) <= room:
                placed.append(_record(staged, staged.body, is_last=True))
                room -= len(staged.body)
                self._staged = None
            elif staged.needs_parts and room >= LEAST_PART:
                placed.append(_record(staged, staged.body[:room], is_last=False))
                staged.body = staged.body[room:]
                staged.is_first = False
                break
            else:
                break
        last = len(placed) - 1
        return b"".join(records.encode(record, is_sized=index < last) for index, record in enumerate(placed))

    def _stage(self) -> _Staged | None:
        flow = self._queue.head()
        if flow is None:
            return None
        encoding, body = self._compress(flow, self._queue.pop(flow))
        self._staged = _Staged(flow, encoding, body)
        return self._staged

    def _compress(self, flow: Flow, packet: bytes) -> tuple[int, bytes]:
        if self._compressor is not None:
            body = self._compressor.compress(packet, flow.shrinkage)
            if body is not None:
                self.saved_by_compression += len(packet) - len(body)
                return records.Encoding.ZSTD, body
        return records.Encoding.PLAIN, packet


def _record(staged: _Staged, body: bytes, *, is_last: bool) -> records.Record:
    flow = staged.flow
    if staged.is_first and is_last and not flow.is_tcp:
        return records.Record(staged.encoding, True, True, records.UNORDERED, 0, body)
    return records.Record(staged.encoding, staged.is_first, is_last, flow.lane.flow_id, flow.lane.next_sequence(), body)

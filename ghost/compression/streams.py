"""History for ordered flows: one zstd stream a lane, as many at once as the memory of both ends holds.

    body = [kind: 1] | slack: 1 | pieces of the stream | slack zeros          the kind only where a stream begins

The slack makes short bodies come in few lengths, because a length is what an onlooker sees. The sender keeps its most
recently used streams as far as its memory goes, and the receiver as much memory of streams, which are a fifth or a
half as large there: a lane may be waiting for a lost record while others run ahead. A piece whose stream the receiver
no longer has is dropped, and the sender told.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ghost.compression import zstd
from ghost.compression.dictionaries import DICTIONARIES, STREAM_KINDS, Kind
from ghost.compression.payload import pad, unpad
from ghost.errors import PeerError

MEMORY: Final = 1 << 20
"""Bytes of memory that either end gives to a stream on average; how much each takes is decided by its window."""
MAX_COUNT: Final = 255
RESTART_AFTER: Final = 48 << 10  # bytes fed to a stream before it may give way to one of another effort
MOST_RESTARTS: Final = 3
_LEAST_GAIN: Final = 1 / 16
MAX_PAYLOAD: Final = 65535


class _Held:
    """A stream that the sender keeps, and the bytes that went into it and came out."""

    __slots__ = ("stream", "effort", "fed", "made", "restarts")

    def __init__(self, effort: zstd.Effort, kind: Kind, restarts: int) -> None:
        self.stream = zstd.compressor(effort, DICTIONARIES[kind])
        self.effort = effort
        self.fed = self.made = 0
        self.restarts = restarts

    def suits(self, effort: zstd.Effort) -> bool:
        """Whether to go on: a stream cannot change its effort, and its history is worth more than a small change."""
        is_alike = (effort == zstd.QUICK) == (self.effort == zstd.QUICK)
        return is_alike or self.restarts >= MOST_RESTARTS or self.fed < RESTART_AFTER


class Streams:
    """The sending end's side."""

    __slots__ = ("_count", "_room", "_streams")

    def __init__(self, count: int) -> None:
        self._count = count
        self._room = count * MEMORY  # bytes of memory that are left
        self._streams: OrderedDict[int, _Held] = OrderedDict()  # least recently used first

    def compress(self, lane: int, payload: bytes, *, effort: zstd.Effort, kind: Kind) -> tuple[bool, bytes] | None:
        """(does a stream begin, body), or None where it does not shrink: then the history is gone."""
        held = self._streams.get(lane)
        head = b""
        if held is not None and held.suits(effort):
            self._streams.move_to_end(lane)
        else:
            restarts = held.restarts + 1 if held is not None else 0
            self.forget(lane)
            if effort.memory > self._count * MEMORY:
                return None
            self._room -= effort.memory
            while self._room < 0 or len(self._streams) >= self._count:
                self.forget(next(iter(self._streams)))
            held = self._streams[lane] = _Held(effort, kind, restarts)
            head = bytes((kind,))
        pieces = held.stream.compress(payload)
        held.fed += len(payload)
        held.made += len(pieces)
        body = head + pad(pieces, ahead=len(head))
        if len(body) > len(payload) * (1 - _LEAST_GAIN):
            self.forget(lane)
            return None
        return bool(head), body

    def ratio(self, lane: int) -> float:
        """By how much what was fed to the lane's stream shrank; 0 before it has one."""
        held = self._streams.get(lane)
        return held.fed / held.made if held is not None else 0.0

    def forget(self, lane: int) -> None:
        held = self._streams.pop(lane, None)
        if held is not None:
            self._room += held.effort.memory


class StreamTable:
    """The receiving end's side."""

    __slots__ = ("_count", "_room", "_streams")

    def __init__(self, count: int) -> None:
        self._count = 2 * count
        self._room = count * MEMORY
        self._streams: OrderedDict[int, tuple[zstd.Decompressor, int]] = OrderedDict()  # and its memory

    def expand(self, lane: int, body: bytes, *, is_new: bool) -> bytes:
        """The payload; PeerError for nonsense, and for a stream that is not known: then the lane's is gone."""
        stream, memory = self._streams.pop(lane, (None, 0))
        self._room += memory
        if is_new:
            if not self._count or not body or body[0] not in STREAM_KINDS:
                raise PeerError("malformed")
            kind, body = Kind(body[0]), body[1:]
            stream, memory = zstd.decompressor(DICTIONARIES[kind]), zstd.reader_memory(body[1:])
        if stream is None:
            raise PeerError("reference")
        payload = stream.decompress(unpad(body), MAX_PAYLOAD)
        self._streams[lane] = stream, memory
        self._room -= memory
        while self._room < 0 or len(self._streams) > self._count:
            self._room += self._streams.popitem(last=False)[1][1]
        return payload

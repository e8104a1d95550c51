"""History for ordered flows: one zstd stream a lane, as many at once as the memory of both ends holds.

    body = [kind: 1] | slack: 1 | pieces of the stream | slack zeros          the kind only where a stream begins

The slack makes short bodies come in few lengths, because a length is what an onlooker sees. The sender keeps its most
recently used streams, the receiver twice as many: a lane may be waiting for a lost record while others run ahead. A
piece whose stream the receiver no longer has is dropped, and the sender told.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ghost.compression import zstd
from ghost.compression.dictionaries import DICTIONARIES, Kind
from ghost.errors import PeerError

MEMORY: Final = 1 << 20
"""Bytes that a stream takes at its sender, measured 0.6 to 0.9 MB; at its receiver a third of it, but twice as many."""
MAX_COUNT: Final = 255
BUCKET: Final = 16  # bytes
BUCKETED: Final = 256  # bytes of body up to which lengths are rounded up
_LEAST_GAIN: Final = 1 / 16
MAX_PAYLOAD: Final = 65535


class Streams:
    """The sending end's side."""

    __slots__ = ("_count", "_streams")

    def __init__(self, count: int) -> None:
        self._count = count
        self._streams: OrderedDict[int, zstd.Compressor] = OrderedDict()  # least recently used first

    def compress(self, lane: int, payload: bytes, *, effort: zstd.Effort, kind: Kind) -> tuple[bool, bytes] | None:
        """(does a stream begin, body), or None where it does not shrink: then the history is gone."""
        stream = self._streams.get(lane)
        head = b""
        is_new = stream is None
        if stream is None:
            if not self._count:
                return None
            stream = self._streams[lane] = zstd.compressor(effort, DICTIONARIES[kind])
            head = bytes((kind,))
            if len(self._streams) > self._count:
                self._streams.popitem(last=False)
        else:
            self._streams.move_to_end(lane)
        pieces = stream.compress(payload)
        slack = -(len(pieces) + len(head) + 1) % BUCKET if len(pieces) < BUCKETED else 0
        body = b"".join((head, bytes((slack,)), pieces, bytes(slack)))
        if len(body) > len(payload) * (1 - _LEAST_GAIN):
            del self._streams[lane]
            return None
        return is_new, body

    def forget(self, lane: int) -> None:
        self._streams.pop(lane, None)


class StreamTable:
    """The receiving end's side."""

    __slots__ = ("_count", "_streams")

    def __init__(self, count: int) -> None:
        self._count = 2 * count
        self._streams: OrderedDict[int, zstd.Decompressor] = OrderedDict()

    def expand(self, lane: int, body: bytes, *, is_new: bool) -> bytes:
        """The payload; PeerError for nonsense, and for a stream that is not known: then the lane's is gone."""
        stream = self._streams.pop(lane, None)
        if is_new:
            if not self._count or not body or body[0] not in DICTIONARIES:
                raise PeerError("malformed")
            stream = zstd.decompressor(DICTIONARIES[Kind(body[0])])
            body = body[1:]
        if stream is None:
            raise PeerError("reference")
        if len(body) < 2 or body[0] >= len(body) or body[0] >= BUCKET:
            raise PeerError("malformed")
        payload = stream.decompress(body[1 : len(body) - body[0]], MAX_PAYLOAD)
        self._streams[lane] = stream
        if len(self._streams) > self._count:
            self._streams.popitem(last=False)
        return payload

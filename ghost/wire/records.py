"""Records: inner packets, whole or in parts, inside a symbol or a prompt frame.

    head: 1 | [flow id: 1-2 | sequence: 2] | [size: 2] | body

The head says what the body is (low four bits: `Encoding`), whether it is the first and the last part of an inner
packet, whether it belongs to an ordered flow (flow id and sequence follow), and whether a size follows; without one
the body runs to the end. An ordered flow's records are delivered by their sequence, which grows by one a record; its
id is 7 bits in one byte or, with the top bit set, 15 bits in two.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ghost.errors import PeerError

SEQUENCE_BITS = 16
MAX_FLOWS = 1024
MAX_RECORDS = 8  # in a symbol: a full window of symbols then stays within half of the sequence's range
RECORD_OVERHEAD = 5  # the longest head without a size
SIZE_FIELD = 2
UNORDERED = -1

ENCODING_MASK = 0x0F
WHOLE = 0x30
"""The head of a record that is a whole packet, without order, to the end; its encoding is added."""
_FIRST, _LAST, _SIZED, _ORDERED = 0x10, 0x20, 0x40, 0x80


class Encoding:
    """How a record's body stands for an inner packet.

    No enum: in Python 3.11 finding a member of one takes ten times as long, and every record is compared to several.
    """

    PLAIN: Final = 0
    ZSTD: Final = 1
    DELTA: Final = 2
    """In a flow's order: the TCP header as a difference to that of the packet before."""
    STREAM: Final = 3
    """The same with the payload as the next piece of the flow's stream of history."""
    STREAM_START: Final = 5
    """The same with the first piece of a new one."""
    GROUP: Final = 7
    """Several packets of which each would be a STREAM: ghost.compression.groups."""
    ALONE: Final = 4
    """The header in its short form, of UDP or an echo."""
    ALONE_ZSTD: Final = 6
    """The same with the payload compressed by itself."""
    REFERENCE: Final = 8
    """In prompts only, as all that follow: the header as a difference to a reference."""
    PLAIN_DEFINE: Final = 9
    ALONE_DEFINE: Final = 10
    REFERENCE_DEFINE: Final = 11
    REFERENCE_ZSTD: Final = 12


class Record(NamedTuple):
    """One record. `flow` is UNORDERED, and `sequence` 0, where no order is asked for."""

    encoding: int
    is_first: bool
    is_last: bool
    flow: int
    sequence: int
    body: bytes


def encode(record: Record, *, is_sized: bool) -> bytes:
    """The record's bytes; only the last of a symbol may go without its size."""
    encoding, is_first, is_last, flow, sequence, body = record
    head = encoding | is_first * _FIRST | is_last * _LAST | is_sized * _SIZED
    if flow == UNORDERED:
        prefix = bytes([head])
    elif flow < 0x80:
        prefix = ((head | _ORDERED) << 24 | flow << 16 | sequence & 0xFFFF).to_bytes(4, "big")
    else:
        prefix = ((head | _ORDERED) << 32 | (flow | 0x8000) << 16 | sequence & 0xFFFF).to_bytes(5, "big")
    if is_sized:
        prefix += len(body).to_bytes(2, "big")
    return prefix + body


def ordered_head(encoding: int, flow: int) -> bytes:
    """What stands before the sequence of a record that is a whole packet, in its flow's order, to the end."""
    head = encoding | WHOLE | _ORDERED
    return bytes((head, flow)) if flow < 0x80 else bytes((head, flow >> 8 | 0x80, flow & 0xFF))


def decode(data: bytes) -> list[Record]:
    """All records of a symbol or prompt; PeerError("malformed") when they do not fill it exactly."""
    records: list[Record] = []
    at, end = 0, len(data)
    try:
        while at < end:
            head = data[at]
            at += 1
            flow, sequence = UNORDERED, 0
            if head & _ORDERED:
                flow = data[at]
                if flow >= 0x80:
                    at += 1
                    flow = (flow & 0x7F) << 8 | data[at]
                sequence = data[at + 1] << 8 | data[at + 2]
                at += 3
            stop = end
            if head & _SIZED:
                stop = at + 2 + (data[at] << 8 | data[at + 1])
                at += 2
            if stop > end:
                raise PeerError("malformed")
            if len(records) == MAX_RECORDS:
                raise PeerError("malformed")
            fields = head & ENCODING_MASK, head & _FIRST != 0, head & _LAST != 0, flow, sequence, data[at:stop]
            records.append(tuple.__new__(Record, fields))  # half of what the constructor takes
            at = stop
    except IndexError:
        raise PeerError("malformed") from None
    return records

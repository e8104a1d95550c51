"""Several packets of a flow in one piece of its stream: what each piece costs by itself is paid once.

    body  = count, and bit 7 where a stream begins: 1 | heads | [kind: 1] | slack: 1 | piece | slack zeros
    head  = delta's size, and bit 5 where the payload is as long as the one before: 1 | [size of payload: 2] | delta

The piece holds the payloads of all, one after the other. Of text in packets of 1344 bytes four to a piece take 7 to
10 % less than each by itself, and a head takes 2 bytes where a record's takes 7 to 9.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ghost.errors import PeerError

MOST: Final = 32
"""Packets in a group."""
LONGEST_DELTA: Final = 0x1F
_HAS_SAME_SIZE: Final = 0x20
_HEAD_UNKNOWN: Final = 0xC0
_BEGINS: Final = 0x80


class Group(NamedTuple):
    """`members` are (delta, size of the payload) of each packet; `piece` as ghost.compression.streams has it."""

    members: list[tuple[bytes, int]]
    piece: bytes
    is_new: bool


def encode(members: list[tuple[bytes, int]], piece: bytes, *, is_new: bool) -> bytes:
    """2 to MOST members with deltas of 1 to LONGEST_DELTA bytes and payloads of 1 to 65535."""
    parts = [bytes((len(members) | is_new * _BEGINS,))]
    before = 0
    for delta, size in members:
        if size == before:
            parts.append(bytes((len(delta) | _HAS_SAME_SIZE,)))
        else:
            parts.append(bytes((len(delta), size >> 8, size & 0xFF)))
        parts.append(delta)
        before = size
    return b"".join((*parts, piece))


def decode(body: bytes) -> Group:
    """PeerError("malformed") for what `encode` cannot have made."""
    members: list[tuple[bytes, int]] = []
    size = 0
    try:
        count, at = body[0] & ~_BEGINS, 1
        if not 2 <= count <= MOST:
            raise PeerError("malformed")
        for _ in range(count):
            head = body[at]
            at += 1
            if not head & _HAS_SAME_SIZE:
                size = body[at] << 8 | body[at + 1]
                at += 2
            end = at + (head & LONGEST_DELTA)
            if head & _HEAD_UNKNOWN or end == at or end >= len(body) or not size:
                raise PeerError("malformed")
            members.append((body[at:end], size))
            at = end
    except IndexError:
        raise PeerError("malformed") from None
    return Group(members, body[at:], bool(body[0] & _BEGINS))

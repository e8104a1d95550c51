"""The TCP segments of one simulated connection: real IPv4 bytes with valid checksums, SACK blocks as a real option.

The tunnel classifies, compresses and repairs what it finds in these bytes, so nothing about a segment travels beside
them. Sequence numbers start at 0 and do not wrap: a connection carries less than 4 GB.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from typing import Final, NamedTuple

from ghost.compression.checksum import complement, remainder
from ghost.wire.inner import TCP

SYN, ACK = 2, 16
MAX_SACKS: Final = 4  # blocks that fit into 40 bytes of options without timestamps (RFC 2018)
WINDOW: Final = 0xFFFF  # in the header; the model's receive window is a constant of the source
_SACK_HEAD: Final = b"\x01\x01\x05"  # two no-operations for alignment, then kind 5
_SACKS_AT: Final = 20 + 20 + len(_SACK_HEAD) + 1  # IPv4, TCP, the option's kind and length
_BLOCK: Final = struct.Struct(">II")
_HEAD: Final = struct.Struct(">IIIHHHH")  # ports, sequence, acknowledgement, offset and flags, window, checksum, urgent
_READ: Final = struct.Struct(">IIBB")

Socket = tuple[IPv4Address, int]
Range = tuple[int, int]


class Segment(NamedTuple):
    """What one end reads of a packet of the other; `size` is the payload's, `sacks` are [start, end) sequences."""

    sequence: int
    acknowledgement: int
    flags: int
    size: int
    sacks: tuple[Range, ...]


class Codec:
    """Makes packets from `here` to `there` and reads those that come the other way."""

    __slots__ = ("_ports", "_expected_ports", "_ip_heads", "_ip_fields", "_constant_sum")

    def __init__(self, here: Socket, there: Socket) -> None:
        self._ports = here[1] << 16 | there[1]
        self._expected_ports = struct.pack(">HH", there[1], here[1])
        self._ip_fields = (here[0].packed, there[0].packed)
        self._ip_heads: dict[int, bytes] = {}
        # Of what is the same in all packets of this direction: the pseudo-header, the ports and the window.
        self._constant_sum = sum(int.from_bytes(field, "big") for field in self._ip_fields) + TCP + self._ports + WINDOW

    def encode(
        self,
        *,
        sequence: int,
        acknowledgement: int,
        flags: int,
        payload: bytes = b"",
        sacks: tuple[Range, ...] = (),
    ) -> bytes:
        options = b""
        size = 20 + len(payload)
        layout = 20 << 10 | flags
        total = self._constant_sum + sequence + acknowledgement
        if sacks:
            blocks = b"".join(_BLOCK.pack(*block) for block in sacks)
            options = _SACK_HEAD + bytes((2 + len(blocks),)) + blocks
            size += len(options)
            layout += len(options) << 10
            total += int.from_bytes(options, "big")
        total += size + layout
        if payload:
            total += remainder(payload)
        head = _HEAD.pack(self._ports, sequence, acknowledgement, layout, WINDOW, complement(total), 0)
        ip_head = self._ip_heads.get(20 + size) or self._ip_head(20 + size)
        return b"".join((ip_head, head, options, payload))

    def decode(self, packet: bytes) -> Segment | None:
        """None for a packet that is not of this connection and direction."""
        if packet[20:24] != self._expected_ports or packet[9] != TCP:
            return None
        sequence, acknowledgement, offset, flags = _READ.unpack_from(packet, 24)
        data_at = 20 + (offset >> 4) * 4
        sacks = tuple(_BLOCK.iter_unpack(packet[_SACKS_AT:data_at])) if data_at > _SACKS_AT else ()
        fields = sequence, acknowledgement, flags, len(packet) - data_at, sacks
        return tuple.__new__(Segment, fields)  # half of what the constructor takes

    def _ip_head(self, size: int) -> bytes:
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0x4000, 64, TCP, 0, *self._ip_fields)
        check = complement(int.from_bytes(head, "big"))
        head = self._ip_heads[size] = head[:10] + check.to_bytes(2, "big") + head[12:]
        return head

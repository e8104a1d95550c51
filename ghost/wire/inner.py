"""The headers of inner packets, as far as scheduling needs them.

Nothing here trusts the packet: whatever does not parse is `None` and never enters the tunnel.
"""

from __future__ import annotations

from typing import NamedTuple

TCP = 6
UDP = 17
_DNS_PORTS = (b"\0\x35", b"\x14\xe9")  # 53, and 5353 of mDNS

_BACKGROUND = frozenset((1 << 2, 8 << 2))
"""LE and CS1 (RFC 8622, RFC 3662), as they stand in the type of service: no more than what others leave."""

_CONGESTED = 0x03
"""Both bits of the type of service that speak of congestion; either alone is a sender that understands them."""

_TCP_PLAIN_ACK_MASK = 0x17  # FIN, SYN, RST and ACK: a pure acknowledgement has only the last
_TCP_ACK = 0x10
_MORE_FRAGMENTS_OR_OFFSET = 0x3FFF


class Inner(NamedTuple):
    """`key` names the flow: protocol, addresses and ports of one direction (ports left out where not visible)."""

    key: bytes
    protocol: int
    is_pure_ack: bool


def parse(packet: bytes) -> Inner | None:
    """The flow of an IPv4 packet (RFC 791, RFC 9293); None when it is not a whole IPv4 packet."""
    size = len(packet)
    if size < 20 or packet[0] >> 4 != 4:
        return None
    header_size = (packet[0] & 0x0F) * 4
    if header_size < 20 or packet[2] << 8 | packet[3] != size or header_size > size:
        return None
    protocol = packet[9]
    key = packet[9:10] + packet[12:20]
    is_fragment = (packet[6] << 8 | packet[7]) & _MORE_FRAGMENTS_OR_OFFSET
    if is_fragment or protocol not in (TCP, UDP) or size < header_size + 8:
        return Inner(key, protocol, False)
    key += packet[header_size : header_size + 4]
    if protocol != TCP or size < header_size + 20:
        return Inner(key, protocol, False)
    flags = packet[header_size + 13]
    data_at = header_size + (packet[header_size + 12] >> 4) * 4
    is_pure_ack = data_at == size and flags & _TCP_PLAIN_ACK_MASK == _TCP_ACK
    return tuple.__new__(Inner, (key, protocol, is_pure_ack))  # half of what the constructor takes


def reverse(key: bytes) -> bytes:
    """The key of the flow's other direction."""
    return key[:1] + key[5:9] + key[1:5] + key[11:13] + key[9:11]


def is_background(packet: bytes) -> bool:
    """Whether its sender asks for less than others get."""
    return packet[1] & 0xFC in _BACKGROUND


def mark_congestion(packet: bytes) -> bytes | None:
    """The packet with the mark of congestion (RFC 3168 section 5), None where its sender does not understand one."""
    service = packet[1]
    if not service & _CONGESTED:
        return None
    marked = bytearray(packet)
    marked[1] = service | _CONGESTED
    total = (packet[10] << 8 | packet[11]) - ((service | _CONGESTED) - service)  # RFC 1624, in one's complement
    marked[10:12] = (total if total >= 0 else total + 0xFFFF).to_bytes(2, "big")
    return bytes(marked)


def is_dns(key: bytes) -> bool:
    """Whether a flow of that key asks or answers names over UDP."""
    return key[0] == UDP and (key[9:11] in _DNS_PORTS or key[11:13] in _DNS_PORTS)


def tcp_sequence(packet: bytes) -> int:
    """Where in its stream a TCP segment begins (RFC 9293 section 3.4), modulo 2**32; the packet was parsed before."""
    start = (packet[0] & 0x0F) * 4 + 4
    return int.from_bytes(packet[start : start + 4], "big")


def tcp_acknowledgement(packet: bytes) -> int:
    """What a TCP segment acknowledges, modulo 2**32; as above."""
    start = (packet[0] & 0x0F) * 4 + 8
    return int.from_bytes(packet[start : start + 4], "big")


def is_behind(sequence: int, other: int) -> bool:
    """Whether `sequence` comes before `other`, modulo 2**32."""
    return (sequence - other) & 0x80000000 != 0

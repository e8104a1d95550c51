"""Inner packets as a kernel would make them: IPv4 with UDP, TCP or an ICMP echo, checksums included."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from typing import Final

from ghost.wire.inner import TCP, UDP

ICMP: Final = 1
FIN, SYN, RST, PUSH, ACK = 1, 2, 4, 8, 16


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data[: len(data) & ~1]))
    if len(data) & 1:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def is_intact(packet: bytes) -> bool:
    """Whether the receiving kernel hands on what is in this packet: the checksum behind the IPv4 header is right."""
    protocol, body = packet[9], packet[20:]
    if protocol == ICMP:
        return not checksum(body)
    return protocol != TCP or not checksum(packet[12:20] + struct.pack(">HH", TCP, len(body)) + body)


def ipv4(protocol: int, source: IPv4Address, destination: IPv4Address, payload: bytes) -> bytes:
    head = struct.pack(
        ">BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(payload),
        0,
        0x4000,
        64,
        protocol,
        0,
        source.packed,
        destination.packed,
    )
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def udp(source: tuple[IPv4Address, int], destination: tuple[IPv4Address, int], payload: bytes) -> bytes:
    size = 8 + len(payload)
    head = struct.pack(">HHHH", source[1], destination[1], size, 0)
    pseudo = source[0].packed + destination[0].packed + struct.pack(">HH", UDP, size)
    total = checksum(pseudo + head + payload) or 0xFFFF
    return ipv4(UDP, source[0], destination[0], head[:6] + total.to_bytes(2, "big") + payload)


def tcp(
    source: tuple[IPv4Address, int],
    destination: tuple[IPv4Address, int],
    *,
    sequence: int,
    acknowledgement: int,
    flags: int,
    payload: bytes = b"",
) -> bytes:
    """Window 65535, no options."""
    head = struct.pack(
        ">HHIIBBHHH",
        source[1],
        destination[1],
        sequence & 0xFFFFFFFF,
        acknowledgement & 0xFFFFFFFF,
        5 << 4,
        flags,
        0xFFFF,
        0,
        0,
    )
    pseudo = source[0].packed + destination[0].packed + struct.pack(">HH", TCP, len(head) + len(payload))
    total = checksum(pseudo + head + payload)
    return ipv4(TCP, source[0], destination[0], head[:16] + total.to_bytes(2, "big") + head[18:] + payload)


def echo(source: IPv4Address, destination: IPv4Address, *, sequence: int, is_reply: bool, payload: bytes) -> bytes:
    """ICMP echo (RFC 792)."""
    head = struct.pack(">BBHHH", 0 if is_reply else 8, 0, 0, 1, sequence & 0xFFFF)
    total = checksum(head + payload)
    return ipv4(ICMP, source, destination, head[:2] + total.to_bytes(2, "big") + head[4:] + payload)

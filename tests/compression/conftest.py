"""Inner packets with every option and fault that a header can have."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from ghost.compression.checksum import complement, remainder

ADDRESSES = bytes((10, 77, 0, 2, 192, 0, 2, 7))
PORTS = b"\x9c\x40\x01\xbb"
STAMP_OPTION = 0x0101080A


def ipv4(
    protocol: int, content: bytes, *, service: int = 0, ident: int = 0, fragment: int = 0x4000, ttl: int = 64
) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, service, 20 + len(content), ident, fragment, ttl, protocol, 0) + ADDRESSES
    return head[:10] + complement(remainder(head)).to_bytes(2, "big") + head[12:] + content


def tcp(
    payload: bytes = b"",
    *,
    sequence: int = 0,
    ack: int = 0,
    flags: int = 0x10,
    window: int = 501,
    urgent: int = 0,
    stamps: tuple[int, int] | None = None,
    sacks: tuple[tuple[int, int], ...] = (),
    options: bytes = b"",
    ports: bytes = PORTS,
    **ip: int,
) -> bytes:
    if stamps is not None:
        options += struct.pack(">III", STAMP_OPTION, *stamps)
    if sacks:
        options += bytes((1, 1, 5, 2 + 8 * len(sacks))) + b"".join(struct.pack(">II", *block) for block in sacks)
    head = struct.pack(">IIHHHH", sequence, ack, (20 + len(options)) << 10 | flags, window, 0, urgent) + options
    pseudo = ADDRESSES + struct.pack(">HH", 6, 4 + len(head) + len(payload))
    check = complement(remainder(pseudo) + remainder(ports + head) + remainder(payload))
    return ipv4(6, ports + head[:12] + check.to_bytes(2, "big") + head[14:] + payload, **ip)


def udp(payload: bytes = b"", *, ports: bytes = PORTS, is_checked: bool = True, **ip: int) -> bytes:
    size = 8 + len(payload)
    pseudo = ADDRESSES + struct.pack(">HH", 17, size)
    check = complement(remainder(pseudo) + remainder(ports) + size + remainder(payload)) or 0xFFFF
    return ipv4(17, ports + struct.pack(">HH", size, check if is_checked else 0) + payload, **ip)


def echo(payload: bytes = b"", *, kind: int = 8, ident_pair: tuple[int, int] = (1, 1), **ip: int) -> bytes:
    rest = struct.pack(">HH", *ident_pair) + payload
    total = (kind << 8) + remainder(rest)
    check = complement(total) if total else 0xFFFF
    return ipv4(1, bytes((kind, 0)) + check.to_bytes(2, "big") + rest, **ip)


@pytest.fixture(scope="session")
def make_tcp() -> Callable[..., bytes]:
    """make_tcp(payload, sequence=..., ack=..., flags=..., stamps=..., sacks=..., ...) -> a packet with right sums."""
    return tcp


@pytest.fixture(scope="session")
def make_udp() -> Callable[..., bytes]:
    return udp


@pytest.fixture(scope="session")
def make_echo() -> Callable[..., bytes]:
    return echo

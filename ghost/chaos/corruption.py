"""A bit that flips on the way and that no checksum below us notices, and the checksums that hide it.

Links flip bits that their own frame check misses, and middleboxes rewrite checksums over damaged packets, so
a tunnel must expect datagrams that are wrong and yet arrive. Inside a whole IP packet the kernel would drop
the damage before anyone sees it; UDP's checksum is therefore made to match. TCP's is left wrong: there the
receiver's check is the point.
"""

from __future__ import annotations

TCP, UDP = 6, 17
IPV6_HEADER = 40
UDP_HEADER = 8
UDP_CHECKSUM = 6
"""Offset of the checksum inside the UDP header (RFC 768)."""


def flip_payload(payload: bytes, fraction: float) -> bytes:
    """`payload` with one bit flipped, the one at `fraction` (0 <= fraction < 1) of its length; empty stays
    empty."""
    return _flip(bytearray(payload), 0, fraction)


def flip_packet(packet: bytes, fraction: float) -> bytes:
    """A whole IPv4 or IPv6 packet with one bit beyond its IP (and UDP) header flipped, UDP's checksum
    matching.

    A packet with nothing there comes back unchanged.
    """
    data = bytearray(packet)
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        header, protocol = (data[0] & 0x0F) * 4, data[9]
    elif version == 6 and len(data) >= IPV6_HEADER:
        header, protocol = IPV6_HEADER, data[6]
    else:
        return packet
    if protocol != UDP:
        return _flip(data, header, fraction)
    flipped = _flip(data, header + UDP_HEADER, fraction)
    if flipped == packet:
        return packet
    return _with_checksum(flipped, packet, header + UDP_CHECKSUM)


def _flip(data: bytearray, start: int, fraction: float) -> bytes:
    bits = (len(data) - start) * 8
    if bits > 0:
        position = int(fraction * bits)
        data[start + position // 8] ^= 1 << position % 8
    return bytes(data)


def replace_word(packet: bytes, at: int, word: bytes, *, checksum_at: int) -> bytes:
    """`packet` with the two bytes at `at` replaced and the 16-bit checksum at `checksum_at` carried over."""
    changed = packet[:at] + word + packet[at + 2 :]
    return changed if changed == packet else _with_checksum(changed, packet, checksum_at)


def _with_checksum(damaged: bytes, original: bytes, offset: int) -> bytes:
    """`damaged` with the 16-bit checksum at `offset` carried over from `original` (RFC 1624, equation 3).

    Zero means "none" in UDP over IPv4 and stays.
    """
    old = int.from_bytes(original[offset : offset + 2], "big")
    if old == 0:
        return damaged
    at = next(i for i, (a, b) in enumerate(zip(damaged, original, strict=True)) if a != b)
    word = at - (at - offset) % 2  # words are aligned with the UDP header
    before, after = (int.from_bytes(data[word : word + 2].ljust(2, b"\0"), "big") for data in (original, damaged))
    total = (old ^ 0xFFFF) + (before ^ 0xFFFF) + after
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    new = (total ^ 0xFFFF) or 0xFFFF
    return damaged[:offset] + new.to_bytes(2, "big") + damaged[offset + 2 :]

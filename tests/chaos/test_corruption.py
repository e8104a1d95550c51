"""Flipped bits: exactly one, beyond the headers, and with a checksum that lets a kernel deliver the damage."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.chaos.corruption import flip_packet, flip_payload

A, B = ipaddress.ip_address("198.18.0.1"), ipaddress.ip_address("198.18.0.2")
A6, B6 = ipaddress.ip_address("fd00::1"), ipaddress.ip_address("fd00::2")


def ones_sum(data: bytes) -> int:
    """The ones' complement sum of RFC 1071."""
    total = sum(int.from_bytes(data[i : i + 2].ljust(2, b"\0"), "big") for i in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo_header(udp: bytes, version: int) -> bytes:
    if version == 4:
        return A.packed + B.packed + bytes([0, 17]) + len(udp).to_bytes(2, "big")
    return A6.packed + B6.packed + len(udp).to_bytes(4, "big") + bytes([0, 0, 0, 17])


def udp_packet(payload: bytes, version: int) -> bytes:
    header = bytes.fromhex("1f401f40") + (8 + len(payload)).to_bytes(2, "big")
    bare = header + b"\0\0" + payload
    checksum = (ones_sum(pseudo_header(bare, version) + bare) ^ 0xFFFF) or 0xFFFF
    udp = header + checksum.to_bytes(2, "big") + payload
    if version == 4:
        return bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0]) + A.packed + B.packed + udp
    return bytes([0x60, 0, 0, 0]) + len(udp).to_bytes(2, "big") + bytes([17, 64]) + A6.packed + B6.packed + udp


def flipped_bits(before: bytes, after: bytes) -> int:
    assert len(before) == len(after)
    return (int.from_bytes(before, "big") ^ int.from_bytes(after, "big")).bit_count()


@given(st.binary(min_size=1, max_size=100), st.floats(0, 1, exclude_max=True))
def test_payload_differs_by_one_bit(payload: bytes, fraction: float) -> None:
    assert flipped_bits(payload, flip_payload(payload, fraction)) == 1


@given(st.binary(min_size=1, max_size=100), st.floats(0, 1, exclude_max=True), st.sampled_from([4, 6]))
def test_udp_payload_is_damaged_and_its_checksum_matches(payload: bytes, fraction: float, version: int) -> None:
    packet = udp_packet(payload, version)
    damaged = flip_packet(packet, fraction)
    header = 20 if version == 4 else 40
    assert damaged[: header + 6] == packet[: header + 6]
    assert flipped_bits(packet[header + 8 :], damaged[header + 8 :]) == 1
    assert ones_sum(pseudo_header(damaged[header:], version) + damaged[header:]) == 0xFFFF


def test_udp_without_a_checksum_stays_without() -> None:
    packet = bytearray(udp_packet(b"payload", 4))
    packet[26:28] = b"\0\0"
    assert flip_packet(bytes(packet), 0.5)[26:28] == b"\0\0"


def test_tcp_checksum_is_left_to_catch_the_damage() -> None:
    packet = bytearray(udp_packet(b"x" * 30, 4))
    packet[9] = 6
    assert flipped_bits(bytes(packet), flip_packet(bytes(packet), 0.9)) == 1


@pytest.mark.parametrize("packet", [b"", b"\x45", b"not an IP packet at all", udp_packet(b"", 4)])
def test_nothing_beyond_the_headers_is_left_alone(packet: bytes) -> None:
    assert flip_packet(packet, 0.5) == packet

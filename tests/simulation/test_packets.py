"""Simulated inner packets are what a kernel would send: the tunnel parses them and their checksums add up."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.simulation import packets
from ghost.wire import inner

HERE, THERE = IPv4Address("10.77.0.2"), IPv4Address("10.77.0.1")
payloads = st.binary(max_size=200)


def assert_sound(packet: bytes, protocol: int) -> None:
    """RFC 1071: the checksum over data that holds its own checksum is zero."""
    assert packets.checksum(packet[:20]) == 0
    body = packet[20:]
    pseudo = packet[12:20] + bytes([0, protocol]) + len(body).to_bytes(2, "big")
    assert packets.checksum(body if protocol == packets.ICMP else pseudo + body) == 0
    assert inner.parse(packet) is not None
    assert packet[12:20] == HERE.packed + THERE.packed


def test_the_checksum_of_rfc_1071_section_3() -> None:
    assert packets.checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 1500, b"odd"])
def test_a_checksum_is_sixteen_bits_of_anything(data: bytes) -> None:
    assert 0 <= packets.checksum(data) <= 0xFFFF


@given(payloads)
def test_udp(payload: bytes) -> None:
    packet = packets.udp((HERE, 5000), (THERE, 53), payload)
    assert_sound(packet, inner.UDP)
    assert packet[28:] == payload


@given(payloads, st.integers(0, 1 << 40))
def test_tcp(payload: bytes, sequence: int) -> None:
    packet = packets.tcp(
        (HERE, 5000), (THERE, 80), sequence=sequence, acknowledgement=1, flags=packets.ACK, payload=payload
    )
    assert_sound(packet, inner.TCP)
    assert packet[40:] == payload
    parsed = inner.parse(packet)
    assert parsed is not None
    assert parsed.is_pure_ack is (payload == b"")


@given(payloads, st.booleans())
def test_echo(payload: bytes, is_reply: bool) -> None:
    packet = packets.echo(HERE, THERE, sequence=70_000, is_reply=is_reply, payload=payload)
    assert_sound(packet, packets.ICMP)
    assert packet[20] == (0 if is_reply else 8)


@pytest.mark.parametrize("at", [20, 21, 27, 30, -1])
def test_a_kernel_hands_on_no_segment_and_no_echo_with_a_flipped_bit(at: int) -> None:
    segment = packets.tcp((HERE, 1), (THERE, 2), sequence=5, acknowledgement=6, flags=packets.ACK, payload=b"odd")
    echo = packets.echo(HERE, THERE, sequence=9, is_reply=True, payload=b"payload")
    for packet in (segment, echo):
        assert packets.is_intact(packet)
        damaged = bytearray(packet)
        damaged[at] ^= 0x10
        assert not packets.is_intact(bytes(damaged))

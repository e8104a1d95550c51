"""A SYN offers what fits, its checksum holds, and nothing else is touched."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from ghost.simulation import packets
from ghost.simulation.segments import ACK
from ghost.wire.clamp import clamp_mss

HERE, THERE = IPv4Address("10.77.0.2"), IPv4Address("192.0.2.7")
MTU = 1384
SYN = 0x02
MSS = b"\x02\x04\x05\xb4"  # 1460


def segment(options: bytes, *, flags: int = SYN, payload: bytes = b"") -> bytes:
    plain = packets.tcp((HERE, 40_000), (THERE, 443), sequence=7, acknowledgement=0, flags=flags)
    head = plain[20:32] + bytes([(20 + len(options)) // 4 << 4]) + plain[33:36] + b"\0\0" + plain[38:40]
    body = head + options + payload
    return packets.ipv4(6, HERE, THERE, body[:16] + total(body).to_bytes(2, "big") + body[18:])


def total(body: bytes) -> int:
    return packets.checksum(HERE.packed + THERE.packed + bytes([0, 6]) + len(body).to_bytes(2, "big") + body)


@pytest.mark.parametrize("options", [MSS, b"\x01\x01" + MSS + b"\x01\x00", b"\x01" + MSS + b"\x01\x01\x00"])
def test_a_syn_offers_what_fits_and_its_sum_is_right(options: bytes) -> None:
    clamped = clamp_mss(segment(options), MTU)
    at = clamped.index(b"\x02\x04", 40)
    assert int.from_bytes(clamped[at + 2 : at + 4], "big") == MTU - 40
    assert total(clamped[20:]) == 0
    assert clamped == segment(options.replace(MSS, b"\x02\x04" + (MTU - 40).to_bytes(2, "big")))


@pytest.mark.parametrize(
    "packet",
    [
        segment(b"\x02\x04\x02\x18"),
        segment(b""),
        segment(MSS, flags=ACK),
        segment(b"\x02\x00\x05\xb4"),
        segment(b"\x00\x00" + MSS + b"\x00\x00"),
        segment(b"\x01\x01\x01\x02"),
    ],
    ids=["small", "none", "no SYN", "broken", "behind the end", "cut off"],
)
def test_anything_else_stays_as_it_is(packet: bytes) -> None:
    assert clamp_mss(packet, MTU) == packet

"""What scheduling sees of an inner packet, and that nothing but a whole IPv4 packet gets in."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.compression.checksum import complement, remainder
from ghost.simulation import packets
from ghost.wire import inner

HERE, THERE = IPv4Address("10.77.0.2"), IPv4Address("192.0.2.7")
ADDRESSES = HERE.packed + THERE.packed


def tcp(flags: int, payload: bytes = b"") -> bytes:
    return packets.tcp((HERE, 40000), (THERE, 443), sequence=1, acknowledgement=2, flags=flags, payload=payload)


def with_fragment_field(packet: bytes, field: int) -> bytes:
    return packet[:6] + field.to_bytes(2, "big") + packet[8:]


def test_a_tcp_flow_is_its_addresses_and_ports() -> None:
    parsed = inner.parse(tcp(packets.ACK, b"GET /"))
    assert parsed == inner.Inner(b"\x06" + ADDRESSES + b"\x9c\x40\x01\xbb", inner.TCP, False)


def test_a_udp_flow_is_its_addresses_and_ports() -> None:
    parsed = inner.parse(packets.udp((HERE, 5353), (THERE, 53), b"query"))
    assert parsed == inner.Inner(b"\x11" + ADDRESSES + b"\x14\xe9\x00\x35", inner.UDP, False)


def test_an_echo_flow_has_no_ports() -> None:
    parsed = inner.parse(packets.echo(HERE, THERE, sequence=1, is_reply=False, payload=b"x" * 56))
    assert parsed == inner.Inner(b"\x01" + ADDRESSES, packets.ICMP, False)


@pytest.mark.parametrize(
    ("flags", "payload", "is_pure"),
    [
        (packets.ACK, b"", True),
        (packets.ACK | packets.PUSH, b"", True),
        (packets.ACK, b"data", False),
        (packets.ACK | packets.SYN, b"", False),
        (packets.ACK | packets.FIN, b"", False),
        (packets.RST, b"", False),
        (packets.SYN, b"", False),
    ],
)
def test_only_an_acknowledgement_and_nothing_else_is_pure(flags: int, payload: bytes, is_pure: bool) -> None:
    parsed = inner.parse(tcp(flags, payload))
    assert parsed is not None
    assert parsed.is_pure_ack is is_pure


@pytest.mark.parametrize("field", [0x2000, 0x0001, 0x2005])
def test_fragments_share_a_flow_without_ports(field: int) -> None:
    parsed = inner.parse(with_fragment_field(tcp(packets.ACK), field))
    assert parsed == inner.Inner(b"\x06" + ADDRESSES, inner.TCP, False)


def test_do_not_fragment_is_no_fragment() -> None:
    assert inner.parse(with_fragment_field(tcp(packets.ACK), 0x4000)) == inner.parse(tcp(packets.ACK))


def test_ip_options_move_the_ports() -> None:
    plain = packets.udp((HERE, 1), (THERE, 2), b"payload")
    longer = b"\x46\x00" + (len(plain) + 4).to_bytes(2, "big") + plain[4:20] + b"\x01\x01\x01\x00" + plain[20:]
    assert inner.parse(longer) == inner.parse(plain)


def test_a_header_cut_off_by_its_own_length_has_no_ports() -> None:
    short = packets.ipv4(inner.TCP, HERE, THERE, b"\x00\x01\x02")
    assert inner.parse(short) == inner.Inner(b"\x06" + ADDRESSES, inner.TCP, False)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        bytes(20),
        b"\x60" + bytes(39),
        tcp(packets.ACK)[:-1],
        tcp(packets.ACK) + b"\x00",
        b"\x44" + tcp(packets.ACK)[1:],
        b"\x4f" + packets.udp((HERE, 1), (THERE, 2), b"")[1:],
    ],
    ids=[
        "empty",
        "one byte",
        "version 0",
        "IPv6",
        "truncated",
        "trailing byte",
        "short header",
        "header too long",
    ],
)
def test_what_is_not_a_whole_ipv4_packet_stays_out(packet: bytes) -> None:
    assert inner.parse(packet) is None


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_parse_or_stay_out(data: bytes, is_dressed_up: bool) -> None:
    if is_dressed_up and len(data) >= 4:
        data = bytes([0x40 | data[0] & 0x0F, data[1]]) + len(data).to_bytes(2, "big") + data[4:]
    parsed = inner.parse(data)
    if parsed is not None:
        assert parsed.key[:9] == data[9:10] + data[12:20]


@given(ident=st.integers(0, 0xFFFF), service=st.integers(0, 0xFF))
def test_a_mark_is_set_where_it_is_understood_and_the_checksum_stays_right(ident: int, service: int) -> None:
    packet = bytearray(packets.udp((HERE, 1), (THERE, 2), b"x"))
    packet[1], packet[4:6] = service, ident.to_bytes(2, "big")
    packet[10:12] = b"\0\0"
    packet[10:12] = complement(remainder(packet[:20])).to_bytes(2, "big")
    marked = inner.mark_congestion(bytes(packet))
    if not service & 0x03:
        assert marked is None
        return
    expected = bytearray(packet)
    expected[1] |= 0x03
    expected[10:12] = b"\0\0"
    expected[10:12] = complement(remainder(expected[:20])).to_bytes(2, "big")
    assert marked == bytes(expected)

"""UDP and echo headers come back as they were, alone and against an earlier one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.compression import exchange
from ghost.errors import PeerError

Make = Callable[..., bytes]

ip_fields = st.fixed_dictionaries(
    {"ident": st.integers(0, 300) | st.integers(0, 0xFFFF)},
    optional={
        "service": st.integers(0, 3),
        "ttl": st.sampled_from([64, 1, 255]),
        "fragment": st.sampled_from([0, 0x4000, 0x2000, 0x8000, 7]),
    },
)
payloads = st.binary(max_size=50) | st.just(bytes(1200))


@st.composite
def packets(draw: st.DrawFn, udp: Make, echo: Make) -> bytes:
    fields, payload = draw(ip_fields), draw(payloads)
    if draw(st.booleans()):
        ports = draw(st.sampled_from([bytes(4), b"\x00\x35\x14\xe9"]))
        return udp(payload, ports=ports, is_checked=draw(st.booleans()), **fields)
    pair = (draw(st.integers(0, 1)), draw(st.integers(0, 300) | st.integers(0, 0xFFFF)))
    return echo(payload, kind=draw(st.sampled_from([0, 8, 3])), ident_pair=pair, **fields)


def assert_comes_back(packet: bytes, earlier: bytes, *, steps: int) -> None:
    parsed, former = exchange.parse(packet), exchange.parse(earlier)
    if parsed is None:
        return
    header, payload = parsed
    alone = exchange.encode(header)
    decoded, at = exchange.decode(alone + payload)
    assert (decoded, at) == (header, len(alone))
    assert exchange.build(decoded, payload) == packet
    delta = exchange.difference(former[0], header, steps=steps) if former else None
    if former is not None and delta is not None:
        assert exchange.apply(former[0], delta + payload, steps=steps) == (header, len(delta))


@given(st.data(), st.integers(0, 70_000))
def test_any_header_comes_back(make_udp: Make, make_echo: Make, data: st.DataObject, steps: int) -> None:
    one, other = (data.draw(packets(make_udp, make_echo)) for _ in range(2))
    assert_comes_back(one, other, steps=steps)


@given(st.data(), st.integers(0, 50), st.integers(1, 255))
def test_a_damaged_packet_comes_back_damaged(
    make_udp: Make, make_echo: Make, data: st.DataObject, at: int, change: int
) -> None:
    damaged = bytearray(data.draw(packets(make_udp, make_echo)))
    damaged[at % len(damaged)] ^= change
    assert_comes_back(bytes(damaged), bytes(damaged), steps=1)


@given(st.binary(max_size=40))
def test_any_bytes_decode_or_are_a_peers_fault(make_echo: Make, data: bytes) -> None:
    with contextlib.suppress(PeerError):
        header, at = exchange.decode(data)
        assert exchange.parse(exchange.build(header, data[at:])) == (header, data[at:])
    parsed = exchange.parse(make_echo(b"x"))
    assert parsed is not None
    with contextlib.suppress(PeerError):
        header, at = exchange.apply(parsed[0], data, steps=1)
        assert exchange.parse(exchange.build(header, data[at:])) == (header, data[at:])


@pytest.mark.parametrize(
    ("kind", "fields", "alone", "later"),
    [
        ("udp", {}, 13, 1),
        ("udp", {"ident": 7}, 15, 1),
        ("udp", {"ttl": 128, "service": 0xB8, "fragment": 0, "is_checked": False}, 15, 1),
        ("echo", {"ident": 7}, 15, 2),
    ],
)
def test_28_bytes_become(
    make_udp: Make, make_echo: Make, kind: str, fields: dict[str, Any], alone: int, later: int
) -> None:
    make = {"udp": make_udp, "echo": make_echo}[kind]
    first = exchange.parse(make(b"x", **fields))
    if "ident" in fields:
        fields["ident"] += 1
    if kind == "echo":
        fields["ident_pair"] = (1, 2)
    second = exchange.parse(make(b"x", **fields))
    assert first is not None
    assert second is not None
    assert len(exchange.encode(first[0])) == alone
    delta = exchange.difference(first[0], second[0], steps=1)
    assert delta is not None
    assert len(delta) == later


def test_an_echo_of_nothing_but_zeros_keeps_its_checksum(make_echo: Make) -> None:
    packet = make_echo(bytes(8), kind=0, ident_pair=(0, 0))
    parsed = exchange.parse(packet)
    assert parsed is not None
    assert exchange.build(*parsed) == packet


@pytest.mark.parametrize("kind", range(8))
def test_a_checksum_in_its_other_form_is_seen(kind: int) -> None:
    """0 and 0xFFFF are the same to the sum, and `build` writes one of them."""
    rng = Random(kind)
    seen = set()
    for _ in range(3000):
        pair, addresses = (bytes(size) if rng.random() < 0.5 else rng.randbytes(size) for size in (4, 8))
        payload = bytes(rng.choice((0, 0xFF)) for _ in range(rng.randrange(5)))
        packet = bytearray(exchange.build((kind, 0, 64, addresses, pair, rng.choice((0, 5, 0xFFFF))), payload))
        field = rng.choice((10, 22, 26))
        packet[field : field + 2] = rng.choice((b"\0\0", b"\xff\xff", packet[field : field + 2]))
        parsed = exchange.parse(bytes(packet))
        seen.add(parsed is None)
        assert parsed is None or exchange.build(*parsed) == packet
    assert seen == {True, False}

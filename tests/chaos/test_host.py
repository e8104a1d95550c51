"""A NAT that forgets and a clock that leaps: when, and what the packets look like meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from ghost.chaos.host import Nat, clock_lead, next_leap, outside_port, rebindings
from ghost.chaos.spec import LinkSpec, parse
from ghost.simulation import packets

HOST, SERVER = IPv4Address("198.18.0.1"), IPv4Address("198.18.0.2")


def tcp(source: tuple[IPv4Address, int], destination: tuple[IPv4Address, int], payload: bytes) -> bytes:
    return packets.tcp(source, destination, sequence=1, acknowledgement=2, flags=packets.ACK, payload=payload)


def verified(packet: bytes) -> bool:
    """Whether the UDP or TCP checksum is right (RFC 768, RFC 9293)."""
    body = packet[20:]
    pseudo = packet[12:20] + bytes((0, packet[9])) + len(body).to_bytes(2, "big")
    return packets.checksum(pseudo + body) == 0


def test_rebindings_and_leaps_come_each_period() -> None:
    spec = parse("rebind=30s,jump=10s/60s")
    assert [rebindings(spec, since=5.0, now=now) for now in (5.0, 34.9, 35.0, 100.0)] == [0, 0, 1, 3]
    assert [clock_lead(spec, since=5.0, now=now) for now in (5.0, 64.9, 65.0, 200.0)] == [0, 0, 10, 30]
    assert next_leap(spec, since=5.0, now=65.0) == 125.0
    calm = LinkSpec()
    assert (rebindings(calm, since=0.0, now=9e9), clock_lead(calm, since=0.0, now=9e9)) == (0, 0.0)
    assert next_leap(calm, since=0.0, now=9e9) is None


@pytest.mark.parametrize("make", [packets.udp, tcp])
def test_a_translated_packet_has_another_port_and_a_right_checksum(make: Callable[..., bytes]) -> None:
    nat = Nat()
    out = make((HOST, 5000), (SERVER, 8000), b"hello")
    assert nat.outward(out, 0) == out
    changed = nat.outward(out, 1)
    assert int.from_bytes(changed[20:22], "big") == outside_port(5000, 1) != 5000
    assert verified(changed)
    answer = make((SERVER, 8000), (HOST, outside_port(5000, 1)), b"hello")
    back = nat.inward(answer, 1)
    assert back is not None
    assert (back[22:24], verified(back)) == ((5000).to_bytes(2, "big"), True)


def test_the_former_port_is_nobodys_until_the_host_speaks() -> None:
    nat = Nat()
    nat.outward(packets.udp((HOST, 5000), (SERVER, 8000), b"x"), 1)
    late = packets.udp((SERVER, 8000), (HOST, outside_port(5000, 1)), b"y")
    fresh = packets.udp((SERVER, 8000), (HOST, outside_port(5000, 2)), b"y")
    assert nat.inward(late, 1) is not None
    assert (nat.inward(late, 2), nat.inward(fresh, 2), nat.lost) == (None, None, 2)
    nat.outward(packets.udp((HOST, 5000), (SERVER, 8000), b"x"), 2)
    assert (nat.inward(late, 2), nat.inward(fresh, 2) is not None) == (None, True)


def test_what_has_no_ports_passes_as_it_is() -> None:
    nat = Nat()
    echo = packets.echo(HOST, SERVER, sequence=1, is_reply=False, payload=b"x")
    assert nat.outward(echo, 3) == nat.inward(echo, 3) == echo
    assert nat.outward(b"", 3) == b""

"""What happens at the sending end of a path and not on its links: a NAT that forgets, a clock that leaps.

Both are schedules over the time since the description came into force: the n-th change happens n periods later. A
link passes over them; whoever simulates the host asks here.

A NAT gives each of the host's UDP and TCP ports another one outside, which changes at every rebinding. From then on
what comes for the former port finds nobody, until the host has sent something: that is all there is to be seen of it,
on either side.
"""

from __future__ import annotations

from ghost.chaos.corruption import TCP, UDP, replace_word
from ghost.chaos.spec import LinkSpec

FIRST_PORT, PORTS = 20_000, 40_000
"""Outside ports are of [20000, 60000), as far from those that programs listen on as a NAT's usually are."""
STRIDE = 7919
"""Ports move on by this at each rebinding; prime, so that one returns after 40000 of them only."""

_CHECKSUM_AT = {UDP: 6, TCP: 16}  # in their headers (RFC 768, RFC 9293)


def rebindings(spec: LinkSpec, *, since: float, now: float) -> int:
    """How often the translated port has changed."""
    return int((now - since) / spec.rebind_period) if spec.rebind_period is not None else 0


def clock_lead(spec: LinkSpec, *, since: float, now: float) -> float:
    """Seconds by which the host's clock is ahead of the world's."""
    return spec.jump * int((now - since) / spec.jump_period) if spec.jump else 0.0


def next_leap(spec: LinkSpec, *, since: float, now: float) -> float | None:
    """When the clock leaps next, None for never."""
    if not spec.jump:
        return None
    return since + spec.jump_period * (int((now - since) / spec.jump_period) + 1)


def outside_port(port: int, generation: int) -> int:
    """What the NAT makes of a port of the host after so many rebindings; before the first one it stays as it is."""
    return FIRST_PORT + (port + generation * STRIDE) % PORTS if generation else port


class Nat:
    """Rewrites the ports of whole IPv4 packets; `lost` counts those that came for a port which is no longer there."""

    __slots__ = ("lost", "_generation", "_inside")

    def __init__(self) -> None:
        self.lost = 0
        self._generation = 0
        self._inside: dict[tuple[int, int], int] = {}  # protocol and outside port to the host's own

    def outward(self, packet: bytes, generation: int) -> bytes:
        """A packet of the host as it leaves after so many rebindings."""
        at = _ports_at(packet)
        if at is None or not generation:
            return packet
        if generation != self._generation:
            self._generation = generation
            self._inside.clear()
        port = packet[at] << 8 | packet[at + 1]
        outside = outside_port(port, generation)
        self._inside[packet[9], outside] = port
        return _with_port(packet, at, at, outside)

    def inward(self, packet: bytes, generation: int) -> bytes | None:
        """A packet for the host as it arrives, None where its port belongs to nobody any more."""
        at = _ports_at(packet)
        if at is None or not generation:
            return packet
        port = packet[at + 2] << 8 | packet[at + 3]
        inside = self._inside.get((packet[9], port)) if generation == self._generation else None
        if inside is None:
            self.lost += 1
            return None
        return _with_port(packet, at, at + 2, inside)


def _ports_at(packet: bytes) -> int | None:
    """Where the ports of a UDP or TCP packet over IPv4 stand, None for any other."""
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] not in _CHECKSUM_AT:
        return None
    at = (packet[0] & 0x0F) * 4
    is_later_fragment = (packet[6] << 8 | packet[7]) & 0x1FFF
    return None if is_later_fragment or len(packet) < at + _CHECKSUM_AT[packet[9]] + 2 else at


def _with_port(packet: bytes, header: int, at: int, port: int) -> bytes:
    return replace_word(packet, at, port.to_bytes(2, "big"), checksum_at=header + _CHECKSUM_AT[packet[9]])

"""The largest segment that a TCP handshake offers, lowered to what the tunnel's device carries.

Hosts behind one end of a tunnel know their own network's MTU only; ICMP, which would tell them better, is often
filtered.
"""

from __future__ import annotations

from typing import Final

_SYN: Final = 0x02
_END, _NOTHING, _MSS, _MSS_SIZE = 0, 1, 2, 4  # RFC 9293 section 3.2
_HEADERS: Final = 40  # of IPv4 and TCP without options, which is how an MSS counts (RFC 6691)


def clamp_mss(packet: bytes, mtu: int) -> bytes:
    """The packet with a smaller MSS if it is a SYN that offers more than fits `mtu`; it was parsed as TCP before."""
    tcp = (packet[0] & 0x0F) * 4
    if len(packet) < tcp + 20 or not packet[tcp + 13] & _SYN or packet[6] & 0x1F or packet[7]:
        return packet
    end = min(tcp + (packet[tcp + 12] >> 4) * 4, len(packet))
    at = tcp + 20
    while at < end and packet[at] != _END:
        if packet[at] == _NOTHING:
            at += 1
            continue
        if at + 1 >= end or packet[at + 1] < 2:
            return packet
        if packet[at] == _MSS and packet[at + 1] == _MSS_SIZE and at + _MSS_SIZE <= end:
            return _with_mss(packet, tcp, at + 2, mtu - _HEADERS)
        at += packet[at + 1]
    return packet


def _with_mss(packet: bytes, tcp: int, at: int, most: int) -> bytes:
    offered = packet[at] << 8 | packet[at + 1]
    if offered <= most:
        return packet
    changed = bytearray(packet)
    changed[at : at + 2] = most.to_bytes(2, "big")
    before, after = offered, most
    if (at - tcp) % 2:  # across two words of the sum: as if both numbers had their bytes swapped
        before, after = (number >> 8 | (number & 0xFF) << 8 for number in (offered, most))
    total = (~int.from_bytes(packet[tcp + 16 : tcp + 18], "big") & 0xFFFF) + (~before & 0xFFFF) + after  # RFC 1624
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    changed[tcp + 16 : tcp + 18] = (~total & 0xFFFF).to_bytes(2, "big")
    return bytes(changed)

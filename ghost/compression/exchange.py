"""Headers of UDP and of ICMP echo: by themselves, or as differences to an earlier one of the same flow.

    by itself = kind: 1 | [type of service: 1] | [time to live: 1] | [identification: 2] | addresses: 8 | pair: 4
    delta     = bits: 1 | [identification: 1 or 2] | [sequence: 1 or 2]

The pair is UDP's ports, or the identifier and the sequence number of an echo. Lengths and checksums are not sent, as
with TCP; a UDP packet without a checksum stays one. What is remembered of a header is a tuple:

    (kind, type of service, time to live, addresses, pair, identification)
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from ghost.compression.checksum import ONES, complement, remainder
from ghost.errors import PeerError

Header = tuple[int, int, int, bytes, bytes, int]

HEADER_SIZE: Final = 28
_ICMP, _UDP = 1, 17
_VERSION: Final = 0x45
_FRAGMENT: Final = 0xBFFF  # everything of its field but "do not fragment"
_DO_NOT_FRAGMENT: Final = 0x4000
_HEAD: Final = Struct(">BBHHHBBH8s")
_REST: Final = Struct(">HHHH")
_USUAL_TTL: Final = 64

# kind: what it is in the lowest two bits
_UDP_KIND, _UDP_UNCHECKED, _ECHO_REPLY, _ECHO_REQUEST = range(4)
_WHAT: Final = 0x03
_IS_WHOLE, _HAS_IDENT, _HAS_SERVICE, _HAS_TTL = 0x04, 0x08, 0x10, 0x20
_KIND_UNKNOWN: Final = 0xC0
_ICMP_TYPES: Final = {_ECHO_REPLY: 0, _ECHO_REQUEST: 8}

# bits of a delta
_IDENT_NEAR, _IDENT, _SEQUENCE_NEAR, _SEQUENCE = 0x01, 0x02, 0x04, 0x08
_BITS_UNKNOWN: Final = 0xF0


def parse(packet: bytes) -> tuple[Header, bytes] | None:
    """(header, payload) of a packet that both parts restore exactly, else None.

    Its checksums are then as `build` makes them, which is seen at half the cost of making them.
    """
    size = len(packet)
    if size < HEADER_SIZE:
        return None
    version, service, total, ident, fragment, ttl, protocol, ip_check, addresses = _HEAD.unpack_from(packet)
    if version != _VERSION or total != size or fragment & _FRAGMENT:
        return None
    if remainder(packet[:20]) or ip_check == ONES:
        return None
    first, second, third, check = _REST.unpack_from(packet, 20)
    if protocol == _UDP:
        if third != size - 20 or (check and (remainder(packet[12:]) + _UDP + third) % ONES):
            return None
        what, pair = (_UDP_KIND if check else _UDP_UNCHECKED), packet[20:24]
    elif protocol == _ICMP and first in (0x0000, 0x0800):
        is_zero = not (first or second % ONES or third or check)
        if remainder(packet[20:]) % ONES or (second == ONES) != is_zero:
            return None
        what, pair = (_ECHO_REQUEST if first else _ECHO_REPLY), packet[24:28]
    else:
        return None
    kind = what | (_IS_WHOLE if fragment else 0)
    return (kind, service, ttl, addresses, pair, ident), packet[HEADER_SIZE:]


def build(header: Header, payload: bytes) -> bytes:
    """The packet with this header; PeerError for a payload that no packet holds."""
    kind, service, ttl, addresses, pair, ident = header
    what = kind & _WHAT
    size = HEADER_SIZE + len(payload)
    if size > 0xFFFF:
        raise PeerError("malformed")
    fragment = _DO_NOT_FRAGMENT if kind & _IS_WHOLE else 0
    first, second = int.from_bytes(pair[:2], "big"), int.from_bytes(pair[2:], "big")
    if what in _ICMP_TYPES:
        protocol = _ICMP
        code = _ICMP_TYPES[what] << 8
        # an echo of nothing but zeros is possible, and its checksum is 0xFFFF
        total = code + first + second + remainder(payload)
        rest = _REST.pack(code, complement(total) if total else ONES, first, second)
    else:
        protocol = _UDP
        length = size - 20
        check = 0
        if what == _UDP_KIND:
            check = complement(remainder(addresses) + _UDP + 2 * length + first + second + remainder(payload)) or ONES
        rest = _REST.pack(first, second, length, check)
    ip_sum = (_VERSION << 8 | service) + size + ident + fragment + (ttl << 8 | protocol) + remainder(addresses)
    head = _HEAD.pack(_VERSION, service, size, ident, fragment, ttl, protocol, complement(ip_sum), addresses)
    return head + rest + payload


def encode(header: Header) -> bytes:
    """The header by itself."""
    kind, service, ttl, addresses, pair, ident = header
    parts = [b"", addresses, pair]
    if ident:
        kind |= _HAS_IDENT
        parts.insert(1, ident.to_bytes(2, "big"))
    if ttl != _USUAL_TTL:
        kind |= _HAS_TTL
        parts.insert(1, bytes((ttl,)))
    if service:
        kind |= _HAS_SERVICE
        parts.insert(1, bytes((service,)))
    parts[0] = bytes((kind,))
    return b"".join(parts)


def decode(body: bytes) -> tuple[Header, int]:
    """(header, where the payload begins) of one that stands by itself; PeerError for nonsense."""
    try:
        kind = body[0]
        at = 1
        service, ttl, ident = 0, _USUAL_TTL, 0
        if kind & _KIND_UNKNOWN:
            raise PeerError("malformed")
        if kind & _HAS_SERVICE:
            service = body[at]
            at += 1
        if kind & _HAS_TTL:
            ttl = body[at]
            at += 1
        if kind & _HAS_IDENT:
            ident = body[at] << 8 | body[at + 1]
            at += 2
    except IndexError:
        raise PeerError("malformed") from None
    if at + 12 > len(body):
        raise PeerError("malformed")
    return (kind & (_WHAT | _IS_WHOLE), service, ttl, body[at : at + 8], body[at + 8 : at + 12], ident), at + 12


def difference(last: Header, header: Header, *, steps: int) -> bytes | None:
    """The delta, or None where the headers are not of one flow. `steps` as for TCP."""
    kind_, service_, ttl_, addresses_, pair_, ident_ = last
    kind, service, ttl, addresses, pair, ident = header
    if kind != kind_ or addresses != addresses_ or service != service_ or ttl != ttl_:
        return None
    bits = 0
    fields = b""
    step = (ident - _next(ident_, steps)) & ONES
    if step:
        bits, fields = (_IDENT_NEAR, bytes((step,))) if step <= 0xFF else (_IDENT, ident.to_bytes(2, "big"))
    if pair != pair_:
        if kind & _WHAT not in _ICMP_TYPES or pair[:2] != pair_[:2]:
            return None
        sequence = int.from_bytes(pair[2:], "big")
        step = (sequence - int.from_bytes(pair_[2:], "big")) & ONES
        bit, field = (_SEQUENCE_NEAR, bytes((step,))) if step <= 0xFF else (_SEQUENCE, pair[2:])
        bits |= bit
        fields += field
    return bytes((bits,)) + fields


def apply(last: Header, body: bytes, *, steps: int) -> tuple[Header, int]:
    """(header, where the payload begins); PeerError for nonsense."""
    kind, service, ttl, addresses, pair, ident = last
    try:
        bits = body[0]
        at = 1
        if bits & _BITS_UNKNOWN:
            raise PeerError("malformed")
        ident = _next(ident, steps)
        if bits & _IDENT_NEAR:
            ident = (ident + body[at]) & ONES
            at += 1
        elif bits & _IDENT:
            ident = body[at] << 8 | body[at + 1]
            at += 2
        sequence = int.from_bytes(pair[2:], "big")
        if bits & _SEQUENCE_NEAR:
            sequence = (sequence + body[at]) & ONES
            at += 1
        elif bits & _SEQUENCE:
            sequence = body[at] << 8 | body[at + 1]
            at += 2
    except IndexError:
        raise PeerError("malformed") from None
    return (kind, service, ttl, addresses, pair[:2] + sequence.to_bytes(2, "big"), ident), at


def restore(last: Header, body: bytes, *, steps: int, expand: Callable[[bytes], bytes]) -> bytes:
    """The packet from delta and payload, which `expand` decompresses."""
    header, at = apply(last, body, steps=steps)
    return build(header, expand(body[at:]))


def _next(ident: int, steps: int) -> int:
    """The identification expected `steps` packets later; a kernel that does not number sends 0."""
    return ident and (ident + steps) & ONES

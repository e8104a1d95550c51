"""What the two handshake messages carry inside Noise: a run of tag: 1 | size: 1 | value, unknown tags skipped.

The client says who it is to this connection, when, and, the first time, which invite admits it; the server answers
with its connection id and the client's place in the tunnel, or with the reason why not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from ghost.errors import PeerError

VERSION = 1
TOKEN_SIZE = 8
INVITE_ID_SIZE = 8
PROOF_SIZE = 32
FEATURE_ZSTD = 1 << 0
FEATURE_HEADERS = 1 << 1
FEATURE_HISTORY = 1 << 2
"""Streams of history for ordered flows, and version 1 of the dictionaries."""
FEATURE_DNS = 1 << 3
FEATURE_GROUPS = 1 << 4
"""Several packets in one piece of a stream."""

_VERSION, _CONNECTION_ID, _TOKEN, _TIMESTAMP, _INVITE, _PROOF, _FEATURES = range(1, 8)
_INTERFACE, _GATEWAY, _REFUSAL, _RESUMED, _STREAMS = range(8, 13)

REFUSALS = {
    1: "this invite was used by another client: ask for a new one",
    2: "this invite has expired: ask for a new one",
    3: "the server's address pool is full: ask its owner to enlarge --subnet",
    4: "the server speaks another version of the protocol: update ghosttunnel on both sides",
}
INVITE_USED, INVITE_EXPIRED, POOL_FULL, VERSION_UNKNOWN = REFUSALS


@dataclass(frozen=True, slots=True)
class ClientHello:
    """`token` names the connection over all its epochs; `timestamp` (milliseconds) grows with every handshake.

    `proof` shows knowledge of the secret of the invite `invite_id`: keyed BLAKE2s over the handshake's hash.
    """

    connection_id: int
    token: bytes
    timestamp: int
    features: int
    invite_id: bytes
    proof: bytes
    version: int = VERSION
    streams: int = 0
    """How many streams of history, at most 255, this end wants to keep."""

    def encode(self) -> bytes:
        fields = [
            (_VERSION, bytes([self.version])),
            (_CONNECTION_ID, self.connection_id.to_bytes(4, "big")),
            (_TOKEN, self.token),
            (_TIMESTAMP, self.timestamp.to_bytes(8, "big")),
            (_FEATURES, self.features.to_bytes(4, "big")),
            (_INVITE, self.invite_id),
            (_PROOF, self.proof),
        ]
        if self.streams:
            fields.append((_STREAMS, bytes([self.streams])))
        return _encode(fields)

    @classmethod
    def decode(cls, data: bytes) -> ClientHello:
        fields = dict(_fields(data))
        try:
            hello = cls(
                connection_id=_number(fields[_CONNECTION_ID], 4),
                token=_sized(fields[_TOKEN], TOKEN_SIZE),
                timestamp=_number(fields[_TIMESTAMP], 8),
                features=_number(fields[_FEATURES], 4),
                invite_id=_sized(fields[_INVITE], INVITE_ID_SIZE),
                proof=_sized(fields[_PROOF], PROOF_SIZE),
                version=_number(fields[_VERSION], 1),
                streams=_number(fields.get(_STREAMS, b"\0"), 1),
            )
        except KeyError:
            raise PeerError("malformed") from None
        if not hello.connection_id:
            raise PeerError("malformed")
        return hello


@dataclass(frozen=True, slots=True)
class ServerHello:
    """`is_resumed`: the server still holds the connection of this token, so only the epoch is new.

    `refusal` is 0, or a key of REFUSALS: then nothing else counts.
    """

    connection_id: int = 0
    features: int = 0
    interface: IPv4Interface = IPv4Interface("0.0.0.0/32")
    gateway: IPv4Address = IPv4Address(0)
    is_resumed: bool = False
    refusal: int = 0
    streams: int = 0
    """Of history: not more than the client asked for."""

    def encode(self) -> bytes:
        fields = [
            (_CONNECTION_ID, self.connection_id.to_bytes(4, "big")),
            (_FEATURES, self.features.to_bytes(4, "big")),
            (_INTERFACE, self.interface.packed + bytes([self.interface.network.prefixlen])),
            (_GATEWAY, self.gateway.packed),
            (_RESUMED, bytes([self.is_resumed])),
            (_REFUSAL, bytes([self.refusal])),
        ]
        return _encode([*fields, (_STREAMS, bytes([self.streams]))] if self.streams else fields)

    @classmethod
    def decode(cls, data: bytes) -> ServerHello:
        fields = dict(_fields(data))
        try:
            interface = _sized(fields[_INTERFACE], 5)
            return cls(
                connection_id=_number(fields[_CONNECTION_ID], 4),
                features=_number(fields[_FEATURES], 4),
                interface=IPv4Interface((interface[:4], interface[4])),
                gateway=IPv4Address(fields[_GATEWAY]),
                is_resumed=bool(_number(fields[_RESUMED], 1)),
                refusal=_number(fields[_REFUSAL], 1),
                streams=_number(fields.get(_STREAMS, b"\0"), 1),
            )
        except (KeyError, ValueError):
            raise PeerError("malformed") from None


def _encode(fields: list[tuple[int, bytes]]) -> bytes:
    return b"".join(bytes([tag, len(value)]) + value for tag, value in fields)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise PeerError("malformed")
        yield data[at], data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]


def _number(value: bytes, size: int) -> int:
    return int.from_bytes(_sized(value, size), "big")


def _sized(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise PeerError("malformed")
    return value

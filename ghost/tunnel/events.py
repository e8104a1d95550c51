"""What an endpoint tells its driver: small facts in the past tense, polled until there are none."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

Address = tuple[Any, ...]
"""Where a datagram comes from or goes to, as the socket layer gives it: (host, port, ...)."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The client is in: its inner address with the subnet's prefix, the server's inner address, and the inner MTU."""

    address: IPv4Interface
    gateway: IPv4Address
    mtu: int
    endpoint: Address


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The client lost the server; it goes on trying by itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server knows this invite or client and will not serve it; trying again is pointless."""

    reason: str


@dataclass(frozen=True, slots=True)
class NeedAddresses:
    """The endpoints' names should be resolved (again): call `connect` with the result."""


@dataclass(frozen=True, slots=True)
class TimestampUsed:
    """A handshake with this timestamp is about to leave: remember it, a later one must be greater."""

    timestamp: int


@dataclass(frozen=True, slots=True)
class PeerJoined:
    name: str
    address: IPv4Address
    endpoint: Address


@dataclass(frozen=True, slots=True)
class PeerLeft:
    name: str
    address: IPv4Address
    reason: str


Event = Connected | Disconnected | Refused | NeedAddresses | TimestampUsed | PeerJoined | PeerLeft

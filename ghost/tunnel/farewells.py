"""Connections that the server has ended, and whose clients may not know: a CLOSE can be lost.

What still arrives in them is answered by another CLOSE if it is authentic, at most once in FAREWELL_INTERVAL, and is
otherwise without effect: the closing state of RFC 9000 section 10.2.1.
"""

from __future__ import annotations

from typing import Final

from ghost.errors import PeerError
from ghost.tunnel.connection import Connection
from ghost.tunnel.events import Address

MAX_FAREWELLS: Final = 64  # the oldest makes room
FAREWELL_LIFETIME: Final = 60.0  # seconds: the packet that a client sends to keep its NAT open comes within it
FAREWELL_INTERVAL: Final = 0.1  # seconds


class _Farewell:
    __slots__ = ("connection", "reason", "expires", "next_time")

    def __init__(self, connection: Connection, reason: int, now: float) -> None:
        self.connection = connection
        self.reason = reason
        self.expires = now + FAREWELL_LIFETIME
        self.next_time = now

    def say(self, now: float) -> list[tuple[bytes, Address]]:
        if now < self.next_time:
            return []
        self.next_time = now + FAREWELL_INTERVAL
        self.connection.close(self.reason)
        return [(data, self.connection.address) for data in self.connection.datagrams_to_send(now)[:1]]


class Farewells:
    """By the connection ids under which the clients still send."""

    def __init__(self) -> None:
        self._by_id: dict[int, _Farewell] = {}

    def begin(self, connection: Connection, reason: int, now: float) -> list[tuple[bytes, Address]]:
        """The first CLOSE, for a reason of wire.frames.CLOSE_REASONS; the connection is nobody else's from now on."""
        farewell = _Farewell(connection, reason, now)
        for connection_id in connection.epochs.local_ids():
            while len(self._by_id) >= MAX_FAREWELLS:
                del self._by_id[next(iter(self._by_id))]
            self._by_id[connection_id] = farewell
        return farewell.say(now)

    def answer(
        self, connection_id: int, number: int, data: bytes, address: Address, now: float
    ) -> list[tuple[bytes, Address]]:
        """What to answer to a datagram; PeerError if it is of no connection here, or forged, or old."""
        farewell = self._by_id.get(connection_id)
        epoch = farewell.connection.epochs.by_id(connection_id) if farewell is not None else None
        if farewell is None or epoch is None or now >= farewell.expires:
            self._by_id.pop(connection_id, None)
            raise PeerError("foreign")
        farewell.connection.receive_datagram(epoch, data, number, address, now)
        farewell.connection.take_packets()
        return farewell.say(now)

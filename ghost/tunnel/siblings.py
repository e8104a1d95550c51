"""Several server processes behind one port: who has which client, and what one of them hands to another.

Each is an endpoint of its own, and nothing that a packet needs is shared: the kernel spreads datagrams by their
addresses and inner packets by their flow, so that a client's come to where its handshake came. What arrives elsewhere
is handed over whole, once, and never handed on:

    packet of a client that moved          by its connection id, which modulo `count` is its server's index
    handshake of a client that is here     by its public key, as soon as it is known
    inner packet                           by its destination

For the latter two each server tells the others who came and who left. Where two believe for a moment to have the same
client, or address, the later word ends the earlier session.

A message is a tuple that begins with its kind, by `marshal`: it never leaves the processes of one server.
"""

from __future__ import annotations

import marshal
from typing import Any, Final

from ghost.compression.trains import SuperPacket
from ghost.tunnel.events import Address

JOINED: Final = 0  # sender, public key, packed inner address
LEFT: Final = 1  # sender, public key, packed inner address
DATAGRAMS: Final = 2  # datagrams, where they came from
PACKET: Final = 3  # inner packet, size of its segments or 0


class Siblings:
    """What server number `index` of `count` knows of the others, and its messages to them."""

    __slots__ = ("_by_address", "_by_key", "_messages", "count", "handed_over", "index")

    def __init__(self, index: int = 0, count: int = 1) -> None:
        self.index = index
        self.count = count
        self.handed_over = 0  # datagrams and inner packets that came to the wrong server
        self._by_key: dict[bytes, int] = {}
        self._by_address: dict[bytes, int] = {}
        self._messages: list[tuple[int, bytes]] = []

    def is_own(self, number: int) -> bool:
        """Whether this connection id is for this server to give, or this address for it to give before others."""
        return number % self.count == self.index

    def having_client(self, public_key: bytes) -> int | None:
        """The other server that has this client."""
        return self._by_key.get(public_key)

    def having_address(self, address: bytes) -> int | None:
        """The other server whose client has this packed inner address."""
        return self._by_address.get(address)

    def take_messages(self) -> list[tuple[int, bytes]]:
        """(index of the addressee, message) since the last call."""
        messages, self._messages = self._messages, []
        return messages

    def joined(self, public_key: bytes, address: bytes) -> None:
        """A client is here, whoever had it before."""
        self._forget(public_key, address)
        self._tell_all((JOINED, self.index, public_key, address))

    def left(self, public_key: bytes, address: bytes) -> None:
        self._tell_all((LEFT, self.index, public_key, address))

    def hand_datagrams(self, to: int, datagrams: list[bytes], address: Address) -> None:
        self.handed_over += len(datagrams)
        self._messages.append((to, marshal.dumps((DATAGRAMS, datagrams, address))))

    def hand_packet(self, to: int, packet: bytes, segment_size: int = 0) -> None:
        self.handed_over += 1
        self._messages.append((to, marshal.dumps((PACKET, packet, segment_size))))

    def heard(self, message: bytes) -> tuple[Any, ...]:
        """The message, of which what concerns who is where is known from now on."""
        heard: tuple[Any, ...] = marshal.loads(message)
        if heard[0] == JOINED:
            _, sender, public_key, address = heard
            self._by_key[public_key] = self._by_address[address] = sender
        elif heard[0] == LEFT:
            _, sender, public_key, address = heard
            if self._by_key.get(public_key) == sender:  # else it has come to another meanwhile
                self._forget(public_key, address)
        return heard

    def _forget(self, public_key: bytes, address: bytes) -> None:
        self._by_key.pop(public_key, None)
        self._by_address.pop(address, None)

    def _tell_all(self, facts: tuple[Any, ...]) -> None:
        message = marshal.dumps(facts)
        self._messages += [(index, message) for index in range(self.count) if index != self.index]


def packet_of(message: tuple[Any, ...]) -> bytes | SuperPacket:
    """The inner packet in a PACKET."""
    _, packet, segment_size = message
    return SuperPacket(packet, segment_size) if segment_size else packet

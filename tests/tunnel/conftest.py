"""What the stories are told with: conversations through a Pair, an ear on its links, and a peer that lies."""

from __future__ import annotations

import random
import struct
from collections import defaultdict
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from ghost.chaos.link import Link
from ghost.chaos.spec import parse
from ghost.obfuscation.envelope import Envelope
from ghost.obfuscation.mask import HeaderMask
from ghost.obfuscation.padding import PROFILES
from ghost.simulation import packets
from ghost.simulation.pair import Pair
from ghost.tunnel.epochs import Epoch
from ghost.tunnel.events import PeerJoined
from ghost.tunnel.handshake import ClientHandshake
from ghost.tunnel.server import ServerEndpoint
from ghost.wire import hello

GATEWAY = IPv4Address("10.77.0.1")
TCP_PORT, UDP_PORT = 1000, 2000


class Talk:
    """Numbered packets of several flows, in both directions or only up, every `interval` seconds until `end`.

    Half of the flows carry text, the other half noise. `arrivals[is_up, port]` are (time, serial) of what came
    through, unchanged; anything else fails at once.
    """

    def __init__(
        self,
        pair: Pair,
        *,
        end: float,
        tcp: int = 2,
        udp: int = 0,
        interval: float = 0.02,
        size: int = 600,
        is_two_way: bool = True,
    ) -> None:
        self.arrivals: defaultdict[tuple[bool, int], list[tuple[float, int]]] = defaultdict(list)
        self.sent: defaultdict[tuple[bool, int], list[bytes]] = defaultdict(list)
        first = 10 * len(pair.applications)  # each conversation has its own flows
        self.tcp_ports = range(TCP_PORT + first, TCP_PORT + first + tcp)
        self.udp_ports = range(UDP_PORT + first, UDP_PORT + first + udp)
        self._ports = [*self.tcp_ports, *self.udp_ports]
        self._rng = random.Random(len(self._ports))
        self._next = pair.now
        self._interval = interval
        self._end = end
        self._size = size
        self._directions = (True, False) if is_two_way else (True,)
        self._client = pair.address
        pair.applications.append(self)

    def next_time(self) -> float | None:
        return self._next if self._next < self._end else None

    def wake(self, pair: Pair) -> None:
        self._next += self._interval
        for port in self._ports:
            for is_up in self._directions:
                packet = self._packet(is_up, port)
                self.sent[is_up, port].append(packet)
                pair.send(packet, from_server=not is_up)

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        port = int.from_bytes(packet[22:24], "big")
        if port not in self._ports:
            return
        at = 40 if port in self.tcp_ports else 28
        serial = struct.unpack_from(">I", packet, at)[0]
        assert packet == self.sent[at_server, port][serial], "a packet was changed on its way"
        self.arrivals[at_server, port].append((pair.now, serial))

    def serials(self, is_up: bool, port: int) -> list[int]:
        return [serial for _, serial in self.arrivals[is_up, port]]

    def assert_complete(self, story: object) -> None:
        """Every TCP packet arrived once and in order, no UDP packet twice."""
        for (is_up, port), sent in self.sent.items():
            serials = self.serials(is_up, port)
            what = f"{story}: {'up' if is_up else 'down'} port {port}"
            if port in self.tcp_ports:
                assert serials == list(range(len(sent))), what
            else:
                assert len(serials) == len(set(serials)), what

    def _packet(self, is_up: bool, port: int) -> bytes:
        ends = ((self._client, 7), (GATEWAY, port)) if is_up else ((GATEWAY, 7), (self._client, port))
        serial = len(self.sent[is_up, port])
        size = self._rng.randrange(4, self._size)
        filler = self._rng.randbytes(size) if port % 2 else b"all work and no play " * (size // 21 + 1)
        payload = struct.pack(">I", serial) + filler
        if port in self.udp_ports:
            return packets.udp(*ends, payload)
        flags = packets.ACK | packets.PUSH
        return packets.tcp(*ends, sequence=serial, acknowledgement=0, flags=flags, payload=payload)


class Tap:
    """A link with an ear: `datagrams` is all that was sent over it; with `is_cut` nothing goes on."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.datagrams: list[bytes] = []
        self.is_cut = False

    def send(self, datagram: bytes, now: float, *, flow: object = None) -> None:
        self.datagrams.append(datagram)
        if not self.is_cut:
            self.link.send(datagram, now, flow=flow)

    def deliver(self, now: float) -> list[bytes]:
        return self.link.deliver(now)

    def next_delivery(self) -> float | None:
        return self.link.next_delivery()


class Liar:
    """An invited client that speaks by hand: it completes the handshake and then sends whatever a test likes."""

    address = ("liar", 1)

    def __init__(self, pair: Pair) -> None:
        self.server: ServerEndpoint = pair.server
        self.now = pair.now
        self.numbers = 0
        rng = random.Random(1)
        invitation = pair.new_invitation("liar")
        handshake = ClientHandshake(
            backend=pair.backend,
            private_key=rng.randbytes(32),
            invitation=invitation,
            envelope=Envelope(pair.backend, invitation.server_public_key),
            profile=PROFILES["noise"],
            hello=hello.ClientHello(77, bytes(8), 1, hello.FEATURE_ZSTD, invite_id=invitation.invite_id, proof=b""),
            first_time=self.now,
            first_repeat=0.05,
            rng=rng,
        )
        initiation = handshake.next_datagram(self.now)
        assert initiation is not None
        self.server.receive_datagram(initiation, self.address, self.now)
        ((answer, _),) = self.server.datagrams_to_send(self.now)
        self.hello, keys = handshake.receive(answer)
        mask = HeaderMask(invitation.server_public_key)
        self._epoch = Epoch(
            backend=pair.backend,
            keys=keys,
            mask=mask,
            local_id=77,
            remote_id=self.hello.connection_id,
            now=self.now,
        )
        self._mask = mask

    def say(self, plaintext: bytes) -> None:
        """Sends one authentic packet."""
        self.server.receive_datagram(self.seal(plaintext), self.address, self.now)

    def seal(self, plaintext: bytes) -> bytes:
        """One authentic packet."""
        self.numbers += 1
        return self._epoch.seal(self.numbers - 1, plaintext)

    def send(self, plaintext: bytes) -> list[bytes]:
        """Sends one authentic packet; returns the plaintexts that the server sends at once."""
        self.say(plaintext)
        return self.listen()

    def listen(self) -> list[bytes]:
        answers = [data for data, address in self.server.datagrams_to_send(self.now) if address == self.address]
        return [self._epoch.open(self._mask.reveal(data)[1], data) for data in answers]

    def wait(self, seconds: float) -> list[bytes]:
        """Lets time pass at the server; returns the plaintexts that it sends meanwhile."""
        end, plaintexts = self.now + seconds, []
        while (due := self.server.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.server.handle_timeout(self.now)
            plaintexts += self.listen()
        self.now = end
        return plaintexts

    def dropped(self, reason: str) -> int:
        """How often the server has dropped something for that reason."""
        return self.server.snapshot(self.now)["dropped"].get(reason, 0)


def _connected(link: str, *, seed: int = 1, **settings: str) -> Pair:
    pair = Pair(parse(link), seed=seed, **settings)
    pair.run_until_connected()
    while not any(isinstance(event, PeerJoined) for _, _, event in pair.events):
        assert pair.now < 30, f"the server has not heard of its client, seed {seed}"
        pair.run(0.1)
    return pair


@pytest.fixture(scope="session")
def connected() -> Callable[..., Pair]:
    """connected(link, seed=1, ...) is a Pair whose two ends both know that they are connected."""
    return _connected


@pytest.fixture(scope="session")
def talk() -> Callable[..., Talk]:
    """talk(pair, end=..., tcp=2, udp=0, interval=0.02, size=600, is_two_way=True) begins a conversation."""
    return Talk


@pytest.fixture(scope="session")
def tap() -> Callable[[Link], Tap]:
    return Tap


@pytest.fixture(scope="session")
def liar() -> Callable[[Pair], Liar]:
    return Liar

"""A client and a server over two links, under one clock that jumps from event to event.

Everything is decided by the seed. Applications are small objects that the clock wakes: they put inner packets in at
one end (`send`) and see what comes out at the other (`on_packet`). Further clients of the same server are guests.
"""

from __future__ import annotations

import random
from collections import Counter
from ipaddress import IPv4Address, IPv4Network
from typing import Final, NamedTuple, Protocol

from ghost.chaos.link import Link, Way
from ghost.chaos.spec import LinkSpec
from ghost.crypto.backend import Backend, choose
from ghost.tunnel.client import ClientEndpoint
from ghost.tunnel.events import Address, Connected, Event, NeedAddresses
from ghost.tunnel.invitation import Invitation
from ghost.tunnel.registry import Invite, MemoryRegistry
from ghost.tunnel.server import ServerEndpoint

SERVER: Final[Address] = ("server", 8000)
CLIENT: Final[Address] = ("client", 40000)
WALL_OFFSET: Final = 1.7e9
MAX_STEPS_PER_INSTANT: Final = 10_000  # an endpoint that never stops asking for the same instant is a bug


class Application(Protocol):
    """Traffic: woken at `next_time`, told of every inner packet that arrives at either end."""

    def next_time(self) -> float | None: ...

    def wake(self, pair: Pair) -> None: ...

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None: ...


class Site(NamedTuple):
    """A client where it lives: `up` carries its datagrams, `down` the server's."""

    name: str
    client: ClientEndpoint
    address: Address
    up: Way
    down: Way


class Pair:
    """`up` carries the client's datagrams, `down` the server's; `now` starts at 0.

    `strays` counts the bytes that the server sends to addresses where nobody lives.
    """

    def __init__(
        self,
        up: LinkSpec,
        down: LinkSpec | None = None,
        *,
        seed: int = 1,
        profile: str = "noise",
        compression: str = "auto",
        backend: Backend | None = None,
    ) -> None:
        rng = random.Random(seed)
        self.now = 0.0
        self.backend = backend or choose()
        self.up = Link(up, random.Random(rng.getrandbits(64)))
        self.down = Link(down or up, random.Random(rng.getrandbits(64)))
        self.client_address = CLIENT
        self.registry = MemoryRegistry()
        self.events: list[tuple[float, str, Event]] = []
        self.applications: list[Application] = []
        self.guests: list[Site] = []
        self.strays: Counter[Address] = Counter()
        self._rng = rng
        self._profile = profile
        self._compression = compression
        self._server_key = rng.randbytes(32)
        self.server = self.new_server()
        self.invitation = self.new_invitation("client")
        self.client = self.new_client(self.invitation)

    def new_invitation(self, name: str, *, expires: float = 3600.0) -> Invitation:
        """An invite that the server knows, good until `expires` on this pair's clock."""
        invite = Invite(self._rng.randbytes(8), self._rng.randbytes(32), name, WALL_OFFSET + expires)
        self.registry.add_invite(invite)
        public_key = self.backend.x25519_public(self._server_key)
        return Invitation((("server", 8000),), public_key, invite.invite_id, invite.secret, name)

    def new_server(self) -> ServerEndpoint:
        """A server with the same identity and registry and no memory of any connection."""
        return ServerEndpoint(
            private_key=self._server_key,
            registry=self.registry,
            subnet=IPv4Network("10.77.0.0/24"),
            profile=self._profile,
            compression=self._compression,
            max_rate_bps=None,
            rng=random.Random(self._rng.getrandbits(64)),
            now=self.now,
            wall_offset=WALL_OFFSET,
            backend=self.backend,
        )

    def new_client(self, invitation: Invitation, *, private_key: bytes | None = None) -> ClientEndpoint:
        return ClientEndpoint(
            private_key=private_key or self._rng.randbytes(32),
            invitation=invitation,
            profile=self._profile,
            compression=self._compression,
            max_rate_bps=None,
            rng=random.Random(self._rng.getrandbits(64)),
            now=self.now,
            wall_offset=WALL_OFFSET,
            last_timestamp=0,
            backend=self.backend,
        )

    def add_guest(self, name: str, invitation: Invitation | None = None, *, shares_links: bool = False) -> Site:
        """One more client, on links like the first one's or on the very same ones."""
        up, down = (
            link.lane() if shares_links else Link(link.spec, random.Random(self._rng.getrandbits(64)), self.now)
            for link in (self.up, self.down)
        )
        client = self.new_client(invitation or self.new_invitation(name))
        guest = Site(name, client, (name, CLIENT[1]), up, down)
        self.guests.append(guest)
        return guest

    @property
    def address(self) -> IPv4Address | None:
        """The client's inner address once it has one."""
        return self.address_of("client")

    def address_of(self, name: str) -> IPv4Address | None:
        """The inner address of the client or guest of that name once it has one."""
        for _, who, event in reversed(self.events):
            if who == name and isinstance(event, Connected):
                return event.address.ip
        return None

    def run(self, duration: float) -> None:
        """Lets `duration` seconds pass."""
        end = self.now + duration
        steps = 0
        self._flush()
        while True:
            due = self._next_time()
            if due is None or due > end:
                break
            steps = steps + 1 if due <= self.now else 0
            if steps > MAX_STEPS_PER_INSTANT:
                raise AssertionError(f"the clock stands still at {self.now}")
            self.now = max(self.now, due)
            self._step()
        self.now = end

    def run_until_connected(self, limit: float = 30.0, *, name: str = "client") -> float:
        """Runs until the client or guest of that name is up; returns when that was. `limit` is a time of the clock."""
        while self.address_of(name) is None:
            if self.now >= limit:
                raise AssertionError(f"not connected after {limit:g} s: {self.client_of(name).snapshot(self.now)}")
            self.run(0.005)
        return self.now

    def client_of(self, name: str) -> ClientEndpoint:
        """The client or guest of that name."""
        return next(site.client for site in self._sites() if site.name == name)

    def send(self, packet: bytes, *, from_server: bool, name: str = "client") -> None:
        """An inner packet leaves the kernel of the server, or of the client or guest of that name."""
        (self.server if from_server else self.client_of(name)).send_packet(packet, self.now)

    def _sites(self) -> list[Site]:
        return [Site("client", self.client, self.client_address, self.up, self.down), *self.guests]

    def _next_time(self) -> float | None:
        times = [self.server.next_timeout()]
        for site in self._sites():
            times += [site.up.next_delivery(), site.down.next_delivery(), site.client.next_timeout()]
        times += [application.next_time() for application in self.applications]
        return min((time for time in times if time is not None), default=None)

    def _step(self) -> None:
        now = self.now
        sites = self._sites()
        for site in sites:
            for datagram in site.up.deliver(now):
                self.server.receive_datagram(datagram, site.address, now)
            for datagram in site.down.deliver(now):
                site.client.receive_datagram(datagram, SERVER, now)
        endpoints: list[ClientEndpoint | ServerEndpoint] = [*(site.client for site in sites), self.server]
        for endpoint in endpoints:
            due = endpoint.next_timeout()
            if due is not None and due <= now:
                endpoint.handle_timeout(now)
        for application in self.applications:
            due = application.next_time()
            if due is not None and due <= now:
                application.wake(self)
        self._flush()

    def _flush(self) -> None:
        now = self.now
        sites = self._sites()
        for site in sites:
            for packet in site.client.packets_to_deliver():
                for application in self.applications:
                    application.on_packet(self, packet, at_server=False)
        for packet in self.server.packets_to_deliver():
            for application in self.applications:
                application.on_packet(self, packet, at_server=True)
        for site in sites:
            while (event := site.client.next_event()) is not None:
                self.events.append((now, site.name, event))
                if isinstance(event, NeedAddresses):
                    site.client.connect([SERVER], now)
            for datagram, _ in site.client.datagrams_to_send(now):
                site.up.send(datagram, now)
        while (event := self.server.next_event()) is not None:
            self.events.append((now, "server", event))
        links = {site.address: site.down for site in sites}
        for datagram, address in self.server.datagrams_to_send(now):
            if address in links:
                links[address].send(datagram, now)
            else:
                self.strays[address] += len(datagram)

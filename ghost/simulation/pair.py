"""A client and a server over two links, under one clock that jumps from event to event.

Everything is decided by the seed. Applications are small objects that the clock wakes: they put inner packets in at
one end (`send`) and see what comes out at the other (`on_packet`). Further clients of the same server are guests.

As in the driver, an endpoint is asked for what it has to say after it was told something, and only then: an endpoint
that `run` has not touched keeps its timeout. The client's clock leaps and its address changes as the description of
`up` says (ghost.chaos.host). A server whose processor is slow (`server_cost`) takes nothing in while it is busy.
"""

from __future__ import annotations

import random
from collections import Counter
from ipaddress import IPv4Address, IPv4Network
from typing import Final, NamedTuple, Protocol, TypeVar

from ghost.chaos.host import clock_lead, next_leap, rebindings
from ghost.chaos.link import Link, Way
from ghost.chaos.spec import LinkSpec
from ghost.compression.trains import SuperPacket
from ghost.crypto.backend import Backend, choose
from ghost.simulation.times import earliest
from ghost.tunnel.client import ClientEndpoint
from ghost.tunnel.events import Address, Connected, Event, NeedAddresses
from ghost.tunnel.invitation import Invitation
from ghost.tunnel.registry import Invite, MemoryRegistry
from ghost.tunnel.server import ServerEndpoint
from ghost.tunnel.siblings import Siblings

SERVER: Final[Address] = ("server", 8000)
CLIENT: Final[Address] = ("client", 40000)
WALL_OFFSET: Final = 1.7e9
MAX_STEPS_PER_INSTANT: Final = 10_000  # an endpoint that never stops asking for the same instant is a bug


class Path(Protocol):
    """What an application needs of two hosts, whether a tunnel joins them or not (ghost.simulation.direct)."""

    now: float

    def address_of(self, name: str) -> IPv4Address | None:
        """The address of the host of that name for inner packets, None before it has one."""

    def send(self, packet: bytes, *, from_server: bool, name: str = "client") -> None:
        """An inner packet leaves the kernel of the server, or of the host of that name."""


P = TypeVar("P", contravariant=True)


class Application(Protocol[P]):
    """Traffic: woken at `next_time`, told of every inner packet that arrives at either end."""

    def next_time(self) -> float | None: ...

    def wake(self, pair: P) -> None: ...

    def on_packet(self, pair: P, packet: bytes, *, at_server: bool) -> None: ...


class Site(NamedTuple):
    """A client where it lives: `up` carries its datagrams, `down` the server's."""

    name: str
    client: ClientEndpoint
    address: Address
    up: Way
    down: Way


class Pair:
    """`up` carries the client's datagrams, `down` the server's; `now` starts at 0.

    `strays` counts the bytes that the server sends to addresses where nobody lives. `server_cost` is what a datagram
    costs the server, in seconds, and `busy` how many seconds it was at work.
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
        server_cost: float = 0.0,
    ) -> None:
        rng = random.Random(seed)
        self.now = 0.0
        self.backend = backend or choose()
        self.up = Link(up, random.Random(rng.getrandbits(64)))
        self.down = Link(down or up, random.Random(rng.getrandbits(64)))
        self._host = self.up  # whose description says what the client's NAT and clock do
        self.client_address = CLIENT
        self.registry = MemoryRegistry()
        self.events: list[tuple[float, str, Event]] = []
        self.applications: list[Application[Pair]] = []
        self.guests: list[Site] = []
        self.strays: Counter[Address] = Counter()
        self.server_cost = server_cost
        self.busy = 0.0
        self._busy_until = 0.0
        self._application_dues: list[float | None] = []
        self._application_due: float | None = None  # the earliest of them
        self._is_traffic_stirred = True  # an application was called since they were asked
        self._touched: dict[ClientEndpoint | ServerEndpoint, None] = {}
        self._timeouts: dict[ClientEndpoint | ServerEndpoint, float | None] = {}
        self._rng = rng
        self._profile = profile
        self._compression = compression
        self._server_key = rng.randbytes(32)
        self.server = self.new_server()
        self.invitation = self.new_invitation("client")
        self.client = self.new_client(self.invitation)
        self._known_sites = [Site("client", self.client, CLIENT, self.up, self.down)]

    def new_invitation(self, name: str, *, expires: float = 3600.0) -> Invitation:
        """An invite that the server knows, good until `expires` on this pair's clock."""
        invite = Invite(self._rng.randbytes(8), self._rng.randbytes(32), name, WALL_OFFSET + expires)
        self.registry.add_invite(invite)
        public_key = self.backend.x25519_public(self._server_key)
        return Invitation((("server", 8000),), public_key, invite.invite_id, invite.secret, name)

    def new_server(self, siblings: Siblings | None = None) -> ServerEndpoint:
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
            siblings=siblings,
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

    @property
    def client_now(self) -> float:
        """What the client's clock shows."""
        host = self._host
        return self.now + clock_lead(host.spec, since=host.since, now=self.now) if host.spec.jump else self.now

    def run(self, duration: float) -> None:
        """Lets `duration` seconds pass."""
        end = self.now + duration
        steps = 0
        self._touch_all()  # whoever calls may have spoken to them
        self._flush(self._sites())
        while True:
            sites = self._sites()
            due = self._next_time(sites)
            if due is None or due > end:
                break
            if due > self.now:
                self.now = due
                steps = 0
                if self._host.spec.rebind_period is not None:
                    sites = self._sites()
            else:
                steps += 1
                if steps > MAX_STEPS_PER_INSTANT:
                    raise AssertionError(f"the clock stands still at {self.now}")
            self._step(sites)
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
        for site in self._sites():
            if site.name == name:
                return site.client
        raise KeyError(name)

    def send(self, packet: bytes, *, from_server: bool, name: str = "client") -> None:
        """An inner packet leaves the kernel of the server, or of the client or guest of that name."""
        endpoint = self.server if from_server else self.client_of(name)
        endpoint.send_packet(packet, self._clock_of(endpoint))
        self._touched[endpoint] = None

    def _sites(self) -> list[Site]:
        address, host = self.client_address, self._host
        if host.spec.rebind_period is not None:
            moves = rebindings(host.spec, since=host.since, now=self.now)
            address = (address[0], address[1] + moves)
        known = self._known_sites
        _, client, known_address, up, down = known[0]
        is_same = client is self.client and up is self.up and down is self.down and known_address == address
        if not is_same or len(known) != 1 + len(self.guests):
            known = self._known_sites = [Site("client", self.client, address, self.up, self.down), *self.guests]
        return known

    def _touch_all(self) -> None:
        self._touched = dict.fromkeys([*(site.client for site in self._sites()), self.server])
        self._timeouts = {}
        self._is_traffic_stirred = True

    def _timeout(self, endpoint: ClientEndpoint | ServerEndpoint) -> float | None:
        """When it wants to be called, on the world's clock."""
        known = self._timeouts.get(endpoint)
        if known is not None:
            return known
        due = endpoint.next_timeout()
        if due is not None and endpoint is self.server and due < self._busy_until:
            due = self._busy_until
        elif due is not None and endpoint is self.client:
            due -= self.client_now - self.now
        self._timeouts[endpoint] = due
        return due

    def _next_time(self, sites: list[Site]) -> float | None:
        """The earliest time at which anything is due. Asked at every step, hence without `earliest`."""
        host, busy_until, known = self._host, self._busy_until, self._timeouts
        if self._is_traffic_stirred:
            self._is_traffic_stirred = False
            self._application_dues = [application.next_time() for application in self.applications]
            self._application_due = earliest(*self._application_dues)
        least = self._application_due
        due = known.get(self.server) or self._timeout(self.server)
        if due is not None and (least is None or due < least):
            least = due
        if host.spec.jump:
            least = earliest(least, next_leap(host.spec, since=host.since, now=self.now))
        for _, client, _, up, down in sites:
            due = up.next_delivery()
            if due is not None:
                if due < busy_until:
                    due = busy_until
                if least is None or due < least:
                    least = due
            due = down.next_delivery()
            if due is not None and (least is None or due < least):
                least = due
            due = known.get(client) or self._timeout(client)
            if due is not None and (least is None or due < least):
                least = due
        return least

    def _clock_of(self, endpoint: ClientEndpoint | ServerEndpoint) -> float:
        return self.client_now if endpoint is self.client else self.now

    def _step(self, sites: list[Site]) -> None:
        now, touched, server, known = self.now, self._touched, self.server, self._timeouts
        is_idle = self._busy_until <= now
        for _, client, address, up, down in sites:
            due = up.next_delivery()
            if due is not None and due <= now and is_idle:
                for datagram in up.deliver(now):
                    server.receive_datagram(datagram, address, now)
                    touched[server] = None
                    if self.server_cost:
                        self._work()
                is_idle = self._busy_until <= now
            due = down.next_delivery()
            if due is not None and due <= now:
                clock = self._clock_of(client)
                for datagram in down.deliver(now):
                    client.receive_datagram(datagram, SERVER, clock)
                touched[client] = None
        if self._host.spec.jump:
            known.pop(self.client, None)  # what was left until then may have leapt
        # As the driver's alarm: it knows the timeout from before what was received in this turn.
        for _, client, _, _, _ in sites:
            due = known.get(client) or self._timeout(client)
            if due is not None and due <= now:
                client.handle_timeout(self._clock_of(client))
                touched[client] = None
        due = known.get(server) or self._timeout(server)
        if due is not None and due <= now:
            server.handle_timeout(now)
            touched[server] = None
        due = self._application_due
        if due is not None and due <= now:
            self._is_traffic_stirred = True
            for application, due in zip(self.applications, self._application_dues, strict=False):
                if due is not None and due <= now:
                    application.wake(self)
        self._flush(sites)

    def _work(self) -> None:
        """The server's processor deals with one datagram."""
        self.busy += self.server_cost
        self._busy_until = max(self._busy_until, self.now) + self.server_cost

    def _flush(self, sites: list[Site]) -> None:
        """Carries what the touched endpoints have to say; packets that arrive may touch further ones."""
        now, server, touched = self.now, self.server, self._touched
        for _, client, _, _, _ in sites:
            if client in touched and (packets := client.packets_to_deliver()):
                self._deliver(packets, at_server=False)
        if server in touched and (packets := server.packets_to_deliver()):
            self._deliver(packets, at_server=True)
        self._touched = {}
        for endpoint in touched:
            self._timeouts.pop(endpoint, None)
        for name, client, address, up, _ in sites:
            if client not in touched:
                continue
            clock = self._clock_of(client)
            while (event := client.next_event()) is not None:
                self.events.append((now, name, event))
                if isinstance(event, NeedAddresses):
                    client.connect([SERVER], clock)
            for datagram, _ in client.datagrams_to_send(clock):
                up.send(datagram, now, flow=address)
        if server not in touched:
            return
        while (event := server.next_event()) is not None:
            self.events.append((now, "server", event))
        datagrams = server.datagrams_to_send(now)
        if not datagrams:
            return
        for datagram, address in datagrams:
            if self.server_cost:
                self._work()
            for site in sites:
                if site[2] == address:
                    site[4].send(datagram, now, flow=address)
                    break
            else:
                self.strays[address] += len(datagram)

    def _deliver(self, packets: list[bytes | SuperPacket], *, at_server: bool) -> None:
        """No endpoint joins segments here: kernels that would take them are models too."""
        self._is_traffic_stirred = True
        for packet in packets:
            if isinstance(packet, bytes):
                for application in self.applications:
                    application.on_packet(self, packet, at_server=at_server)

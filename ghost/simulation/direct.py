"""The same two hosts without a tunnel: inner packets go straight over the two links, for comparison.

One clock that jumps from event to event, as in ghost.simulation.pair; applications cannot tell the difference. The
client stands behind a NAT where the link up has a `rebind`.
"""

from __future__ import annotations

import random
from ipaddress import IPv4Address
from typing import Final

from ghost.chaos.host import Nat, rebindings
from ghost.chaos.link import Link
from ghost.chaos.spec import LinkSpec
from ghost.simulation.packets import is_intact
from ghost.simulation.pair import Application
from ghost.simulation.times import earliest

HOST: Final = IPv4Address("10.77.0.2")


class Direct:
    """`up` carries the client's packets, `down` the server's; `now` starts at 0."""

    def __init__(self, up: LinkSpec, down: LinkSpec | None = None, *, seed: int = 1) -> None:
        rng = random.Random(seed)
        self.now = 0.0
        self.up = Link(up, random.Random(rng.getrandbits(64)))
        self.down = Link(down or up, random.Random(rng.getrandbits(64)))
        self.applications: list[Application[Direct]] = []
        self._nat = Nat()
        self._dues: list[float | None] = []
        self._due: float | None = None  # the earliest of them
        self._is_stirred = True  # an application was called since they were asked

    def address_of(self, name: str) -> IPv4Address | None:
        return HOST

    def send(self, packet: bytes, *, from_server: bool, name: str = "client") -> None:
        if from_server:
            self.down.send(packet, self.now, overhead=0)
        else:
            if self.up.spec.rebind_period is not None:
                packet = self._nat.outward(packet, self._generation())
            self.up.send(packet, self.now, overhead=0)

    def run(self, duration: float) -> None:
        """Lets `duration` seconds pass."""
        end = self.now + duration
        self._is_stirred = True
        up, down = self.up, self.down
        while (due := self._next_time()) is not None and due <= end:
            if due > self.now:
                self.now = due
            for packet in up.deliver(self.now):
                if not up.spec.corrupt or is_intact(packet):
                    self._deliver(packet, at_server=True)
            for packet in down.deliver(self.now):
                inward: bytes | None = packet
                if up.spec.rebind_period is not None:
                    inward = self._nat.inward(packet, self._generation())
                if inward is not None and (not down.spec.corrupt or is_intact(inward)):
                    self._deliver(inward, at_server=False)
            if self._due is None or self._due > self.now:
                continue
            self._is_stirred = True
            for application, time in zip(self.applications, self._dues, strict=False):
                if time is not None and time <= self.now:
                    application.wake(self)
        self.now = end

    def _deliver(self, packet: bytes, *, at_server: bool) -> None:
        self._is_stirred = True
        for application in self.applications:
            application.on_packet(self, packet, at_server=at_server)

    def _next_time(self) -> float | None:
        if self._is_stirred:
            self._is_stirred = False
            self._dues = [application.next_time() for application in self.applications]
            self._due = earliest(*self._dues)
        return earliest(self.up.next_delivery(), self.down.next_delivery(), self._due)

    def _generation(self) -> int:
        return rebindings(self.up.spec, since=self.up.since, now=self.now)

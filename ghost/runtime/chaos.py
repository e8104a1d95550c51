"""A bad link inside a running daemon: what `--chaos` and `ghosttunnel chaos` put between the core and the sockets.

Both directions of this end pass a link of ghost.chaos, all peers share it. The host's part of a description is obeyed
as well: `jump` moves this process's clock, `rebind` lets a server see its clients under another port each time, and a
client take other ports: it cannot see its translated one, but a NAT gives a new one to a new port.

Flow: socket -> `receive` -> core -> `send` -> socket; each returns what is due by now, `next_time` says when more is.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from ghost.chaos.host import next_leap, outside_port, rebindings
from ghost.chaos.link import Link
from ghost.chaos.profiles import resolve
from ghost.chaos.spec import LinkSpec
from ghost.chaos.trace import Trace
from ghost.errors import ConfigError
from ghost.runtime.clock import leap, now
from ghost.runtime.recorder import read_trace
from ghost.runtime.udp import Address

LONGEST = 86_400.0
_Datagrams = list[tuple[bytes, Address]]


class Impairment:
    """`spec` for both directions, in force from `at` until `until`, or until it is replaced.

    A `trace` is played in its place, over and over, each direction as it was; `name` is what `status` calls it.
    """

    def __init__(
        self,
        spec: LinkSpec,
        *,
        is_server: bool,
        at: float,
        until: float | None = None,
        trace: Trace | None = None,
        name: str | None = None,
    ) -> None:
        rng = random.Random()
        self.spec = spec
        self._until = until
        self._out, self._in = Link(spec, rng, at), Link(spec, rng, at)
        if trace is not None:
            up, down = (self._in, self._out) if is_server else (self._out, self._in)
            up.play(trace.up, interval=trace.interval, now=at)
            down.play(trace.down, interval=trace.interval, now=at)
        self.name = name or str(spec)
        self._since = at
        self._next_leap = next_leap(spec, since=at, now=at)
        self._translates = is_server and spec.rebind_period is not None
        self._generation = 0
        self._inside: dict[Address, Address] = {}  # of this generation: the address shown to the core, to the true one

    def receive(self, datagrams: _Datagrams, at: float) -> _Datagrams:
        """Takes in what came from the network; what arrives at the core by now."""
        for data, address in datagrams:
            shown = self._shown(address, at)
            self._in.send(data, at, flow=shown)
        return self._in.deliver_flows(at)  # type: ignore[return-value]  # the flows are addresses

    def send(self, datagrams: _Datagrams, at: float) -> _Datagrams:
        """Takes in what the core sends; what leaves by now."""
        for data, address in datagrams:
            if self._is_there(address, at):
                self._out.send(data, at, flow=address)
        return self._true(self._out.deliver_flows(at))  # type: ignore[arg-type]

    def next_time(self) -> float | None:
        """When to ask again, on this process's clock."""
        rebinding = None
        if self.spec.rebind_period is not None and not self._translates:
            rebinding = self._since + (self._generation + 1) * self.spec.rebind_period
        times = (self._out.next_delivery(), self._in.next_delivery(), self._until, self._next_leap, rebinding)
        return min((time for time in times if time is not None), default=None)

    def is_rebound(self, at: float) -> bool:
        """Whether a client is due for other ports; once for each time."""
        generation = self._generation if self._translates else rebindings(self.spec, since=self._since, now=at)
        former, self._generation = self._generation, generation
        return generation != former

    def is_over(self, at: float) -> bool:
        """Also where the clock leaps: an hour that passes in a moment ends what was to last for minutes."""
        if self._next_leap is not None and at >= self._next_leap:
            leap(self.spec.jump)
            self._next_leap = next_leap(self.spec, since=self._since, now=at)
        return self._until is not None and at >= self._until

    def release_in(self) -> _Datagrams:
        """What was on its way to the core."""
        return self._in.deliver_flows(float("inf"))  # type: ignore[return-value]

    def release_out(self) -> _Datagrams:
        """What was on its way out."""
        return self._true(self._out.deliver_flows(float("inf")))  # type: ignore[arg-type]

    def snapshot(self, at: float) -> dict[str, Any]:
        """For `status`."""
        left = {} if self._until is None else {"chaos_left_s": round(max(0.0, self._until - at), 3)}
        return {"chaos": self.name} | left

    def _shown(self, address: Address, at: float) -> Address:
        if not self._translates:
            return address
        generation = rebindings(self.spec, since=self._since, now=at)
        if generation != self._generation:
            self._generation = generation
            self._inside.clear()
        shown = (address[0], outside_port(address[1], generation))
        self._inside[shown] = address
        return shown

    def _is_there(self, address: Address, at: float) -> bool:
        """Whether the port still leads to somebody."""
        if not self._translates:
            return True
        return rebindings(self.spec, since=self._since, now=at) == self._generation and address in self._inside

    def _true(self, datagrams: _Datagrams) -> _Datagrams:
        if not self._inside:
            return datagrams
        return [(data, self._inside[address]) for data, address in datagrams if address in self._inside]


def requested(request: dict[str, Any], *, is_server: bool) -> Impairment | None:
    """What a request to the control socket asks for, None for nothing.

    {"link": SPEC or "off"} or {"trace": FILE}, with {"seconds": 30} to end by itself. Raises ConfigError for what
    cannot be obeyed.
    """
    link, trace, seconds = (request.get(key) for key in ("link", "trace", "seconds"))
    if not isinstance(link if trace is None else trace, str):
        raise ConfigError('chaos needs a link, like {"request": "chaos", "link": "loss=30%"}, or "off"')
    if seconds is not None and not (isinstance(seconds, (int, float)) and 0 < seconds <= LONGEST):
        raise ConfigError(f"chaos cannot last {seconds!r} seconds: give more than 0 and at most {LONGEST:.0f}")
    at = now()
    until = None if seconds is None else at + seconds
    if trace is not None:
        played = read_trace(Path(str(trace)))
        return Impairment(
            LinkSpec(), is_server=is_server, at=at, until=until, trace=played, name=f"trace {Path(str(trace)).name}"
        )
    if str(link).strip().lower() == "off":
        return None
    return Impairment(resolve(str(link)), is_server=is_server, at=at, until=until)

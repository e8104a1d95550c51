"""A tunnel and a rival that share one bottleneck: what each of them gets, second by second.

Both are downloads through the same queue. The tunnel carries a CUBIC connection, or a source that is never short of
packets. The rival is a CUBIC or BBR connection straight over the link, or a second tunnel from the same server with the
same traffic. Either may come first. A tunnel connects when its traffic is to start, and knows nothing of the path but
what the other leaves of it, or at the beginning, while the link is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal

from ghost.chaos.spec import LinkSpec
from ghost.simulation.bbr import Bbr
from ghost.simulation.cubic import Cubic
from ghost.simulation.measure import QueueWatch, bytes_between, percentile
from ghost.simulation.pair import Pair
from ghost.simulation.plain import PlainConnection
from ghost.simulation.tcp import Control
from ghost.simulation.workloads import Bulk, Saturate

RivalKind = Literal["cubic", "bbr", "tunnel"]
CONNECT_POLL: Final = 0.005  # seconds


@dataclass(frozen=True, slots=True)
class Second:
    """One second of a contest: goodputs, the queue, and the tunnel's congestion control at the end of it."""

    time: float
    tunnel_bps: float
    rival_bps: float
    queue_p50_ms: float
    queue_p95_ms: float
    mode: str
    rate_bps: float
    min_rtt_ms: float


class Outsider:
    """A TCP download beside the tunnel: an application that uses the pair's links and none of its endpoints."""

    def __init__(self, pair: Pair, control: Control, *, seed: int = 1) -> None:
        self._connection = PlainConnection(
            pair.down.lane(), pair.up.lane(), rng=Random(seed), now=pair.now, control=control
        )
        self.source = self._connection.source

    @property
    def deliveries(self) -> list[tuple[float, int]]:
        return self._connection.sink.deliveries

    def next_time(self) -> float | None:
        return self._connection.next_time()

    def wake(self, pair: Pair) -> None:
        self._connection.step(pair.now)

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        pass


class TunnelEntry:
    """Connects one more client at `connect_at` and starts its traffic at `start`, or once it is connected."""

    def __init__(self, name: str, port: int, *, connect_at: float, start: float, is_saturated: bool) -> None:
        self.traffic: Bulk | Saturate | None = None
        self._name = name
        self._port = port
        self._start = start
        self._is_saturated = is_saturated
        self._is_invited = False
        self._next: float | None = connect_at

    @property
    def deliveries(self) -> list[tuple[float, int]]:
        return self.traffic.deliveries if self.traffic else []

    def next_time(self) -> float | None:
        return self._next

    def wake(self, pair: Pair) -> None:
        if not self._is_invited:
            self._is_invited = True
            pair.add_guest(self._name, shares_links=True)
            self._next = max(self._start, pair.now + CONNECT_POLL)
        elif pair.address_of(self._name) is None:
            self._next = pair.now + CONNECT_POLL
        else:
            self._next = None
            kind = Saturate if self._is_saturated else Bulk
            self.traffic = kind(pair, is_download=True, client=self._name, client_port=self._port)
            pair.applications.append(self.traffic)

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        pass


class OutsiderEntry:
    """Starts a TCP connection straight over the links."""

    def __init__(self, control: Control, *, start: float, seed: int) -> None:
        self.traffic: Outsider | None = None
        self._control = control
        self._seed = seed
        self._next: float | None = start

    @property
    def deliveries(self) -> list[tuple[float, int]]:
        return self.traffic.deliveries if self.traffic else []

    def next_time(self) -> float | None:
        return self._next

    def wake(self, pair: Pair) -> None:
        self._next = None
        self.traffic = Outsider(pair, self._control, seed=self._seed)
        pair.applications.append(self.traffic)

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        pass


class Contest:
    """`tunnel_start` and `rival_start` are seconds of the contest's clock. `seconds` are those that have passed."""

    def __init__(
        self,
        link: LinkSpec,
        *,
        rival: RivalKind,
        tunnel_start: float = 0.0,
        rival_start: float = 0.0,
        connects_early: bool = False,
        is_saturated: bool = False,
        seed: int = 1,
    ) -> None:
        self.pair = Pair(link, seed=seed)
        self.seconds: list[Second] = []
        self.tunnel = TunnelEntry(
            "tunnel",
            41001,
            connect_at=0.0 if connects_early else tunnel_start,
            start=tunnel_start,
            is_saturated=is_saturated,
        )
        self.rival: TunnelEntry | OutsiderEntry
        if rival == "tunnel":
            self.rival = TunnelEntry(
                "rival",
                41002,
                connect_at=0.0 if connects_early else rival_start,
                start=rival_start,
                is_saturated=is_saturated,
            )
        else:
            control = Bbr(Random(seed)) if rival == "bbr" else Cubic()
            self.rival = OutsiderEntry(control, start=rival_start, seed=seed)
        self._watch = QueueWatch(self.pair.down, 0.0)
        self.pair.applications += [self.tunnel, self.rival, self._watch]

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            start, first_sample = self.pair.now, len(self._watch.delays)
            self.pair.run(1.0)
            end = self.pair.now
            delays = self._watch.delays[first_sample:]
            status = self._status()
            self.seconds.append(
                Second(
                    time=start,
                    tunnel_bps=bytes_between(self.tunnel.deliveries, start, end) * 8 / (end - start),
                    rival_bps=bytes_between(self.rival.deliveries, start, end) * 8 / (end - start),
                    queue_p50_ms=percentile(delays, 0.5) * 1e3,
                    queue_p95_ms=percentile(delays, 0.95) * 1e3,
                    mode=status.get("congestion_mode", "-"),
                    rate_bps=status.get("rate_bps", 0.0),
                    min_rtt_ms=status.get("min_rtt_ms", 0.0),
                )
            )

    def share(self, start: float, end: float) -> float:
        """What the tunnel got of what both got between two times; nan if that was nothing."""
        mine, other = (bytes_between(entry.deliveries, start, end) for entry in (self.tunnel, self.rival))
        return mine / (mine + other) if mine + other else float("nan")

    def _status(self) -> dict[str, Any]:
        """How the server sees its connection to the tunnel under test."""
        address = str(self.pair.address_of("tunnel"))
        peers: list[dict[str, Any]] = self.pair.server.snapshot(self.pair.now)["peers"]
        return next((peer for peer in peers if peer["address"] == address), {})

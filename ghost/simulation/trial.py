"""What a link would be like to live with: one workload over it, inside the tunnel and without it.

    ghosttunnel sim, its sweeps and plots, and the comparison with real kernels all measure with this.

Both runs have the same length, from the start of the traffic, which begins when the tunnel is up. Latencies are those
that the workload's own people feel, and a ping beside it. Every figure is decided by the seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final, NamedTuple

from ghost.chaos.spec import LinkSpec
from ghost.simulation.direct import Direct
from ghost.simulation.interactive import FRAME_INTERVAL, FRAME_SIZE, KEY_SIZE, Call, Pages, Ssh
from ghost.simulation.measure import bytes_between, percentile
from ghost.simulation.pair import Application, Pair, Path
from ghost.simulation.workloads import PING_SIZE, Bulk, Pings

CONNECT_LIMIT: Final = 30.0  # seconds
SETTLE: Final = 2.0  # seconds at the end of a run whose pings, keys and frames have no time to be answered
PING_INTERVAL: Final = 0.2  # seconds: ten times rarer than a call's frames, so that it weighs nothing

WORKLOADS: Final = {
    "bulk": "one download over TCP (CUBIC)",
    "upload": "one upload over TCP (CUBIC)",
    "web": "pages of 570 kB over 7 connections, 2 s apart",
    "ssh": "a fluent typist, each key echoed",
    "voip": "a call, 50 frames a second each way",
    "mixed": "bulk, web, ssh and voip at once",
}


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from cause to effect: percentiles of those that had one, and how many of `count` had none."""

    count: int
    lost: int
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, times: Sequence[float | None]) -> Latency:
        seen = [time for time in times if time is not None]
        p50, p95, p99 = (percentile(seen, share) for share in (0.5, 0.95, 0.99))
        return cls(len(times), len(times) - len(seen), p50, p95, p99)


@dataclass(frozen=True, slots=True)
class Result:
    """One run.

    up_after     seconds until the tunnel was up; None if it never was, 0 without one
    goodput_bps  payload of the bulk transfer, else of the pages; None where neither was part of it
    latencies    by what was felt: ping, key, frame, page
    wire         bytes put on both links per byte that reached an application; nan if none did
    seconds_bps  goodput of each second of the run
    """

    up_after: float | None
    goodput_bps: float | None
    latencies: dict[str, Latency]
    wire: float
    seconds_bps: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What a workload made of a link. `ceiling_bps` is what could arrive at most, None for an unlimited link."""

    up: LinkSpec
    down: LinkSpec
    workload: str
    seconds: float
    seed: int
    ceiling_bps: float | None
    tunnel: Result
    plain: Result
    script: str | None = None
    """The name of what was played in place of `up` and `down`."""

    @property
    def name(self) -> str:
        """The link in words."""
        if self.script is not None:
            return f"as recorded in {self.script}"
        return f"each way {self.up}" if self.up == self.down else f"up {self.up}, down {self.down}"

    @property
    def is_played(self) -> bool:
        return self.script is not None


class Script(NamedTuple):
    """What a recorded path did, up and down; each description holds for `interval` seconds. `name` is the record's."""

    up: Sequence[LinkSpec]
    down: Sequence[LinkSpec]
    interval: float
    name: str = "script"


def ceiling_bps(link: LinkSpec) -> float | None:
    """(1 - p) C: what a link delivers at most, headers included."""
    rates = [rate for rate in (link.rate_bps, link.police_bps) if rate is not None]
    if not rates:
        return None
    alive = 1 - link.blackout_length / link.blackout_period if link.blackout_length else 1.0
    return min(rates) * (1 - link.loss) * alive


def run(
    up: LinkSpec,
    down: LinkSpec | None = None,
    *,
    workload: str,
    seconds: float,
    seed: int,
    script: Script | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Trial:
    """Takes up to half a second of CPU for each second of a link of 10 Mbit/s. `progress` hears shares of 1."""
    down = down or up
    tunnel = _tunnel(up, down, workload, seconds, seed, script, lambda share: progress(0.8 * share))
    plain = _plain(up, down, workload, seconds, seed, script, lambda share: progress(0.8 + 0.2 * share))
    if script is None:
        ceiling = ceiling_bps(up if workload == "upload" else down)
        return Trial(up, down, workload, seconds, seed, ceiling, tunnel, plain)
    played = script.up if workload == "upload" else script.down
    each = [ceiling_bps(played[int(second / script.interval) % len(played)]) for second in range(math.ceil(seconds))]
    ceiling = fmean(one or 0.0 for one in each)
    return Trial(up, down, workload, seconds, seed, ceiling, tunnel, plain, script.name)


def _tunnel(
    up: LinkSpec,
    down: LinkSpec,
    workload: str,
    seconds: float,
    seed: int,
    script: Script | None,
    progress: Callable[[float], None],
) -> Result:
    pair = Pair(up, down, seed=seed)
    if script is not None:
        pair.up.play(script.up, interval=script.interval, now=0.0)
        pair.down.play(script.down, interval=script.interval, now=0.0)
    try:
        up_after = pair.run_until_connected(CONNECT_LIMIT)
    except AssertionError:
        return Result(None, 0.0, {}, math.nan, ())
    return replace(_measure(pair, workload, seconds, seed, progress), up_after=up_after)


def _plain(
    up: LinkSpec,
    down: LinkSpec,
    workload: str,
    seconds: float,
    seed: int,
    script: Script | None,
    progress: Callable[[float], None],
) -> Result:
    direct = Direct(up, down, seed=seed)
    if script is not None:
        direct.up.play(script.up, interval=script.interval, now=0.0)
        direct.down.play(script.down, interval=script.interval, now=0.0)
    return _measure(direct, workload, seconds, seed, progress)


def _measure(
    path: Pair | Direct, workload: str, seconds: float, seed: int, progress: Callable[[float], None]
) -> Result:
    load = _Load(path, workload, seed)
    path.applications += load.applications
    start = path.now
    before = path.up.stats.in_bytes + path.down.stats.in_bytes
    for second in range(math.ceil(seconds)):
        path.run(min(1.0, seconds - second))
        progress((second + 1) / seconds)
    wire = path.up.stats.in_bytes + path.down.stats.in_bytes - before
    return load.result(start, start + seconds, wire)


class _Load:
    """The applications of a workload, and what they felt."""

    def __init__(self, path: Path, workload: str, seed: int) -> None:
        is_mixed = workload == "mixed"
        self.pings = Pings(path, interval=PING_INTERVAL)
        self.bulk = Bulk(path, is_download=workload != "upload", seed=seed) if workload in _BULKS else None
        self.pages = Pages(path, seed=seed + 1) if is_mixed or workload == "web" else None
        self.ssh = Ssh(path, seed=seed + 2) if is_mixed or workload == "ssh" else None
        self.call = Call(path) if is_mixed or workload == "voip" else None

    @property
    def applications(self) -> list[Application[Path]]:
        return [one for one in (self.pings, self.bulk, self.pages, self.ssh, self.call) if one is not None]

    def result(self, start: float, end: float, wire: int) -> Result:
        felt = {"ping": self.pings.rtts[: -int(SETTLE / PING_INTERVAL)]}
        carried = 0
        goodput = None
        each: tuple[float, ...] = ()
        if self.ssh is not None:
            felt["key"] = self.ssh.times(typed_before=end - SETTLE)
            carried += sum(time is not None for time in self.ssh.times()) * 2 * KEY_SIZE
        if self.call is not None:
            felt["frame"] = self.call.times[: -int(2 * SETTLE / FRAME_INTERVAL)]
            carried += sum(time is not None for time in self.call.times) * FRAME_SIZE
        if self.pages is not None:
            felt["page"] = (
                self.pages.times[:-1]
                if len(self.pages.times) > 1 and self.pages.times[-1] is None
                else self.pages.times
            )
            carried += self.pages.received
            goodput = self.pages.received * 8 / (end - start)
        if self.bulk is not None:
            deliveries = self.bulk.deliveries
            carried += self.bulk.sink.received
            goodput = self.bulk.goodput_bps(start, end)
            each = tuple(
                bytes_between(deliveries, start + second, start + second + 1) * 8.0
                for second in range(int(end - start))
            )
        carried += sum(rtt is not None for rtt in self.pings.rtts) * 2 * PING_SIZE
        latencies = {name: Latency.of(times) for name, times in felt.items()}
        return Result(0.0, goodput, latencies, wire / carried if carried else math.nan, each)


_BULKS: Final = {"bulk", "upload", "mixed"}

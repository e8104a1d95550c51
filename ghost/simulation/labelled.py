"""How often the diagnosis is right: runs whose cause is known, because they were made with it.

A run is a download with a ping beside it, over a link drawn by the seed, and the cause that is put into it some seconds
after the start. The end that sends the download is asked, as `why` would, at a moment drawn by the seed as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from ghost.chaos.spec import LinkSpec
from ghost.simulation.cubic import Cubic
from ghost.simulation.pair import Pair
from ghost.simulation.rivals import Outsider
from ghost.simulation.workloads import Bulk, Pings
from ghost.tunnel.diagnosis import Cause, Finding, Watch

SECONDS: Final = (16, 24)  # of the download until the question
ONSET: Final = 3  # seconds after which the cause sets in
PING_INTERVAL: Final = 0.2
CONNECT_LIMIT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Setting:
    """One run to be: `calm` before the cause sets in, `link` with it, and what else belongs to it."""

    label: Cause
    seed: int
    calm: LinkSpec
    link: LinkSpec
    seconds: int
    has_rival: bool = False
    server_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    setting: Setting
    finding: Finding

    @property
    def is_right(self) -> bool:
        return self.finding.cause is self.setting.label


def setting(label: Cause, seed: int) -> Setting:
    """The run of that label and seed."""
    rng = Random(f"{label.value} {seed}")
    calm = LinkSpec(
        rate_bps=round(rng.uniform(1e6, 5e6), -3),
        queue=rng.choice((0.1, 0.2, 0.4)),
        delay=rng.choice((0.01, 0.025, 0.05, 0.1)),
        jitter=rng.choice((0.0, 0.0, 0.002, 0.005)),
    )
    return _CAUSES[label](Setting(label, seed, calm, calm, rng.randint(*SECONDS)), rng)


def run(setting: Setting) -> Outcome:
    """Takes a second or two of CPU."""
    pair = Pair(setting.calm, seed=setting.seed, server_cost=setting.server_cost)
    pair.run_until_connected(CONNECT_LIMIT)
    pair.applications += [Bulk(pair, is_download=True, seed=setting.seed), Pings(pair, interval=PING_INTERVAL)]
    watch = Watch()
    for second in range(setting.seconds):
        if second == ONSET:
            pair.up.change(setting.link, pair.now)
            pair.down.change(setting.link, pair.now)
            if setting.has_rival:
                pair.applications.append(Outsider(pair, Cubic(), seed=setting.seed))
        busy = pair.busy
        pair.run(1.0)
        peers = pair.server.snapshot(pair.now)["peers"]
        if peers:
            watch.add(peers[0], cpu=min(1.0, pair.busy - busy))
    return Outcome(setting, watch.finding())


def _none(made: Setting, rng: Random) -> Setting:
    return made


def _loss(made: Setting, rng: Random) -> Setting:
    loss = rng.choice((0.02, 0.05, 0.1, 0.2, 0.3, 0.4))
    burst = rng.choice((1.0, 1.0, 3.0, 8.0))
    return replace(made, link=replace(made.calm, loss=loss, burst=burst))


def _queue(made: Setting, rng: Random) -> Setting:
    """A download of somebody else, in the same queue."""
    return replace(made, has_rival=True)


def _policer(made: Setting, rng: Random) -> Setting:
    """The link behind it has room, as where a plan is throttled; half of them lose a little by chance as well."""
    rate = made.calm.rate_bps or 0.0
    share, size = rng.uniform(0.25, 0.6), rng.choice((16_000, 32_000, 64_000))
    loss = rng.choice((0.0, 0.0, 0.01, 0.03))
    return replace(made, link=replace(made.calm, police_bps=round(share * rate, -3), police_bytes=size, loss=loss))


def _blackout(made: Setting, rng: Random) -> Setting:
    """Silence each time after some seconds, the first of them before the question."""
    length = rng.uniform(2.0, 5.0)
    period = length + rng.uniform(3.0, 8.0)
    loss = rng.choice((0.0, 0.0, 0.02, 0.1))
    return replace(made, link=replace(made.calm, blackout_length=length, blackout_period=period, loss=loss))


def _freeze(made: Setting, rng: Random) -> Setting:
    loss = rng.choice((0.0, 0.0, 0.02, 0.1))
    return replace(made, link=replace(made.calm, freeze_packets=rng.randint(50, 1000), loss=loss))


def _cpu(made: Setting, rng: Random) -> Setting:
    """The server needs longer for a datagram than the link has between two."""
    packets = (made.calm.rate_bps or 0.0) / (1480 * 8)
    return replace(made, server_cost=rng.uniform(0.9, 1.6) / packets)


_CAUSES: Final[dict[Cause, Callable[[Setting, Random], Setting]]] = {
    Cause.NONE: _none,
    Cause.LOSS: _loss,
    Cause.QUEUE: _queue,
    Cause.POLICER: _policer,
    Cause.BLACKOUT: _blackout,
    Cause.FREEZE: _freeze,
    Cause.CPU: _cpu,
}
LABELS: Final = tuple(_CAUSES)

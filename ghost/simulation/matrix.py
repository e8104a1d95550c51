"""The matrix: links of every loss, burst, round trip and rate, and what the tunnel makes of each.

A cell is a link, the same both ways, and a download over it, measured three times with one seed: a source that is
never short of packets (the tunnel alone), a CUBIC connection inside the tunnel, and one without any tunnel. Shares
are payload bytes of full segments delivered in order over what the link can deliver, (1 - loss) * rate; headers
alone keep them below 0.93 inside the tunnel. The first seconds, in which rates are found, are left out.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import product
from typing import Final

from ghost.chaos.spec import DEFAULT_QUEUE, LinkSpec
from ghost.simulation.measure import QueueWatch, percentile
from ghost.simulation.pair import Pair
from ghost.simulation.plain import PlainTransfer
from ghost.simulation.workloads import WIRE_SIZE, Bulk, Saturate

LOSSES: Final = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5)
BURSTS: Final = (1.0, 8.0)
RTTS: Final = (0.02, 0.1, 0.3, 0.6)
RATES_BPS: Final = (256e3, 1e6, 10e6, 50e6)

QUEUE_PACKETS: Final = 8  # the least a router queues: 100 ms would be two packets on the thinnest link
WARM_UP: Final = 3.0  # seconds left out, and so many round trips
WARM_UP_ROUND_TRIPS: Final = 6
MEASURED_SECONDS: Final = {256e3: 40.0, 1e6: 25.0, 10e6: 10.0, 50e6: 3.0}
"""As long as the CPU affords: a second costs in proportion to the rate."""
CONNECT_LIMIT: Final = 600.0  # seconds: at 50 % in bursts the first minute may not be enough
SEED: Final = 1


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """`rtt` in seconds without queues; `loss` each way, in bursts of `burst` packets on average (1: independent)."""

    rate_bps: float
    rtt: float
    burst: float
    loss: float

    @property
    def link(self) -> LinkSpec:
        queue = max(DEFAULT_QUEUE, QUEUE_PACKETS * self.packet_time)
        return LinkSpec(self.rate_bps, queue=queue, delay=self.rtt / 2, loss=self.loss, burst=self.burst)

    @property
    def packet_time(self) -> float:
        """Seconds that the link needs for a full packet."""
        return WIRE_SIZE * 8 / self.rate_bps

    @property
    def warm_up(self) -> float:
        return WARM_UP + WARM_UP_ROUND_TRIPS * self.rtt

    @property
    def measured(self) -> float:
        """Seconds; a rate between those of the grid is measured like the next lower one."""
        known = [rate for rate in RATES_BPS if rate <= self.rate_bps]
        return MEASURED_SECONDS[max(known, default=RATES_BPS[0])]

    @property
    def cost(self) -> float:
        """CPU time to expect, in no unit."""
        return (self.warm_up + self.measured) * (self.rate_bps + 1e5) * (1 + 2 * self.loss)


@dataclass(frozen=True, slots=True)
class Figures:
    """cubic, saturated, plain  goodput as a share of (1 - loss) * rate
    delay_p50_ms, _p99_ms    of the saturated tunnel, in order, beyond the path's delay and one packet time
    wire                     bytes sent on the link per payload byte delivered, saturated
    queue_p95_ms             waiting in front of the link, saturated
    """

    cubic: float
    saturated: float
    plain: float
    delay_p50_ms: float
    delay_p99_ms: float
    wire: float
    queue_p95_ms: float


TOLERANCES: Final[Mapping[str, tuple[float, float]]] = {
    "cubic": (0.03, 0.0),
    "saturated": (0.02, 0.0),
    "plain": (0.03, 0.0),
    "delay_p50_ms": (5.0, 0.2),
    "delay_p99_ms": (15.0, 0.2),
    "wire": (0.02, 0.02),
    "queue_p95_ms": (2.0, 0.2),
}
"""What a figure may differ without being news: so much, or this share of its former value if that is more. Any
change in the algorithms draws other random numbers."""


def cells(
    *,
    losses: Iterable[float] = LOSSES,
    bursts: Iterable[float] = BURSTS,
    rtts: Iterable[float] = RTTS,
    rates_bps: Iterable[float] = RATES_BPS,
) -> list[Cell]:
    """The cells with these values; no loss has no bursts."""
    return sorted(
        {
            Cell(rate_bps, rtt, burst if loss else 1.0, loss)
            for rate_bps, rtt, burst, loss in product(rates_bps, rtts, bursts, losses)
        }
    )


def measure(cell: Cell) -> Figures:
    """Takes from a tenth of a second for the thinnest link to half a minute for the fastest."""
    ceiling = cell.rate_bps * (1 - cell.loss)
    saturated, delays, wire, queue = _measure_saturated(cell)
    return Figures(
        cubic=round(_measure_cubic(cell) / ceiling, 3),
        saturated=round(saturated / ceiling, 3),
        plain=round(_measure_plain(cell) / ceiling, 3),
        delay_p50_ms=round(percentile(delays, 0.5) * 1e3, 1),
        delay_p99_ms=round(percentile(delays, 0.99) * 1e3, 1),
        wire=round(wire, 3),
        queue_p95_ms=round(percentile(queue, 0.95) * 1e3, 1),
    )


def differences(old: Figures, new: Figures) -> dict[str, tuple[float, float]]:
    """Of figures that differ by more than their tolerance: name to (old, new)."""
    found = {}
    for name, (least, share) in TOLERANCES.items():
        was, now = getattr(old, name), getattr(new, name)
        if abs(now - was) > max(least, share * abs(was)) or math.isnan(was) is not math.isnan(now):
            found[name] = (was, now)
    return found


def decode(text: str) -> dict[Cell, Figures]:
    """The table that `encode` made a text of."""
    return {
        Cell(
            rate_bps=float(row["rate_kbps"]) * 1e3,
            rtt=float(row["rtt_ms"]) / 1e3,
            burst=float(row["burst"]),
            loss=float(row["loss_percent"]) / 100,
        ): Figures(**{field.name: float(row[field.name]) for field in fields(Figures)})
        for row in csv.DictReader(text.splitlines())
    }


def encode(table: Mapping[Cell, Figures]) -> str:
    """Comma-separated values: a head, then one row a cell, in the cells' order."""
    lines = [",".join(["rate_kbps", "rtt_ms", "burst", "loss_percent", *(field.name for field in fields(Figures))])]
    for cell in sorted(table):
        key = (cell.rate_bps / 1e3, cell.rtt * 1e3, cell.burst, cell.loss * 100)
        figures = asdict(table[cell]).values()
        lines.append(",".join([*(f"{value:g}" for value in key), *(str(value) for value in figures)]))
    return "\n".join(lines) + "\n"


def _connected_pair(cell: Cell) -> tuple[Pair, float, float]:
    """A pair whose client is up, and when to begin and to end the measurement."""
    pair = Pair(cell.link, seed=SEED)
    start = pair.run_until_connected(CONNECT_LIMIT) + cell.warm_up
    return pair, start, start + cell.measured


def _measure_saturated(cell: Cell) -> tuple[float, list[float], float, list[float]]:
    """(goodput in bits a second, extra delays, wire bytes per payload byte, waits in the link's queue)"""
    pair, start, end = _connected_pair(cell)
    traffic = Saturate(pair, is_download=True)
    watch = QueueWatch(pair.down, start)
    pair.applications += [traffic, watch]
    pair.run(start - pair.now)
    wire = -pair.down.stats.in_bytes
    pair.run(end - pair.now)
    wire += pair.down.stats.in_bytes
    goodput = traffic.goodput_bps(start, end)
    least = cell.rtt / 2 + cell.packet_time
    delays = [delay - least for time, delay in traffic.arrivals if time >= start]
    return goodput, delays, wire / max(1.0, goodput * cell.measured / 8), watch.delays


def _measure_cubic(cell: Cell) -> float:
    pair, start, end = _connected_pair(cell)
    traffic = Bulk(pair, is_download=True)
    pair.applications.append(traffic)
    pair.run(end - pair.now)
    return traffic.goodput_bps(start, end)


def _measure_plain(cell: Cell) -> float:
    transfer = PlainTransfer(cell.link, seed=SEED)
    end = cell.warm_up + cell.measured
    transfer.run(end)
    return transfer.goodput_bps(cell.warm_up, end)

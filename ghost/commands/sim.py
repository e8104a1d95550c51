"""`ghosttunnel sim`: what would I get on such a link? The real core in virtual time, beside the same without a tunnel.

Standard output holds the table, or JSON, and nothing that differs between two runs with one seed; progress goes to
standard error. A sweep repeats the run for several values of one key.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ghost.chaos.profiles import resolve
from ghost.chaos.spec import LinkSpec
from ghost.chaos.sweep import Sweep, parse_sweep
from ghost.chaos.trace import Trace
from ghost.commands import sim_diagnose
from ghost.commands.pictures import plots_for
from ghost.config import Parser, whole_number
from ghost.errors import ConfigError
from ghost.runtime.recorder import read_trace
from ghost.simulation.labelled import LABELS
from ghost.simulation.trial import WORKLOADS, Latency, Script, Trial
from ghost.simulation.trial import run as measure

HELP = "Simulate the tunnel over a bad link, beside the same link without it. Needs no root and touches no network."

LINK = "hostile-30"
SECONDS = 30
RATE_BPS = 20e6
"""Of a link that is described without one."""
_BAR = 24
_FELT = {
    "ping": "ping",
    "key": "key to echo",
    "frame": "frame, one way",
    "page": "page",
}


def configure(parser: Parser) -> None:
    parser.add_argument(
        "link",
        nargs="?",
        metavar="SPEC",
        help=f"the link, each way: as in chaos (default: {LINK}); without a rate it has 20mbit",
    )
    parser.add_argument("--down", metavar="SPEC", help="the link down to the client, where it differs from the one up")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="in place of a link: what `client --record` wrote")
    parser.add_argument(
        "--workload", choices=tuple(WORKLOADS), default="bulk",
        help="; ".join(f"{name}: {what}" for name, what in WORKLOADS.items()),
    )  # fmt: skip
    parser.add_argument("--secs", type=int, default=SECONDS, metavar="N", help=f"how long (default: {SECONDS})")
    parser.add_argument("--seed", type=whole_number, default=1, metavar="N", help="replay these losses (default: 1)")
    parser.add_argument("--sweep", metavar="KEY=FROM..TO", help="repeat for values of one key, such as loss=0..50%%, "
                        "or rate=64kbit..10mbit/8 for 8 of them")  # fmt: skip
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it, as .png or .svg")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--diagnose", type=int, metavar="N", help="measure instead how often `why` is right, in N runs "
                        "whose cause is known")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    trace = _trace(options)
    up, down = _links(options) if trace is None else (trace.up[0], trace.down[0])
    if not 3 <= options.secs <= 3600:
        raise ConfigError(f"--secs {options.secs} is out of range: give 3 to 3600, such as --secs 30")
    plots = None if options.plot is None else plots_for(options.plot)
    gc.disable()  # a run makes next to no cycles, and looking for them takes a fourteenth of its time
    if options.diagnose is not None:
        return _diagnose(options)
    sweep = parse_sweep(options.sweep) if options.sweep else None
    if sweep is None:
        trials = _measured([(up, down)], options, trace)
    else:
        trials = _measured([(sweep.put(up, value), sweep.put(down, value)) for value in sweep.values], options)
    if options.json:
        print(json.dumps(as_json(trials, sweep), indent=2))
    else:
        print("\n".join(table(trials[0]) if sweep is None else sweep_table(trials, sweep)))
    if plots is not None:
        if sweep is None:
            plots.trial(trials[0], options.plot)
        else:
            plots.sweep(trials, sweep, options.plot)
        print(f"wrote {options.plot}", file=sys.stderr)
    return 0


def table(trial: Trial) -> list[str]:
    """One run: a row for each figure, in the tunnel, without it, and what the link allows at best."""
    lines = [
        f"Link: {trial.name}",
        f"Workload: {trial.workload}, {WORKLOADS[trial.workload]}; {trial.seconds:g} s, seed {trial.seed}",
        "",
        f"{'':28}{'tunnel':>20}{'plain':>20}{'ceiling':>16}",
    ]
    both = (trial.tunnel, trial.plain)
    if trial.plain.goodput_bps is not None:
        ceiling = _rate(trial.ceiling_bps)
        lines.append(_row("goodput", [_rate(result.goodput_bps) for result in both], ceiling))
    for name, label in _FELT.items():
        if name not in trial.plain.latencies:
            continue
        each = [result.latencies.get(name) for result in both]
        round_trip = trial.up.delay + trial.down.delay
        least = "" if name == "page" or trial.is_played else _time(round_trip / 2 if name == "frame" else round_trip)
        lines.append(_row(f"{label}, p50/p95/p99", [_percentiles(one) for one in each], least))
        lines.append(_row(f"{label}, lost", [_lost(one) for one in each], ""))
    lines.append(_row("bytes on the wire per byte", [_ratio(result.wire) for result in both], ""))
    lines.append(_row("up after", [_time(trial.tunnel.up_after), "-"], ""))
    return lines


def sweep_table(trials: list[Trial], sweep: Sweep) -> list[str]:
    """A row for each value."""
    felt = next(name for name in ("page", "key", "frame", "ping") if name in trials[0].plain.latencies)
    if trials[0].workload in ("bulk", "upload", "mixed"):
        felt = "ping"
    has_goodput = trials[0].plain.goodput_bps is not None
    head = f"{sweep.key:>10}"
    if has_goodput:
        head += f"{'goodput':>16}{'plain':>16}{'ceiling':>16}"
    head += f"{felt + ' p50':>12}{'p99':>10}{'plain p50':>12}{'p99':>10}{'wire':>8}{'up after':>10}"
    first = trials[0]
    rest = f"the rest of the link: {first.up}"
    lines = [f"Workload: {first.workload}, {first.seconds:g} s, seed {first.seed}; {rest}"]
    lines += ["", head]
    for value, trial in zip(sweep.values, trials, strict=True):
        line = f"{sweep.name(value):>10}"
        if has_goodput:
            rates = (trial.tunnel.goodput_bps, trial.plain.goodput_bps, trial.ceiling_bps)
            line += "".join(f"{_rate(rate):>16}" for rate in rates)
        for result, width in ((trial.tunnel, 12), (trial.plain, 12)):
            latency = result.latencies.get(felt)
            line += f"{_time(getattr(latency, 'p50', math.nan)):>{width}}{_time(getattr(latency, 'p99', math.nan)):>10}"
        lines.append(f"{line}{_ratio(trial.tunnel.wire):>8}{_time(trial.tunnel.up_after):>10}")
    return lines


def as_json(trials: list[Trial], sweep: Sweep | None) -> dict[str, Any]:
    """All figures: rates in bits a second, times in seconds, null for what does not exist."""
    first = trials[0]
    points = [
        {
            "up": trial.name if trial.is_played else str(trial.up),
            "down": trial.name if trial.is_played else str(trial.down),
            "ceiling_bps": trial.ceiling_bps,
            "tunnel": _finite(asdict(trial.tunnel)),
            "plain": _finite(asdict(trial.plain)),
        }
        for trial in trials
    ]
    swept = {"sweep": {"key": sweep.key, "values": [sweep.name(value) for value in sweep.values]}} if sweep else {}
    return {"workload": first.workload, "seconds": first.seconds, "seed": first.seed, **swept, "points": points}


def _links(options: argparse.Namespace) -> tuple[LinkSpec, LinkSpec]:
    """Up and down, each with a rate: on an unlimited link a download would take all CPU there is."""
    up = resolve(options.link or LINK)
    down = resolve(options.down) if options.down else up
    up, down = (link if link.rate_bps else replace(link, rate_bps=RATE_BPS) for link in (up, down))
    return up, down


def _diagnose(options: argparse.Namespace) -> int:
    if not 1 <= options.diagnose <= 100_000:
        raise ConfigError(f"--diagnose {options.diagnose} is out of range: give 1 to 100000, such as --diagnose 210")
    with Progress(-(-options.diagnose // len(LABELS)) * len(LABELS)) as bar:
        outcomes = sim_diagnose.measure(options.diagnose, seed=options.seed, progress=bar.of)
    print("\n".join(sim_diagnose.table(outcomes)))
    return 0


def _trace(options: argparse.Namespace) -> Trace | None:
    if options.trace is None:
        return None
    if options.link or options.down or options.sweep:
        raise ConfigError("--trace takes the place of a link, and nothing of it can be swept: leave the others out")
    return read_trace(options.trace)


def _measured(
    links: list[tuple[LinkSpec, LinkSpec]], options: argparse.Namespace, trace: Trace | None = None
) -> list[Trial]:
    script = None if trace is None else Script(trace.up, trace.down, trace.interval, options.trace.name)
    trials = []
    with Progress(len(links)) as bar:
        for number, (up, down) in enumerate(links):
            trials.append(
                measure(
                    up, down, workload=options.workload, seconds=options.secs, seed=options.seed, script=script,
                    progress=bar.of(number),
                )
            )  # fmt: skip
            if number + 1 < len(links):
                gc.collect()
    return trials


class Progress:
    """A bar on standard error with the time that is left; nothing where that is no terminal."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._began = time.monotonic()
        self._is_shown = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            print(f"\r{'':78}\r", end="", file=sys.stderr, flush=True)

    def of(self, number: int) -> Callable[[float], None]:
        """What the run of that number reports its share to."""
        return lambda share: self._show((number + share) / self._count)

    def _show(self, share: float) -> None:
        if self._is_shown:
            done = int(_BAR * share)
            left = (time.monotonic() - self._began) * (1 / share - 1)
            bar = "#" * done + "." * (_BAR - done)
            print(f"\rsimulating [{bar}] {share:4.0%}, {left:.0f} s left{'':8}", end="", file=sys.stderr, flush=True)


def _row(label: str, both: list[str], ceiling: str) -> str:
    return f"{label:28}{both[0]:>20}{both[1]:>20}{ceiling:>16}".rstrip()


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e6:.2f} Mbit/s" if value >= 1e6 else f"{value / 1e3:.1f} kbit/s"


def _time(seconds: float | None) -> str:
    if seconds is None or math.isnan(seconds):
        return "never" if seconds is None else "-"
    return f"{seconds * 1e3:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def _percentiles(latency: Latency | None) -> str:
    if latency is None or math.isnan(latency.p50):
        return "-"
    p50, p95, p99 = (seconds * 1e3 for seconds in (latency.p50, latency.p95, latency.p99))
    return f"{p50:.0f}/{p95:.0f}/{p99:.0f} ms" if p99 < 1e5 else f"{p50 / 1e3:.0f}/{p95 / 1e3:.0f}/{p99 / 1e3:.0f} s"


def _ratio(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _lost(latency: Latency | None) -> str:
    return "-" if latency is None or not latency.count else f"{latency.lost / latency.count:.1%}"


def _finite(value: Any) -> Any:
    """JSON has no nan."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value

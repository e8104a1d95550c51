"""Pictures of what was measured, as PNG or SVG: the one place that knows matplotlib.

An SVG of the same figures is the same file byte for byte: its ids are salted, and it carries no date.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from ghost.chaos.sweep import Sweep
from ghost.commands.demo_board import Second
from ghost.errors import HostError
from ghost.simulation.trial import Trial

matplotlib.rcParams["svg.hashsalt"] = "ghosttunnel"
SIZE = (8.0, 6.0)  # inches
DPI = 110
TUNNEL, PLAIN, LIMIT, LOST = "tab:blue", "tab:orange", "tab:gray", "tab:red"


def trial(measured: Trial, path: Path) -> None:
    """One run: goodput of each second above, if something was transferred in bulk, and the round trips that were felt
    below."""
    both = ((measured.tunnel, "tunnel", TUNNEL), (measured.plain, "plain", PLAIN))
    has_rates = any(result.seconds_bps for result, _, _ in both)
    figure, panels = pyplot.subplots(1 + has_rates, 1, figsize=SIZE, squeeze=False)
    delays = panels[-1, 0]
    if has_rates:
        _rates(measured, panels[0, 0])
    panels[0, 0].set_title(f"{measured.workload}, {measured.name}")
    names = list(measured.plain.latencies)
    for offset, (result, label, colour) in enumerate(both):
        places = [index + 0.4 * offset - 0.2 for index in range(len(names))]
        for share, strength in (("p99", 0.35), ("p50", 1.0)):
            heights = [_ms(result.latencies.get(name), share) for name in names]
            delays.bar(places, heights, width=0.36, color=colour, alpha=strength, label=f"{label}, {share}")
    delays.set_xticks(range(len(names)), names)
    delays.set(ylabel="ms", yscale=_scale([measured]))
    _finish(figure, list(panels[:, 0]), path)


def sweep(trials: Sequence[Trial], swept: Sweep, path: Path) -> None:
    """Goodput above and the ping below, over the values of the key."""
    figure, (rates, delays) = pyplot.subplots(2, 1, figsize=SIZE, sharex=True)
    names = [swept.name(value) for value in swept.values]
    places = range(len(names))
    for kind, colour in (("tunnel", TUNNEL), ("plain", PLAIN)):
        results = [getattr(one, kind) for one in trials]
        rates.plot(places, [(one.goodput_bps or 0.0) / 1e6 for one in results], "o-", color=colour, label=kind)
        for share, style in (("p50", "o-"), ("p99", "o--")):
            values = [_ms(one.latencies.get("ping"), share) for one in results]
            delays.plot(places, values, style, color=colour, label=f"{kind}, {share}", markersize=3)
    ceilings = [math.nan if one.ceiling_bps is None else one.ceiling_bps / 1e6 for one in trials]
    rates.plot(places, ceilings, ":", color=LIMIT, label="ceiling")
    rates.set(ylabel="goodput, Mbit/s", title=f"{trials[0].workload} over {trials[0].up}, {swept.key} varied")
    delays.set_xticks(places, names)
    delays.set(ylabel="ping, ms", yscale=_scale(trials), xlabel=swept.key)
    _finish(figure, (rates, delays), path)


def spike(seconds: Sequence[Second], path: Path) -> None:
    """Goodput over time, with the loss drawn under it."""
    figure, (rates, losses) = pyplot.subplots(2, 1, figsize=SIZE, sharex=True, height_ratios=(3, 1))
    times = [0.0, *(second.time for second in seconds)]
    rates.stairs([second.rate_bps / 1e6 for second in seconds], times, color=TUNNEL, fill=True, label="goodput")
    rates.set(ylabel="Mbit/s", title="One download while the link gets worse and recovers", ylim=(0, None))
    losses.stairs([100 * second.loss for second in seconds], times, color=LOST, fill=True, label="loss each way")
    losses.set(xlabel="seconds", ylabel="loss, %", ylim=(0, 100))
    _finish(figure, (rates, losses), path)


def _rates(measured: Trial, axes: Any) -> None:
    for result, label, colour in ((measured.tunnel, "tunnel", TUNNEL), (measured.plain, "plain", PLAIN)):
        each = [rate / 1e6 for rate in result.seconds_bps]
        if each:  # a tunnel that never came up has none
            axes.step(range(len(each) + 1), [*each, each[-1]], where="post", color=colour, label=label)
    if measured.ceiling_bps is not None:
        axes.axhline(measured.ceiling_bps / 1e6, color=LIMIT, linestyle=":", label="ceiling")
    axes.set(xlabel="seconds", ylabel="goodput, Mbit/s", ylim=(0, None))


def _scale(trials: Sequence[Trial]) -> str:
    """Logarithmic, unless nothing ever came back."""
    results = [result for one in trials for result in (one.tunnel, one.plain)]
    has_times = any(latency.p50 > 0 for result in results for latency in result.latencies.values())
    return "log" if has_times else "linear"


def _ms(latency: Any, share: str) -> float:
    return math.nan if latency is None else getattr(latency, share) * 1e3


def _finish(figure: Any, panels: Sequence[Any], path: Path) -> None:
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
        axes.title.set_fontsize(9)
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise HostError(f"cannot write {path} ({error.strerror}): choose another --plot") from error
    finally:
        pyplot.close(figure)

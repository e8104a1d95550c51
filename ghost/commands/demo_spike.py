"""`ghosttunnel demo --spike`: one download inside the tunnel, while the link gets worse, falls silent and recovers.

The loss takes six steps, 0 -> 30 -> 50 -> silence -> 30 -> 0 %, each way. The dashboard shows it, or a line a second
beside the goodput (demo_board.py). At the end comes a row for each step, a chart, and for each promise whether it was
kept. The download's own reports drive the steps, so no line mixes two of them.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from ghost.chaos.spec import LinkSpec
from ghost.commands.demo_board import SILENCE, Lines, Second, View, view_on
from ghost.commands.demo_stage import INNER_SERVER, Download, Echoes, Interruption, Pings, Report, start_tunnel
from ghost.runtime.namespaces import NamespacePair

LOSSES = (0.0, 0.3, 0.5, SILENCE, 0.3, 0.0)
SECONDS = 7
"""For each step but the blackout: time to learn of the change, and to see what is made of it."""
SILENT_SECONDS = 4
REPORT_INTERVAL = 0.25  # seconds: how exactly the return after the blackout is known

PINGS_LOST = 0.02
"""Share of the pings that may be lost: those under way when the loss jumps were sent without copies ahead of it."""
LATENCY = 0.1
"""Seconds beyond the path's own round trip that the median ping of any step may take."""
RETURN = 3.0
"""Seconds after the blackout until the download must go on. The tunnel probes at least every second, and after some
seconds of silence the inner TCP may wait for about as long as those lasted."""
_LEVELS = " ▁▂▃▄▅▆▇█"


@dataclass(slots=True)
class Step:
    """What was measured while the link lost `loss`: its first moment, its seconds and the pings."""

    loss: float
    began: float = 0.0
    first_news: float | None = None
    """Seconds from its beginning until bytes came, None if none did."""
    seconds: list[Second] = field(default_factory=list)
    echoes: Echoes = field(default_factory=lambda: Echoes(0, []))


def run(link: LinkSpec, *, seconds: int, seed: int, plot: Callable[[list[Second]], None] | None = None) -> int:
    """`seconds` for each step; 0 if every promise was kept, 1 otherwise."""
    links = [replace(link, loss=loss, burst=1.0 if loss == SILENCE else link.burst) for loss in LOSSES]
    stop = Interruption()
    with tempfile.TemporaryDirectory(prefix="ghostdemo") as folder, NamespacePair("demo") as pair:
        pair.impaired(links[0], seed=seed)
        names = " -> ".join("silence" if loss == SILENCE else f"{loss:.0%}" for loss in LOSSES)
        print(f"Link, each way: {links[0]}, loss {names}", flush=True)
        print(f"The tunnel is up after {start_tunnel(pair, stop, Path(folder), link=link):.1f} s.", flush=True)
        with view_on(Path(folder) / "server", Lines(link.rate_bps)) as view:
            steps, last = _download(pair, stop, links, lengths(seconds), seed, view)
    each = [second for step in steps for second in step.seconds]
    print()
    print("\n".join([*table(steps), "", *chart(each, link.rate_bps), ""]))
    kept = promises(steps, last, sum(lengths(seconds)), 2 * link.delay)
    print("\n".join(f"{'kept' if is_kept else 'BROKEN':8}{text}" for text, is_kept in kept.items()))
    if plot is not None:
        plot(each)
    return 0 if all(kept.values()) else 1


def lengths(seconds: int) -> list[int]:
    """Seconds of each step."""
    return [min(SILENT_SECONDS, seconds) if loss == SILENCE else seconds for loss in LOSSES]


def table(steps: list[Step]) -> list[str]:
    """One line for each step."""
    lines = [f"{'loss':>8}{'goodput':>16}{'pings lost':>14}{'ping, median':>16}"]
    for step in steps:
        rates = [second.rate_bps for second in step.seconds]
        goodput = sum(rates) / len(rates) / 1e6 if rates else 0.0
        lost = f"{step.echoes.lost} of {step.echoes.sent}"
        name = "silence" if step.loss == SILENCE else f"{step.loss:.0%}"
        lines.append(f"{name:>8}{goodput:>9.2f} Mbit/s{lost:>14}{step.echoes.median:>16}")
    return lines


def chart(seconds: list[Second], scale_bps: float | None) -> list[str]:
    """Goodput over time, one column a second, and the loss under it."""
    scale = scale_bps or max((second.rate_bps for second in seconds), default=1.0) or 1.0
    rates = "".join(_level(second.rate_bps / scale) for second in seconds)
    losses = "".join(_level(second.loss) for second in seconds)
    return [f"goodput  {rates}", f"loss     {losses}"]


def promises(steps: list[Step], last: Report, seconds: int, round_trip: float) -> dict[str, bool]:
    """What the tunnel promises through all of it, in a sentence with the figure, and whether it was kept.

    A blackout's own seconds, and those in which it may be coming back, promise nothing.
    """
    owed = _owed(steps)
    rates = [second.rate_bps for second in owed]
    missing = max(0, seconds - int(last.seconds + 0.5))
    silent = sum(rate == 0 for rate in rates) + missing
    slowest = f"the slowest carried {min(rates, default=0.0) / 1e6:.2f} Mbit/s"
    verb = "are what was sent" if last.is_intact else "are NOT what was sent"
    heard = [step for step in steps if step.loss != SILENCE]
    lost, sent = sum(step.echoes.lost for step in heard), sum(step.echoes.sent for step in heard)
    medians = [statistics.median(step.echoes.times) for step in heard if step.echoes.times]
    worst = max(medians, default=float("inf"))
    limit = round_trip + LATENCY
    kept = {
        f"nothing arrived in {silent} of {seconds} seconds"
        if silent
        else f"it went on in each second with a link, {slowest}": not silent,
        f"the {last.received / 1e6:.2f} MB that arrived {verb}, by their SHA-256": last.is_intact,
        f"{lost} of {sent} pings were lost, {PINGS_LOST:.0%} may be": sent > 0 and lost <= PINGS_LOST * sent,
        f"the median ping of the worst step took {worst * 1e3:.0f} ms, {limit * 1e3:.0f} ms may be": worst <= limit,
    }
    for former, step in pairwise(steps):
        if former.loss == SILENCE:
            after = step.first_news
            back = "it never came back after the silence"
            if after is not None:
                back = f"it came back {after:.1f} s after the silence, {RETURN:.0f} s may pass"
            kept[back] = after is not None and after <= RETURN
    return kept


def _owed(steps: list[Step]) -> list[Second]:
    """The seconds in which something has to arrive."""
    owed, not_before = [], 0.0
    for step in steps:
        if step.loss == SILENCE:
            not_before = float("inf")
        elif not_before == float("inf"):
            not_before = step.began + RETURN
        owed += [second for second in step.seconds if second.time - 1 >= not_before]
    return owed


def seconds_between(told: Report, report: Report, loss: float) -> list[Second]:
    """The whole seconds that have passed since `told`: none or one, but on a busy machine a report may be late, and
    then each that went by without one has its part."""
    first, last = int(told.seconds) + 1, int(report.seconds)
    ends = [*map(float, range(first, last)), report.seconds] if first <= last else []
    speed = (report.received - told.received) / max(report.seconds - told.seconds, 1e-9)
    return [Second(end, loss, speed * 8, told.received + round(speed * (end - told.seconds))) for end in ends]


def _level(share: float) -> str:
    steps = len(_LEVELS) - 1
    return _LEVELS[min(steps, max(1 if share > 0 else 0, round(share * steps)))]


def _download(
    pair: NamespacePair, stop: Interruption, links: list[LinkSpec], lasting: list[int], seed: int, view: View
) -> tuple[list[Step], Report]:
    """Download through all the steps; returns what was measured in each, and the last report."""
    assert pair.link is not None
    steps = [Step(loss) for loss in LOSSES]
    pings = [Pings(pair, INNER_SERVER, seconds=lasting[0])]
    download = Download(pair, INNER_SERVER, seconds=sum(lasting), seed=seed, interval=REPORT_INTERVAL)
    told = former = Report(0.0, 0)
    for report in download.reports(stop):
        step = steps[len(pings) - 1]
        if step.first_news is None and report.received > former.received:
            step.first_news = report.seconds - step.began
        former = report
        if passed := seconds_between(told, report, step.loss):
            told = report
            step.seconds += passed
            for second in passed:
                view.show(second)
        if len(pings) < len(steps) and report.seconds >= sum(lasting[: len(pings)]):
            following = len(pings)
            pair.link.change("both", links[following])
            steps[following].began = report.seconds
            pings.append(Pings(pair, INNER_SERVER, seconds=lasting[following]))
    for step, sent in zip(steps, pings, strict=False):
        step.echoes = sent.result()
    download.close()
    return steps, report

"""`ghosttunnel demo --spike`: one download inside the tunnel, while the link gets worse and better again.

The loss takes five steps, 0 -> 30 -> 50 -> 30 -> 0 %, each way, and a line a second shows it beside the goodput.
At the end comes a row for each step, and for each promise whether it was kept. The download's own reports drive the
steps, so no line mixes two of them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from ghost.chaos.spec import LinkSpec
from ghost.commands.demo_stage import INNER_SERVER, Download, Echoes, Interruption, Pings, Report, start_tunnel
from ghost.runtime.namespaces import NamespacePair

LOSSES = (0.0, 0.3, 0.5, 0.3, 0.0)
SECONDS = 8
"""For each step: time to learn of the change, and to see what is made of it."""
PINGS_LOST = 0.02
"""Share of the pings that may be lost: those under way when the loss jumps were sent without copies ahead of it."""
_BAR = 30


@dataclass(slots=True)
class Step:
    """What was measured while the link lost `loss`: the goodput of each second, and the pings."""

    loss: float
    rates_bps: list[float] = field(default_factory=list)
    echoes: Echoes = field(default_factory=lambda: Echoes(0, []))


def run(link: LinkSpec, *, seconds: int, seed: int) -> int:
    """`seconds` for each step; 0 if every promise was kept, 1 otherwise."""
    links = [replace(link, loss=loss) for loss in LOSSES]
    stop = Interruption()
    with tempfile.TemporaryDirectory(prefix="ghostdemo") as folder, NamespacePair("demo") as pair:
        pair.impaired(links[0], seed=seed)
        print(f"Link, each way: {links[0]}, loss {' -> '.join(f'{100 * loss:.0f}' for loss in LOSSES)} %", flush=True)
        print(f"The tunnel is up after {start_tunnel(pair, stop, Path(folder)):.1f} s.", flush=True)
        steps, last = _download(pair, stop, links, seconds, seed)
    print()
    print("\n".join(table(steps)))
    print()
    kept = promises(steps, last, seconds * len(LOSSES))
    print("\n".join(f"{'kept' if is_kept else 'BROKEN':8}{text}" for text, is_kept in kept.items()))
    return 0 if all(kept.values()) else 1


def table(steps: list[Step]) -> list[str]:
    """One line for each step."""
    lines = [f"{'loss':>6}{'goodput':>16}{'pings lost':>14}{'ping, median':>16}"]
    for step in steps:
        goodput = sum(step.rates_bps) / len(step.rates_bps) / 1e6 if step.rates_bps else 0.0
        lost = f"{step.echoes.lost} of {step.echoes.sent}"
        lines.append(f"{step.loss:>6.0%}{goodput:>9.2f} Mbit/s{lost:>14}{step.echoes.median:>16}")
    return lines


def promises(steps: list[Step], last: Report, seconds: int) -> dict[str, bool]:
    """What the tunnel promises through all of it, in a sentence with the figure, and whether it was kept."""
    rates = [rate for step in steps for rate in step.rates_bps]
    silent = sum(rate == 0 for rate in rates) + max(0, seconds - int(last.seconds + 0.5))
    lost, sent = sum(step.echoes.lost for step in steps), sum(step.echoes.sent for step in steps)
    went_on = f"it went on in each of {seconds} seconds, the slowest carried {min(rates, default=0.0) / 1e6:.2f} Mbit/s"
    verb = "are what was sent" if last.is_intact else "are NOT what was sent"
    return {
        f"nothing arrived in {silent} of {seconds} seconds" if silent else went_on: not silent,
        f"the {last.received / 1e6:.2f} MB that arrived {verb}, by their SHA-256": last.is_intact,
        f"{lost} of {sent} pings were lost, {PINGS_LOST:.0%} may be": sent > 0 and lost <= PINGS_LOST * sent,
    }


def _download(
    pair: NamespacePair, stop: Interruption, links: list[LinkSpec], seconds: int, seed: int
) -> tuple[list[Step], Report]:
    """Download through all the steps; returns what was measured in each, and the last report."""
    assert pair.link is not None
    scale = links[0].rate_bps
    steps = [Step(loss) for loss in LOSSES]
    pings = [Pings(pair, INNER_SERVER, seconds=seconds)]
    download = Download(pair, INNER_SERVER, seconds=seconds * len(steps), seed=seed)
    former = Report(0.0, 0)
    for report in download.reports(stop):
        if int(report.seconds) == int(former.seconds):
            continue
        step = steps[len(pings) - 1]
        rate = (report.received - former.received) * 8 / (report.seconds - former.seconds)
        step.rates_bps.append(rate)
        former = report
        bar = "#" * round(_BAR * min(1.0, rate / (scale or max(rate, 1.0))))
        print(
            f"{report.seconds:3.0f} s  loss {step.loss:4.0%}  [{bar:.<{_BAR}}] "
            f"{rate / 1e6:6.2f} Mbit/s {report.received / 1e6:7.2f} MB",
            flush=True,
        )
        if len(pings) < len(steps) and report.seconds >= seconds * len(pings):
            pair.link.change("both", links[len(pings)])
            pings.append(Pings(pair, INNER_SERVER, seconds=seconds))
    for step, sent in zip(steps, pings, strict=False):
        step.echoes = sent.result()
    download.close()
    return steps, report

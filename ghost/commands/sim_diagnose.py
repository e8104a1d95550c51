"""`ghosttunnel sim --diagnose N`: how often `why` is right, over N runs whose cause is known."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Sequence

from ghost.simulation.labelled import LABELS, Outcome, run, setting


def measure(count: int, *, seed: int, progress: Callable[[int], Callable[[float], None]]) -> list[Outcome]:
    """About `count` runs, as many of each cause. `progress` gives what the run of that number tells its share to."""
    each = -(-count // len(LABELS))
    settings = [setting(label, seed + number) for number in range(each) for label in LABELS]
    outcomes = []
    for number, one in enumerate(settings):
        outcomes.append(run(one))
        gc.collect()  # as in ghost.commands.sim, of which this is a part: not during a run
        progress(number)(1.0)
    return outcomes


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """What was found, in columns, for each cause that was put in; then the share that was right, and what was not."""
    found = Counter((outcome.setting.label, outcome.finding.cause) for outcome in outcomes)
    lines = [f"{'put in':14}" + "".join(f"{label.value:>13}" for label in LABELS)]
    for label in LABELS:
        lines.append(f"{label.value:14}" + "".join(f"{found[label, cause] or '':>13}" for cause in LABELS))
    right = sum(outcome.is_right for outcome in outcomes)
    lines += ["", f"right in {right} of {len(outcomes)} runs, {right / len(outcomes):.1%}"]
    for outcome in outcomes:
        if not outcome.is_right:
            made = outcome.setting
            lines.append(f"{made.label.value} {made.seed}, {made.link}: {outcome.finding.sentence}")
    return lines

"""How soon a download uses the link: START finds the rate, and the inner TCP does not leave slow start before that."""

from __future__ import annotations

import statistics

import pytest

from ghost.chaos.spec import parse
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Bulk

SEEDS = range(1, 5)


def share(spec: str, *, seed: int, start: float, end: float, is_download: bool) -> float:
    """Of what can arrive, between two times of a transfer that begins a second after the tunnel is up."""
    link = parse(spec)
    pair = Pair(link, seed=seed)
    pair.run_until_connected()
    pair.run(1)
    bulk, began = Bulk(pair, is_download=is_download, seed=seed), pair.now
    pair.applications.append(bulk)
    pair.run(end)
    assert link.rate_bps is not None
    return bulk.goodput_bps(began + start, began + end) / link.rate_bps / (1 - link.loss)


@pytest.mark.parametrize("is_download", [True, False])
@pytest.mark.parametrize(
    ("spec", "start", "end", "least"),
    [
        ("rate=10mbit,delay=50ms,queue=100ms,loss=10%", 1, 3.5, 0.8),
        ("rate=10mbit,delay=50ms,queue=100ms,loss=30%", 1, 3.5, 0.74),
        ("rate=5mbit,delay=300ms,queue=300ms,loss=3%", 5, 12, 0.7),
        ("rate=10mbit,delay=90ms±40ms,queue=100ms,loss=10%,reorder=5%", 5, 12, 0.65),
    ],
)
def test_a_transfer_is_soon_at_the_links_rate(
    spec: str, start: float, end: float, least: float, is_download: bool
) -> None:
    shares = [share(spec, seed=seed, start=start, end=end, is_download=is_download) for seed in SEEDS]
    assert statistics.median(shares) >= least, shares

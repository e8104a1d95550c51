"""What a reload changes in connections that stand already: the bound on the rate, and nothing else."""

from __future__ import annotations

import pytest

from ghost.chaos.spec import parse
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Bulk


@pytest.mark.parametrize("is_download", [True, False], ids=["server", "client"])
def test_a_bound_on_the_rate_holds_at_once_and_goes_again(is_download: bool) -> None:
    pair = Pair(parse("rate=10mbit,delay=20ms"), seed=1)
    pair.run_until_connected()
    bulk = Bulk(pair, is_download=is_download)
    pair.applications.append(bulk)
    sender = pair.server if is_download else pair.client
    way = pair.down if is_download else pair.up

    def megabits(seconds: float) -> float:
        before = way.stats.in_bytes
        pair.run(seconds)
        return (way.stats.in_bytes - before) * 8 / seconds / 1e6

    pair.run(3.0)
    assert megabits(2.0) > 7
    sender.reconfigure(profile="noise", compression="auto", max_rate_bps=2e6)
    pair.run(0.2)
    assert 1 < megabits(2.0) <= 2.1
    sender.reconfigure(profile="noise", compression="auto", max_rate_bps=None)
    pair.run(3.0)
    assert megabits(2.0) > 5

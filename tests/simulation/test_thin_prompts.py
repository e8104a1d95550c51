"""Pings alone on a path so thin that their copies would fill it: nobody has measured it, and nobody floods it."""

from __future__ import annotations

import pytest

from ghost.chaos.spec import parse
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import PING_INTERVAL, Pings


@pytest.mark.parametrize(
    ("link", "most"),
    [("128kbit,loss=30%", 0.31), ("64kbit,loss=10%", 0.55), ("256kbit,loss=50%", 0.3), ("256kbit,loss=30%", 0.26)],
)
def test_copies_of_lone_pings_leave_a_thin_path_its_room(link: str, most: float) -> None:
    """Without a bound they take 0.86, 1.0 to 3.5, and 0.8 of it; the pings themselves 0.2, 0.4 and 0.1."""
    for seed in (1, 2):
        pair = Pair(parse(f"rate={link},delay=50ms"), seed=seed)
        pair.run_until_connected(limit=60)
        pings = Pings(pair)
        pair.applications.append(pings)
        pair.run(4)  # what tells of it may be lost a few times
        before = pair.up.stats.in_bytes + pair.down.stats.in_bytes
        pair.run(8)
        taken = pair.up.stats.in_bytes + pair.down.stats.in_bytes - before
        assert taken <= most * 2 * 8 * pair.up.spec.rate_bps / 8, f"seed {seed}"
        assert pings.lost(sent_before=pair.now - 2) <= 0.02 * len(pings.rtts)


def test_copies_on_a_wide_path_are_as_many_as_its_loss_asks_for() -> None:
    pair = Pair(parse("rate=10mbit,delay=50ms±5ms,loss=30%"), seed=1)
    pair.run_until_connected(limit=60)
    pair.applications.append(Pings(pair))
    pair.run(3)
    before = pair.up.stats.in_packets
    pair.run(10)
    assert (pair.up.stats.in_packets - before) * PING_INTERVAL / 10 > 4.5

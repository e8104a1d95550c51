"""Contests on one bottleneck: the instrument, and two tunnels side by side."""

from __future__ import annotations

import pytest

from ghost.chaos.spec import parse
from ghost.simulation.rivals import Contest, RivalKind

LINK = parse("rate=4mbit,delay=25ms,queue=100ms")


@pytest.mark.parametrize("rival", ["cubic", "bbr", "tunnel"])
def test_what_both_get_is_what_the_one_link_carries(rival: RivalKind) -> None:
    contest = Contest(LINK, rival=rival)
    contest.run(8)
    both = [second.tunnel_bps + second.rival_bps for second in contest.seconds[3:]]
    assert 0.85 * 4e6 <= sum(both) / len(both) <= 4e6


def test_each_comes_when_it_is_told_to() -> None:
    contest = Contest(LINK, rival="cubic", tunnel_start=3)
    contest.run(6)
    assert [bool(second.tunnel_bps) for second in contest.seconds] == [False, False, False, True, True, True]
    assert contest.seconds[1].rival_bps > 0.85 * 4e6
    assert contest.seconds[1].mode == "-"
    assert contest.seconds[5].mode != "-"
    assert contest.share(0, 3) == 0
    assert 0 < contest.share(3, 6) < 1


def test_a_tunnel_may_be_up_before_its_traffic() -> None:
    contest = Contest(LINK, rival="cubic", tunnel_start=3, connects_early=True)
    contest.run(2)
    assert contest.seconds[1].mode != "-"
    assert contest.seconds[1].tunnel_bps == 0


def test_the_same_seed_gives_the_same_contest() -> None:
    contests = [Contest(LINK, rival="bbr", rival_start=1, seed=3) for _ in range(2)]
    for contest in contests:
        contest.run(3)
    assert contests[0].seconds == contests[1].seconds

"""A tunnel and somebody else on one bottleneck of 10 Mbit/s: neither starves, whoever came first."""

from __future__ import annotations

import pytest

from ghost.chaos.spec import LinkSpec
from ghost.simulation.rivals import Contest, RivalKind

HEAD_START = 6
SETTLING = 4  # seconds that the second one has to find its share
SECONDS = 26


@pytest.mark.parametrize("first", ["tunnel", "rival"])
@pytest.mark.parametrize("rival", ["cubic", "bbr", "tunnel"])
def test_each_gets_a_quarter_at_least(rival: RivalKind, first: str) -> None:
    contest = Contest(
        LinkSpec(10e6, delay=0.025),
        rival=rival,
        tunnel_start=HEAD_START if first == "rival" else 0,
        rival_start=HEAD_START if first == "tunnel" else 0,
        connects_early=True,
    )
    contest.run(SECONDS)
    assert 0.25 <= contest.share(HEAD_START + SETTLING, SECONDS) <= 0.75
    late = contest.seconds[HEAD_START + SETTLING :]
    assert sum(second.tunnel_bps + second.rival_bps for second in late) / len(late) >= 0.85 * 10e6

"""A tunnel and somebody else on one bottleneck: neither starves, whoever came first and however much he asks for."""

from __future__ import annotations

import statistics

import pytest

from ghost.chaos.spec import LinkSpec
from ghost.simulation.measure import percentile
from ghost.simulation.pair import Pair
from ghost.simulation.rivals import Contest, RivalKind
from ghost.simulation.workloads import Bulk, Pings

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


def test_clients_of_a_server_share_its_uplink_however_many_flows_each_has() -> None:
    """The client pings, the first guest downloads over eight connections, the second one over one.

    What one of them has swings between 0.5 and 0.75 of the link from ten seconds to the next, so several runs count.
    """
    shares = [share_of_one_flow(seed) for seed in range(5)]
    assert 0.35 <= statistics.median(shares) <= 0.65, shares


def share_of_one_flow(seed: int) -> float:
    link = LinkSpec(4e6, delay=0.025)
    pair = Pair(link, seed=seed)
    for guest in ("many", "one"):
        pair.add_guest(guest, shares_links=True)
    for name in ("client", "many", "one"):
        pair.run_until_connected(name=name)
    many = [Bulk(pair, is_download=True, client="many", client_port=41_000 + number) for number in range(8)]
    pair.applications += many
    pair.run(3)
    one = Bulk(pair, is_download=True, client="one", client_port=42_000)
    pair.applications.append(one)
    pair.run(15)  # who comes later has its share by then
    pings, start = Pings(pair), pair.now
    pair.applications.append(pings)
    pair.run(30)
    rates = [bulk.goodput_bps(start, pair.now) for bulk in (*many, one)]
    assert min(rates[:-1]) >= 0.6 * max(rates[:-1])
    assert sum(rates) >= 0.85 * link.rate_bps
    assert pings.lost(sent_before=pair.now - 0.5) == 0
    times = [time for time in pings.rtts if time is not None]
    assert percentile(times, 0.99) - 2 * link.delay <= 0.05
    return rates[-1] / sum(rates)

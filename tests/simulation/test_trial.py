"""A workload inside the tunnel and without it: the figures are what the link is known to allow."""

from __future__ import annotations

import math

import pytest

from ghost.chaos.spec import LinkSpec, parse
from ghost.simulation.trial import WORKLOADS, Script, ceiling_bps, run


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_workload_is_measured_on_both_sides(workload: str) -> None:
    trial = run(parse("rate=4mbit,delay=20ms"), workload=workload, seconds=5, seed=1)
    for result in (trial.tunnel, trial.plain):
        assert result.latencies["ping"].lost <= 1, "a full queue may drop one"
        for latency in result.latencies.values():
            assert 0.02 <= latency.p50 <= latency.p95 <= latency.p99 < 3
    assert trial.plain.wire > 1
    assert trial.tunnel.wire > 0.5, "compressed, it may be less than what the applications said"
    if workload in ("bulk", "upload"):
        assert 2e6 < (trial.tunnel.goodput_bps or 0) < 4e6
        assert sum(trial.tunnel.seconds_bps) / 5 == pytest.approx(trial.tunnel.goodput_bps, rel=0.01)


def test_the_tunnel_carries_on_where_a_plain_connection_stalls() -> None:
    trial = run(parse("rate=4mbit,delay=30ms,loss=30%"), workload="bulk", seconds=6, seed=1)
    assert trial.ceiling_bps == pytest.approx(2.8e6)
    assert (trial.tunnel.goodput_bps or 0) > 5 * (trial.plain.goodput_bps or 0)


def test_a_link_that_carries_nothing_is_a_result_as_well() -> None:
    trial = run(parse("loss=100%"), workload="ssh", seconds=3, seed=1)
    assert trial.tunnel.up_after is None
    assert trial.plain.latencies["key"].lost == trial.plain.latencies["key"].count > 0
    assert math.isnan(trial.plain.wire)


@pytest.mark.parametrize(
    ("text", "ceiling"),
    [
        ("delay=5ms", None),
        ("rate=10mbit,loss=30%", 7e6),
        ("rate=10mbit,police=2mbit", 2e6),
        ("rate=10mbit,blackout=5s/20s", 7.5e6),
    ],
)
def test_the_ceiling_is_what_may_arrive_at_most(text: str, ceiling: float | None) -> None:
    assert ceiling_bps(parse(text)) == (None if ceiling is None else pytest.approx(ceiling))


def test_the_same_seed_gives_the_same_figures_and_progress_ends_at_one() -> None:
    shares: list[float] = []
    link = parse("rate=2mbit,delay=20ms,loss=20%,burst=4")
    first = run(link, workload="mixed", seconds=4, seed=7, progress=shares.append)
    # As text: what no page has is not a number, and not equal to itself.
    assert repr(first) == repr(run(link, workload="mixed", seconds=4, seed=7))
    assert repr(first) != repr(run(link, workload="mixed", seconds=4, seed=8))
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_a_script_is_played_to_both_sides() -> None:
    script = Script([LinkSpec(), LinkSpec(delay=0.2)], [LinkSpec()], 2.0)
    trial = run(LinkSpec(), workload="ssh", seconds=8, seed=1, script=script)
    for result in (trial.tunnel, trial.plain):
        assert result.latencies["ping"].p50 < 0.05
        assert result.latencies["ping"].p99 == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_damaged_packets_do_not_reach_those_whose_kernel_looks_at_checksums(workload: str) -> None:
    trial = run(parse("rate=2mbit,delay=20ms,corrupt=20%"), workload=workload, seconds=4, seed=7)
    ping = trial.plain.latencies["ping"]
    assert ping.lost < ping.count

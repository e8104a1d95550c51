"""Stories of links on which most estimates fail: jitter, and policers far below what the path before them carries."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ghost.chaos.link import Link
from ghost.chaos.spec import LinkSpec, parse
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Bulk, Saturate


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_jitter_of_80_ms_with_5_percent_reordered_leaves_seven_tenths(seed: int) -> None:
    link = parse("rate=10mbit,delay=90ms±40ms,queue=100ms,reorder=5%,loss=10%")
    pair = Pair(link, seed=seed)
    start = pair.run_until_connected() + 4
    traffic = Saturate(pair, is_download=True)
    pair.applications.append(traffic)
    pair.run(start + 6 - pair.now)
    assert traffic.goodput_bps(start, start + 6) >= 0.7 * 10e6 * 0.9


@pytest.mark.parametrize("is_download", [True, False])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_under_jitter_a_transfer_is_not_judged_by_the_acknowledgements_of_the_one_before(
    seed: int, is_download: bool
) -> None:
    """What the other way carried before: from none of it (three of eight) to .8 of the link when it was."""
    pair = Pair(parse("rate=10mbit,delay=90ms±40ms,queue=100ms,reorder=5%,loss=10%"), seed=seed)
    pair.run_until_connected()
    before = Bulk(pair, is_download=not is_download)
    pair.applications.append(before)
    pair.run(8)
    pair.applications.remove(before)
    transfer = Bulk(pair, is_download=is_download, client_port=40_002)
    pair.applications.append(transfer)
    pair.run(10)
    assert transfer.goodput_bps(pair.now - 6, pair.now) >= 0.45 * 10e6 * 0.9


@pytest.mark.parametrize("loss", [0, 10])
@pytest.mark.parametrize("bucket", [4_000, 12_500, 50_000])
def test_a_policer_at_a_hundredth_of_the_link_is_not_flooded(bucket: int, loss: int) -> None:
    pair = Pair(LinkSpec(delay=0.05), seed=1)
    pair.down = Link(parse(f"rate=100mbit,delay=50ms,loss={loss}%,police=1mbit/{bucket}b"), Random(1))
    start = pair.run_until_connected() + 5
    traffic = Saturate(pair, is_download=True)
    pair.applications.append(traffic)
    pair.run(start - pair.now)
    before = pair.down.stats.in_bytes
    pair.run(15)
    assert (pair.down.stats.in_bytes - before) * 8 / 15 <= 1.2e6
    assert traffic.goodput_bps(start, start + 15) >= (0.6 if loss else 0.8) * 1e6


def test_a_mass_of_losses_does_not_stop_a_transfer_for_good() -> None:
    """A policer with a deep bucket lets a search for the rate run until 290 symbols of it are lost."""
    pair = Pair(LinkSpec(delay=0.05), seed=4)
    pair.down = Link(parse("rate=100mbit,delay=50ms,loss=10%,police=1mbit/50000b"), Random(4))
    pair.run_until_connected()
    traffic = Saturate(pair, is_download=True)
    pair.applications.append(traffic)
    pair.run(20)
    assert traffic.goodput_bps(pair.now - 10, pair.now) >= 0.5e6


@pytest.mark.parametrize("loss", [0, 10])
def test_a_policer_that_halves_its_rate_is_obeyed_within_ten_round_trips(loss: int) -> None:
    pair = Pair(LinkSpec(delay=0.05), seed=1)
    policer = pair.down = Link(parse(f"rate=100mbit,delay=50ms,loss={loss}%,police=10mbit/12.5kb"), Random(1))
    pair.run_until_connected()
    pair.applications.append(Saturate(pair, is_download=True))
    pair.run(4)
    policer.change(replace(policer.spec, police_bps=5e6), pair.now)
    pair.run(1)
    before = policer.stats.in_bytes
    pair.run(3)
    assert (policer.stats.in_bytes - before) * 8 / 3 <= 1.1 * 5e6


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_at_30_percent_loss_one_way_85_of_100_that_can_arrive_do(seed: int) -> None:
    pair = Pair(
        parse("rate=10mbit,delay=50ms,queue=100ms"), parse("rate=10mbit,delay=50ms,queue=100ms,loss=30%"), seed=seed
    )
    start = pair.run_until_connected() + 3
    traffic = Saturate(pair, is_download=True)
    pair.applications.append(traffic)
    pair.run(start + 7 - pair.now)
    assert traffic.goodput_bps(start, start + 7) >= 0.85 * 10e6 * 0.7

"""Traffic through the tunnel: that the instruments show what the link is known to do."""

from __future__ import annotations

import pytest

from ghost.chaos.spec import parse
from ghost.constants import INNER_MTU
from ghost.simulation.measure import QueueWatch, bytes_between, percentile
from ghost.simulation.pair import Pair
from ghost.simulation.tcp import MSS
from ghost.simulation.workloads import Bulk, Pings, Saturate


def connected(spec: str) -> Pair:
    pair = Pair(parse(spec), seed=1)
    pair.run_until_connected()
    return pair


@pytest.mark.parametrize("is_download", [True, False])
def test_a_transfer_runs_in_either_direction_at_the_links_rate(is_download: bool) -> None:
    pair = connected("rate=2mbit,delay=20ms")
    bulk = Bulk(pair, is_download=is_download)
    pair.applications.append(bulk)
    start = pair.now
    pair.run(8)
    assert 0.8 * 2e6 <= bulk.goodput_bps(start + 3, start + 8) <= 2e6 * MSS / INNER_MTU


@pytest.mark.parametrize("is_download", [True, False])
def test_a_transfer_of_a_given_size_ends(is_download: bool) -> None:
    pair = connected("rate=5mbit,delay=20ms,loss=10%")
    bulk = Bulk(pair, is_download=is_download, total=100_000)
    pair.applications.append(bulk)
    pair.run(10)
    finished = bulk.time_of(100_000)
    assert finished is not None
    assert 100_000 * 8 / 5e6 < finished < 10
    assert bulk.source.next_time() is None


def test_two_transfers_at_once_do_not_read_each_others_segments() -> None:
    pair = connected("rate=5mbit,delay=20ms")
    bulks = [Bulk(pair, is_download=True, client_port=40001 + index, total=100_000) for index in range(2)]
    pair.applications += bulks
    pair.run(5)
    assert [bulk.sink.received for bulk in bulks] == [-(-100_000 // MSS) * MSS] * 2


def test_the_same_seed_gives_the_same_transfer_to_the_last_bit() -> None:
    runs = []
    for _ in range(2):
        pair = connected("rate=2mbit,delay=20ms,loss=20%,burst=4")
        bulk = Bulk(pair, is_download=True)
        pair.applications.append(bulk)
        pair.run(3)
        runs.append((bulk.deliveries, bulk.source.stats, pair.down.stats))
    assert runs[0] == runs[1]


def test_pings_see_the_round_trip_and_count_what_a_blackout_ate() -> None:
    pair = connected("delay=30ms")
    pings = Pings(pair)
    pair.applications.append(pings)
    pair.run(5)
    assert pings.lost(sent_before=pair.now - 1) == 0
    assert percentile([rtt for rtt in pings.rtts if rtt is not None], 0.5) == pytest.approx(0.06, abs=0.005)
    pair.up.change(parse("loss=100%"), pair.now)
    began = pair.now
    pair.run(5)
    assert pings.lost(sent_before=began + 1) >= 20


@pytest.mark.parametrize("is_download", [True, False])
def test_a_saturated_link_carries_full_packets_in_order_with_the_delay_of_the_path(is_download: bool) -> None:
    pair = connected("rate=5mbit,delay=40ms")
    traffic = Saturate(pair, is_download=is_download)
    queue = QueueWatch(pair.down if is_download else pair.up, pair.now)
    pair.applications += [traffic, queue]
    start = pair.now
    pair.run(6)
    assert traffic.goodput_bps(start + 2, start + 6) >= 0.85 * 5e6
    assert traffic.out_of_order == 0
    least = 0.040 + INNER_MTU * 8 / 5e6
    delays = [delay for _, delay in traffic.arrivals]
    assert min(delays) >= least
    assert percentile(delays, 0.5) == pytest.approx(least + percentile(queue.delays, 0.5), abs=0.010)


def test_percentiles_are_values_that_occurred() -> None:
    assert [percentile([3.0, 1.0, 2.0, 4.0], share) for share in (0.0, 0.25, 0.26, 0.5, 0.99, 1.0)] == [
        1.0, 1.0, 2.0, 2.0, 4.0, 4.0,
    ]  # fmt: skip


def test_bytes_between_two_times_leave_out_what_came_before_and_after() -> None:
    deliveries = [(1.0, 10), (2.0, 30), (2.0, 35), (3.0, 100)]
    assert bytes_between(deliveries, 0.0, 9.0) == 100
    assert bytes_between(deliveries, 2.0, 3.0) == 25
    assert bytes_between(deliveries, 1.5, 2.5) == 25
    assert bytes_between(deliveries, 4.0, 5.0) == 0
    assert bytes_between([], 0.0, 1.0) == 0

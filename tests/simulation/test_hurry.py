"""People in a hurry beside people with a lot to carry: who waits for whom, and how long."""

from __future__ import annotations

import math
from statistics import median

import pytest

from ghost.chaos.spec import LinkSpec, parse
from ghost.simulation.interactive import Call
from ghost.simulation.measure import percentile
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Bulk, Pings

THIN = "rate=256kbit,delay=150ms,queue=400ms,loss=10%"
LOSS30 = "rate=2mbit,delay=50ms,loss=30%"
START_SECONDS = 5.0  # in which the rate is found
ANSWERED = 40  # pings: the last ones may still be under way


class OwnQueue:
    """What waits in the server's flow queues, in seconds of the path's rate, 100 times a second."""

    def __init__(self, pair: Pair) -> None:
        self.seconds: list[float] = []
        self._next = pair.now

    def next_time(self) -> float:
        return self._next

    def wake(self, pair: Pair) -> None:
        self._next = pair.now + 0.01
        (peer,) = pair.server.snapshot(pair.now)["peers"]
        self.seconds.append(peer["queued_bytes"] * 8 / peer["rate_bps"])

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        pass


def connected(link: str, *, seed: int = 1) -> tuple[Pair, LinkSpec]:
    spec = parse(link)
    pair = Pair(spec, seed=seed)
    pair.run_until_connected()
    return pair, spec


def downloading(link: str, *, flows: int = 1, seed: int = 1) -> tuple[Pair, LinkSpec, list[Bulk]]:
    pair, spec = connected(link, seed=seed)
    bulks = [Bulk(pair, is_download=True, client_port=40_001 + number) for number in range(flows)]
    pair.applications += bulks
    pair.run(START_SECONDS)
    return pair, spec, bulks


def test_on_a_thin_link_a_ping_does_not_wait_for_full_packets() -> None:
    late = []
    for seed in (1, 2, 3):
        pair, spec, (bulk,) = downloading(THIN, seed=seed)
        pings = Pings(pair)
        pair.applications.append(pings)
        start = pair.now
        pair.run(30)
        times = [math.inf if time is None else time for time in pings.rtts[:-ANSWERED]]
        late.append(percentile(times, 0.99) - 2 * spec.delay)
        assert bulk.goodput_bps(start, pair.now) >= 0.35 * spec.rate_bps * (1 - spec.loss)
    assert median(late) <= 0.12, late


@pytest.mark.parametrize("is_download", [False, True])
def test_beside_a_full_path_a_ping_waits_for_the_standing_queue_and_no_more(is_download: bool) -> None:
    pair, spec = connected("rate=20mbit,delay=25ms,queue=100ms")
    bulk = Bulk(pair, is_download=is_download)
    pair.applications.append(bulk)
    pair.run(START_SECONDS)
    pings, start = Pings(pair), pair.now
    pair.applications.append(pings)
    pair.run(20)
    added = [math.inf if time is None else time - 2 * spec.delay for time in pings.rtts[:-ANSWERED]]
    assert percentile(added, 0.5) < 0.007
    assert percentile(added, 0.99) < 0.009, "emptying the queue each second must not fill it further"
    assert bulk.goodput_bps(start, pair.now) > 0.9 * spec.rate_bps


@pytest.mark.parametrize(
    ("link", "flows", "least_share", "most"),
    [
        ("rate=5mbit,delay=10ms", 1, 0.93, 0.05),
        ("rate=5mbit,delay=25ms", 4, 0.9, 0.3),
        ("rate=5mbit,delay=50ms,loss=20%", 1, 0.78, 0.25),
    ],
)
def test_a_download_waits_no_longer_in_its_own_queue_than_it_is_of_use(
    link: str, flows: int, least_share: float, most: float
) -> None:
    pair, spec, bulks = downloading(link, flows=flows)
    queue = OwnQueue(pair)
    pair.applications.append(queue)
    start = pair.now
    pair.run(10)
    goodput = sum(bulk.goodput_bps(start, pair.now) for bulk in bulks)
    assert median(queue.seconds) <= most
    assert goodput >= least_share * spec.rate_bps * (1 - spec.loss)


@pytest.mark.parametrize("with_download", [False, True])
def test_a_call_hears_nearly_all_where_a_third_of_the_packets_die(with_download: bool) -> None:
    pair, spec, _ = downloading(LOSS30, flows=int(with_download))
    call = Call(pair)
    pair.applications.append(call)
    pair.run(10)
    settled = call.times[50:-50]
    in_time = sum(time is not None and time <= spec.delay + 0.04 for time in settled)
    assert in_time >= 0.99 * len(settled)


def test_copies_of_prompts_do_not_fill_a_link_whose_rate_nobody_has_measured() -> None:
    pair, spec = connected("rate=64kbit,delay=100ms,queue=1s,loss=30%")
    pings = Pings(pair)
    pair.applications.append(pings)
    pair.run(10)
    sent = pair.up.stats.in_bytes
    pair.run(15)
    assert (pair.up.stats.in_bytes - sent) * 8 / 15 < 0.95 * spec.rate_bps, (
        "each ping once, with repeats, is half of it"
    )
    times = [math.inf if time is None else time for time in pings.rtts[-300:-ANSWERED]]
    assert percentile(times, 0.5) - 2 * spec.delay < 0.1

"""What happens to a link in the middle of a download, and what the tunnel makes of it: virtual time, 10 Mbit/s and a
round trip of 100 ms unless a story says otherwise. Rates and shares are of what the link carries or delivers."""

from __future__ import annotations

import math
from random import Random
from statistics import median
from typing import Any

import pytest

from ghost.chaos.link import Link
from ghost.chaos.spec import LinkSpec, parse
from ghost.simulation.measure import QueueWatch, percentile
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import WIRE_SIZE, Bulk, Saturate

RATE = 10e6
ROUND_TRIP = 0.1
CLEAN = "rate=10mbit,delay=50ms,queue=100ms"
WIRE = 1.2  # bytes on the link per byte delivered, of those that the link does not lose


class Download:
    """A source that is never short of packets, through a tunnel whose links change. `back` is the way up, like the
    way down unless told otherwise."""

    def __init__(self, link: str, *, back: str | None = None, seed: int = 1, pair: Pair | None = None) -> None:
        self.pair = pair or Pair(parse(back or link), parse(link), seed=seed)
        self._is_symmetric = back is None
        self.pair.run_until_connected()
        self.traffic = Saturate(self.pair, is_download=True)
        self.queue = QueueWatch(self.pair.down, self.pair.now)
        self.pair.applications += [self.traffic, self.queue]

    def change(self, link: str) -> None:
        self.pair.down.change(parse(link), self.pair.now)
        if self._is_symmetric:
            self.pair.up.change(parse(link), self.pair.now)

    def run(self, seconds: float) -> tuple[float, float]:
        """Bits a second over the next `seconds`: put on the link, drops of its queue included, and delivered."""
        start, before = self.pair.now, self.pair.down.stats.in_bytes
        self.pair.run(seconds)
        offered = (self.pair.down.stats.in_bytes - before) * 8 / seconds
        return offered, self.traffic.goodput_bps(start, start + seconds)


class ClockAside:
    """A client whose clock gains `drift` seconds a second on the simulation's."""

    def __init__(self, client: Any, drift: float) -> None:
        self._client = client
        self._pace = 1 + drift

    def __getattr__(self, name: str) -> Any:
        """Methods without a time."""
        return getattr(self._client, name)

    def next_timeout(self) -> float | None:
        due = self._client.next_timeout()
        if due is None:
            return None
        time = due / self._pace
        return time if time * self._pace >= due else math.nextafter(time, math.inf)  # never early by a rounding

    def handle_timeout(self, now: float) -> None:
        self._client.handle_timeout(now * self._pace)

    def connect(self, addresses: Any, now: float) -> None:
        self._client.connect(addresses, now * self._pace)

    def receive_datagram(self, datagram: bytes, address: Any, now: float) -> None:
        self._client.receive_datagram(datagram, address, now * self._pace)

    def send_packet(self, packet: bytes, now: float) -> None:
        self._client.send_packet(packet, now * self._pace)

    def datagrams_to_send(self, now: float) -> Any:
        return self._client.datagrams_to_send(now * self._pace)


# ---- the rate changes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0, 30])
def test_a_throttle_to_half_is_obeyed_within_ten_round_trips(loss: int) -> None:
    download = Download(f"{CLEAN},loss={loss}%")
    download.run(4)
    download.change(f"rate=5mbit,delay=50ms,queue=100ms,loss={loss}%")
    download.run(10 * ROUND_TRIP)
    offered = [download.run(0.5)[0] for _ in range(6)]
    assert max(offered) <= 1.1 * RATE / 2
    assert sum(offered) / 6 >= 0.9 * RATE / 2


def test_the_first_megabyte_of_an_inner_cubic_is_here_in_two_and_a_half_seconds() -> None:
    times = []
    for seed in range(1, 6):
        pair = Pair(parse(f"{CLEAN},loss=30%"), seed=seed)
        pair.run_until_connected()
        download = Bulk(pair, is_download=True, total=1_000_000)
        pair.applications.append(download)
        pair.run(5)
        times.append(download.time_of(1_000_000) or math.inf)
    assert median(times) <= 2.5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_inner_cubic_leaves_slow_start_with_a_full_path(seed: int) -> None:
    pair = Pair(parse(CLEAN), seed=seed)
    pair.run_until_connected()
    download = Bulk(pair, is_download=True)
    pair.applications.append(download)
    pair.run(3)
    assert download.goodput_bps(pair.now - 1.5, pair.now) >= 0.9 * RATE


@pytest.mark.parametrize("loss", [0, 30])
def test_a_rate_that_falls_to_a_third_and_comes_back_is_full_two_seconds_later(loss: int) -> None:
    download = Download(f"{CLEAN},loss={loss}%")
    download.run(4)
    download.change(f"rate=3mbit,delay=50ms,queue=100ms,loss={loss}%")
    download.run(1.5)
    assert download.run(2.5)[0] == pytest.approx(3e6, rel=0.1)
    download.change(f"{CLEAN},loss={loss}%")
    download.run(2)
    assert download.run(2)[0] >= 0.9 * RATE


@pytest.mark.parametrize("loss", [0, 10])
def test_a_policer_is_found_without_a_queue_and_not_flooded(loss: int) -> None:
    pair = Pair(LinkSpec(delay=0.05), seed=1)
    pair.down = Link(parse(f"rate=100mbit,delay=50ms,loss={loss}%,police={RATE:.0f}bit/12.5kb"), Random(1))
    download = Download("", pair=pair)
    download.run(4)
    offered, goodput = download.run(6)
    assert offered <= 1.1 * RATE
    assert goodput >= 0.8 * RATE * (1 - loss / 100)


# ---- the path goes away, or bad -----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0, 30])
def test_after_ten_seconds_of_nothing_the_link_is_full_a_second_after_its_return(loss: int) -> None:
    download = Download(f"{CLEAN},loss={loss}%")
    download.run(3)
    before = download.pair.down.stats.in_bytes
    download.change(f"{CLEAN},loss=100%")
    download.run(10)
    assert download.pair.down.stats.in_bytes - before < RATE / 8 * 1.0, "less than a second's worth into the void"
    download.change(f"{CLEAN},loss={loss}%")
    download.run(1)
    offered, goodput = download.run(2)
    assert offered >= 0.9 * RATE
    assert goodput >= 0.75 * RATE * (1 - loss / 100)


def test_loss_that_rises_from_2_to_40_percent_costs_what_it_takes_and_no_more() -> None:
    download = Download(f"{CLEAN},loss=2%")
    download.run(4)
    download.change(f"{CLEAN},loss=40%")
    download.run(1)
    offered, goodput = download.run(5)
    assert offered == pytest.approx(RATE, rel=0.06)
    assert goodput >= 0.78 * RATE * 0.6
    download.change(f"{CLEAN},loss=2%")
    download.run(1)
    assert download.run(3)[1] >= 0.85 * RATE * 0.98


# ---- the two directions differ ------------------------------------------------------------------------------------


def test_acknowledgements_may_take_a_far_worse_path_than_the_data() -> None:
    download = Download(f"{CLEAN},loss=5%", back="rate=1mbit,delay=50ms,queue=100ms,loss=50%")
    download.run(3)
    offered, goodput = download.run(7)
    assert offered == pytest.approx(RATE, rel=0.06)
    assert goodput >= 0.85 * RATE * 0.95


@pytest.mark.parametrize(("down", "up", "share"), [(30, 0, 0.82), (0, 30, 0.88)])
def test_loss_in_one_direction_costs_only_that_one(down: int, up: int, share: float) -> None:
    download = Download(f"{CLEAN},loss={down}%", back=f"{CLEAN},loss={up}%")
    download.run(3)
    offered, goodput = download.run(7)
    assert goodput >= share * RATE * (1 - down / 100)
    assert offered / goodput * (1 - down / 100) <= WIRE


# ---- packets are damaged, and clocks ------------------------------------------------------------------------------


def test_corrupted_and_doubled_packets_do_no_harm() -> None:
    download = Download(f"{CLEAN},corrupt=1%,duplicate=3%")
    download.run(3)
    _, goodput = download.run(7)
    assert goodput >= 0.88 * RATE * 0.99
    assert download.traffic.out_of_order == 0
    assert download.pair.down.stats.corrupted > 50


@pytest.mark.parametrize(
    ("rate_bps", "drift", "seconds"),
    [(1e6, 50e-6, 120), (2e6, 500e-6, 40)],
    ids=["two bad quartzes", "a clock that NTP sets"],
)
def test_clocks_that_drift_apart_are_not_taken_for_a_queue(rate_bps: float, drift: float, seconds: int) -> None:
    pair = Pair(LinkSpec(rate_bps, delay=0.05), seed=1)
    pair.client = ClockAside(pair.client, drift)  # type: ignore[assignment]
    download = Download("", pair=pair)
    download.run(5)
    first = download.run(10)[1]
    download.run(seconds - 25)
    watched = len(download.queue.delays)
    assert download.run(10)[1] >= 0.98 * first >= 0.85 * rate_bps
    packet_time = WIRE_SIZE * 8 / rate_bps
    assert percentile(download.queue.delays[watched:], 0.95) <= 0.010 + 2 * packet_time

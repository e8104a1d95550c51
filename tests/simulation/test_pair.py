"""The simulated pair: the seed decides everything, the clock only moves forward, and it never hangs."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from ghost.chaos.spec import LinkSpec, parse
from ghost.simulation import packets
from ghost.simulation.pair import MAX_STEPS_PER_INSTANT, Pair

GATEWAY = IPv4Address("10.77.0.1")
LINK = "rate=10mbit,delay=50ms±10ms,loss=30%,reorder=5%"


class Chatter:
    """Sends `count` packets up, one every 20 ms, and notes what arrives at the server."""

    def __init__(self, pair: Pair, count: int) -> None:
        self.arrivals: list[tuple[float, bytes]] = []
        self._due = [pair.now + 0.02 * (number + 1) for number in range(count)]
        pair.applications.append(self)

    def next_time(self) -> float | None:
        return self._due[0] if self._due else None

    def wake(self, pair: Pair) -> None:
        assert pair.now == self._due.pop(0), "woken at another time than asked for"
        assert pair.address is not None
        pair.send(packets.udp((pair.address, 1), (GATEWAY, 2), bytes(500)), from_server=False)

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        assert at_server
        self.arrivals.append((pair.now, packet))


class Stuck:
    """Wants to be woken now, for ever."""

    def next_time(self) -> float:
        return 0.0

    def wake(self, pair: Pair) -> None:
        pass

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        pass


def history(seed: int) -> str:
    pair = Pair(parse(LINK), seed=seed)
    pair.run_until_connected()
    chatter = Chatter(pair, 50)
    pair.add_guest("guest")
    pair.run(3)
    return f"{pair.events} {chatter.arrivals} {pair.up.stats} {pair.down.stats} {pair.client.snapshot(pair.now)}"


def test_the_same_seed_gives_the_same_history_and_another_one_another() -> None:
    assert history(1) == history(1)
    assert history(1) != history(2)


def test_the_order_of_hashes_has_no_part_in_it() -> None:
    """Each process orders sets of bytes in its own way: nothing may depend on it."""
    root = Path(__file__).parents[2]
    script = f"import runpy, zlib; print(zlib.crc32(runpy.run_path({str(__file__)!r})['history'](3).encode()))"
    environments = ({**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": seed} for seed in ("1", "2", "3"))
    outputs = {
        subprocess.run([sys.executable, "-c", script], env=each, capture_output=True, timeout=60, check=True).stdout
        for each in environments
    }
    assert len(outputs) == 1


def test_time_passes_as_long_as_it_is_told_to() -> None:
    pair = Pair(LinkSpec())
    pair.run(1.5)
    assert pair.now == 1.5
    pair.run(0)
    assert pair.now == 1.5


def test_an_hour_of_an_idle_tunnel_passes_in_few_steps() -> None:
    pair = Pair(LinkSpec())
    pair.run(3600)
    assert pair.up.stats.in_packets < 1000


def test_a_clock_that_stands_still_is_a_failure_and_not_a_hang() -> None:
    pair = Pair(LinkSpec())
    pair.applications.append(Stuck())
    assert MAX_STEPS_PER_INSTANT < 100_000
    with pytest.raises(AssertionError, match="clock stands still"):
        pair.run(1)


def test_a_tunnel_that_cannot_come_up_is_a_failure_and_not_a_hang() -> None:
    with pytest.raises(AssertionError, match="not connected after 5 s"):
        Pair(parse("loss=100%")).run_until_connected(limit=5)


def test_guests_have_links_and_addresses_of_their_own() -> None:
    pair = Pair(parse("delay=10ms"))
    guest = pair.add_guest("guest")
    pair.run(1)
    assert None not in (pair.address, pair.address_of("guest"))
    assert pair.address != pair.address_of("guest")
    guest.up.change(parse("loss=100%"), pair.now)
    before = pair.up.stats.out_packets, guest.up.stats.out_packets
    pair.run(60)
    assert pair.up.stats.out_packets > before[0]
    assert guest.up.stats.out_packets == before[1]


def test_what_the_server_sends_to_nobody_is_counted() -> None:
    pair = Pair(parse("delay=10ms"))
    pair.run(1)
    old, pair.client_address = pair.client_address, ("elsewhere", 1)
    assert pair.address is not None
    pair.send(packets.udp((GATEWAY, 1), (pair.address, 2), bytes(100)), from_server=True)
    pair.run(0.001)
    assert pair.strays[old] > 0

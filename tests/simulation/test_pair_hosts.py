"""What hosts do in a simulated pair: the client's address is translated anew, its clock leaps, the server is slow."""

from __future__ import annotations

from ghost.chaos.spec import parse
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Bulk, Pings
from ghost.tunnel.events import Disconnected


def connected(spec: str, down: str | None = None, *, server_cost: float = 0.0) -> Pair:
    pair = Pair(parse(spec), parse(down or spec), seed=1, server_cost=server_cost)
    pair.run_until_connected()
    return pair


def test_a_tunnel_survives_a_nat_that_changes_the_port_every_few_seconds() -> None:
    pair = connected("delay=20ms,rebind=5s")
    pings = Pings(pair)
    pair.applications.append(pings)
    pair.run(12)
    assert pings.lost(sent_before=pair.now - 1) <= 0.02 * len(pings.rtts)
    assert pair.server.snapshot(pair.now)["peers"][0]["endpoint"] == "client:40002"


def test_a_tunnel_survives_a_clock_that_leaps() -> None:
    pair = connected("delay=20ms,rate=5mbit,jump=30s/4s", "delay=20ms,rate=5mbit")
    bulk = Bulk(pair, is_download=True)
    pair.applications.append(bulk)
    start = pair.now
    pair.run(9)
    assert pair.client_now == pair.now + 60
    assert not [event for _, _, event in pair.events if isinstance(event, Disconnected)]
    assert bulk.goodput_bps(start, pair.now) > 0.4 * 5e6


def test_a_server_whose_processor_is_slow_sends_as_fast_as_it_can_and_is_busy_all_the_time() -> None:
    pair = connected("delay=20ms,rate=50mbit", server_cost=0.001)
    bulk = Bulk(pair, is_download=True)
    pair.applications.append(bulk)
    start, busy = pair.now, pair.busy
    pair.run(3)
    assert 0.8 < (pair.busy - busy) / 3 < 1.05
    assert bulk.goodput_bps(start, pair.now) < 1000 * 1400 * 8


def test_a_freeze_ends_a_flow_and_spares_the_next_port() -> None:
    pair = connected("delay=20ms,freeze-packets=200")
    pair.applications.append(Pings(pair, interval=0.02))
    pair.run(8)
    assert pair.up.stats.frozen > 0
    arrived = pair.up.stats.out_packets
    pair.client_address = ("client", 40001)
    pair.run(5)
    assert pair.up.stats.out_packets > arrived

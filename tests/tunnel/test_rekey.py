"""Keys change under way and nobody notices: hours of a bad link, with traffic, in virtual time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from ghost.simulation.pair import Pair
from ghost.tunnel.client import REKEY_JITTER
from ghost.tunnel.epochs import REKEY_AFTER, REKEY_IDLE_AFTER
from ghost.tunnel.events import Connected, Disconnected, PeerJoined, TimestampUsed


def handshakes(pair: Pair) -> list[float]:
    return [time for time, _, event in pair.events if isinstance(event, TimestampUsed)]


@pytest.mark.parametrize("seed", [1])
def test_two_hours_of_traffic_over_a_link_that_loses_a_third_lose_nothing(
    seed: int, connected: Callable[..., Pair], talk: Callable[..., Any]
) -> None:
    pair = connected("rate=10mbit,delay=50ms,loss=30%", seed=seed)
    conversation = talk(pair, end=pair.now + 7200, tcp=1, interval=4.0, size=200)
    pair.run(7210)
    conversation.assert_complete(f"seed {seed}")
    changes = len(handshakes(pair)) - 1
    print(f"seed {seed}: {changes} changes of keys in 2 hours")
    assert changes >= 7200 / (REKEY_AFTER + REKEY_JITTER) - 1
    assert changes <= 7200 / (REKEY_AFTER - REKEY_JITTER) * 1.2
    kinds = [type(event) for _, _, event in pair.events if not isinstance(event, TimestampUsed)]
    assert kinds.count(Connected) == kinds.count(PeerJoined) == 1, f"seed {seed}"
    assert Disconnected not in kinds


def test_a_bulk_transfer_runs_on_through_a_rekey(connected: Callable[..., Pair], talk: Callable[..., Any]) -> None:
    pair = connected("rate=20mbit,delay=20ms,loss=5%", seed=3)
    talk(pair, end=pair.now + 1)
    pair.run(REKEY_AFTER - 10 - REKEY_JITTER)
    conversation = talk(pair, end=pair.now + 2 * REKEY_JITTER + 5, tcp=2, interval=0.05, size=1300)
    pair.run(2 * REKEY_JITTER + 15)
    assert len(handshakes(pair)) == 2
    conversation.assert_complete("seed 3")
    gaps = [
        later - earlier
        for arrivals in conversation.arrivals.values()
        for (earlier, _), (later, _) in itertools.pairwise(arrivals)
    ]
    assert max(gaps) < 0.5


def test_an_idle_tunnel_stays_up_and_changes_keys_seldom(connected: Callable[..., Pair]) -> None:
    pair = connected("rate=10mbit,delay=50ms", seed=1)
    pair.run(6 * 3600)
    assert 6 * 3600 / REKEY_IDLE_AFTER - 1 <= len(handshakes(pair)) - 1 <= 6 * 3600 / REKEY_IDLE_AFTER + 1
    assert pair.client.snapshot(pair.now)["state"] == "connected"
    assert [event for _, _, event in pair.events if isinstance(event, Disconnected)] == []


@pytest.mark.parametrize("seed", range(3))
def test_lost_keep_alives_are_no_reason_for_a_handshake(seed: int, connected: Callable[..., Pair]) -> None:
    pair = connected("rate=10mbit,delay=50ms,loss=30%", seed=seed)
    pair.run(3 * 3600)
    assert len(handshakes(pair)) <= 3 * 3600 / REKEY_IDLE_AFTER + 5, f"seed {seed}"


def test_an_idle_tunnel_costs_less_than_a_megabyte_a_day(connected: Callable[..., Pair]) -> None:
    pair = connected("rate=10mbit,delay=50ms", seed=1)
    pair.run(60)
    before = pair.up.stats.in_bytes + pair.down.stats.in_bytes
    pair.run(3 * 3600)
    daily = (pair.up.stats.in_bytes + pair.down.stats.in_bytes - before) * 8
    print(f"an idle tunnel costs {daily / 1e6:.2f} MB a day, both directions together")
    assert daily < 1e6

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import gevent
import pytest

from ghost.errors import ConfigError
from ghost.runtime import stats
from ghost.runtime.stats import Stats, enriched, rates
from ghost.runtime.supervisor import Supervisor


def peer(**facts: Any) -> dict[str, Any]:
    blank: dict[str, Any] = {
        "name": "laptop", "address": "10.77.0.2", "loss": 0.0, "rtt_ms": 100.0, "queue_delay_ms": 0.0, "repairs": 0,
        "retransmitted_symbols": 0, "symbols": 0, "saved_by_compression_bytes": 0,
        "sent_bytes": 0, "received_bytes": 0, "inner_sent_bytes": 0, "inner_received_bytes": 0,
    }  # fmt: skip
    return blank | facts


def snapshot(*peers: dict[str, Any]) -> dict[str, Any]:
    return {"role": "server", "state": "listening", "peers": list(peers)}


def test_the_growth_of_a_counter_is_a_rate_in_bits() -> None:
    grown = rates(snapshot(peer(sent_bytes=1000)), snapshot(peer(sent_bytes=3000)), 2.0)
    assert grown["10.77.0.2"]["sent_bps"] == 8000


@pytest.mark.parametrize("former", [snapshot(), snapshot(peer(sent_bytes=9000, received_bytes=9000))])
def test_a_connection_that_is_new_counts_from_zero(former: dict[str, Any]) -> None:
    grown = rates(former, snapshot(peer(sent_bytes=500, received_bytes=250)), 1.0)
    assert (grown["10.77.0.2"]["sent_bps"], grown["10.77.0.2"]["received_bps"]) == (4000, 2000)


def test_totals_add_rates_and_average_measures() -> None:
    two = snapshot(
        peer(sent_bytes=10, loss=0.1, rtt_ms=100.0), peer(address="10.77.0.3", sent_bytes=20, loss=0.3, rtt_ms=300.0)
    )
    totals = enriched(two, {"10.77.0.2": dict.fromkeys(stats.RATES.values(), 5)})["totals"]
    assert (totals["sent_bytes"], totals["sent_bps"], totals["loss"], totals["rtt_ms"]) == (30, 5, 0.2, 200.0)


def test_a_tunnel_without_peers_has_totals_of_nothing() -> None:
    assert set(enriched(snapshot(), {})["totals"].values()) == {0}


def test_shares_are_of_what_was_sent() -> None:
    shares = enriched(
        snapshot(
            peer(repairs=20, retransmitted_symbols=10, symbols=100, sent_bytes=1500, inner_sent_bytes=1000,
                 saved_by_compression_bytes=250)
        ),
        {},
    )["peers"][0]  # fmt: skip
    assert (shares["redundancy"], shares["overhead"], shares["compression_saved"]) == (0.3, 1.5, 0.25)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stats]:
    """A tunnel that sends 100 bytes between two looks at it, its seconds shortened."""
    monkeypatch.setattr(stats, "INTERVAL", 0.01)
    looks = iter(range(10_000))
    with Supervisor() as supervisor, gevent.Timeout(20):
        ticks = Stats(lambda: snapshot(peer(sent_bytes=100 * next(looks))))
        ticks.start(supervisor)
        yield ticks


def test_the_stream_begins_with_the_history_and_goes_on_with_the_status(ticking: Stats) -> None:
    for _ in range(3):
        ticking.wait()
    first, second, third = islice(ticking.stream({"interval": 0.01}), 3)
    assert len(first["history"]) >= 3
    assert first["history"][-1]["sent_bps"] > 0
    assert "history" not in second
    assert third["status"]["peers"][0]["sent_bytes"] > second["status"]["peers"][0]["sent_bytes"]
    assert third["status"]["peers"][0]["sent_bps"] > 0


def test_all_who_follow_the_seconds_share_one_look_at_the_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "INTERVAL", 0.01)
    looks = 0

    def look() -> dict[str, Any]:
        nonlocal looks
        looks += 1
        return snapshot(peer())

    with Supervisor() as supervisor, gevent.Timeout(20):
        ticks = Stats(look)
        ticks.start(supervisor)
        streams = [ticks.stream({"interval": 0.01}) for _ in range(5)]
        for stream in streams:
            next(stream)
        before = looks
        waiting = [gevent.spawn(next, stream) for stream in streams]
        gevent.joinall(waiting, raise_error=True)
        seen = [greenlet.value["status"] for greenlet in waiting]
    assert looks == before + 1
    assert all(status is seen[0] for status in seen)


@pytest.mark.parametrize("interval", [0, -1, "1", None, 1e9])
def test_a_senseless_interval_is_refused(ticking: Stats, interval: object) -> None:
    with pytest.raises(ConfigError, match="interval is a number of seconds"):
        next(ticking.stream({"interval": interval}))

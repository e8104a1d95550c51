"""The daemon's look at its connections: one watch a peer, forgotten with it."""

from __future__ import annotations

from typing import Any

from ghost.chaos.spec import parse
from ghost.runtime.watcher import Watcher
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Bulk


def test_each_peer_gets_its_own_sentence() -> None:
    pair = Pair(parse("rate=2mbit,delay=20ms"), seed=1)
    pair.run_until_connected()
    pair.applications.append(Bulk(pair, is_download=True))
    pair.run(0.5)
    watcher = Watcher(lambda: pair.server.snapshot(pair.now))
    [peer] = watcher.snapshot()["peers"]
    assert peer["diagnosis"].startswith("Too early to say")
    pair.down.change(parse("rate=2mbit,delay=20ms,loss=20%"), pair.now)
    for _ in range(8):
        watcher.look()
        pair.run(1.0)
    [peer] = watcher.snapshot()["peers"]
    # The simulation keeps this process busy, so the processor may be what it finds.
    assert peer["cause"] in ("random loss", "cpu")
    assert peer["diagnosis"].endswith(".")


def test_who_left_is_forgotten() -> None:
    peers: list[dict[str, Any]] = []
    watcher = Watcher(lambda: {"peers": list(peers)})
    watcher.look()
    assert watcher.snapshot() == {"peers": []}

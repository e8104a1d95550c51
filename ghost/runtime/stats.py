"""What a running tunnel tells about itself: the core's counters, rates over the last second, the last minutes.

Once a second the counters are read and their growth becomes rates, so that everybody who asks sees the same numbers:
`status`, the dashboard and the metrics add nothing of their own. Whoever follows the seconds is given the same look at
them, however many follow: at a hundred peers one takes the event loop 2 ms. `totals` sums rates and bytes over the
peers and takes the mean of what is measured on each path.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import gevent.event

from ghost.errors import ConfigError
from ghost.runtime.clock import now
from ghost.runtime.supervisor import Supervisor

Snapshot = dict[str, Any]

INTERVAL = 1.0
HISTORY = 300  # samples: five minutes, more than the widest terminal draws
RATES = {
    "sent_bytes": "sent_bps",
    "received_bytes": "received_bps",
    "inner_sent_bytes": "inner_sent_bps",
    "inner_received_bytes": "inner_received_bps",
}
"""Counters, and the names of their growth in bits a second."""
MEASURES = ("loss", "rtt_ms", "queue_delay_ms")
_LONGEST_INTERVAL = 3600.0


class Stats:
    """Reads `snapshot` once a second: `latest` is what was seen then, with the rates, and `status` looks anew."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot
        self._before: tuple[float, Snapshot] = (now(), snapshot())
        self._rates: dict[str, dict[str, int]] = {}
        self.latest: Snapshot = enriched(self._before[1], {})
        self._history: deque[dict[str, float]] = deque(maxlen=HISTORY)
        self._ticked = gevent.event.Event()

    def start(self, supervisor: Supervisor) -> None:
        supervisor.spawn("stats", self._run)

    def status(self) -> Snapshot:
        return enriched(self._snapshot(), self._rates)

    def history(self) -> list[dict[str, float]]:
        """One `totals` a second, the oldest first, without the bytes."""
        return list(self._history)

    def wait(self) -> None:
        """Returns after the next second's rates are known."""
        self._ticked.wait()

    def stream(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The `stats` request: the history once, then the status each `interval` seconds for ever."""
        interval = request.get("interval", INTERVAL)
        if not isinstance(interval, int | float) or not INTERVAL <= interval <= _LONGEST_INTERVAL:
            raise ConfigError(f"interval is a number of seconds from 1 to {_LONGEST_INTERVAL:.0f}")
        yield {"status": self.status(), "history": self.history()}
        while True:
            for _ in range(round(interval / INTERVAL)):
                self.wait()
            yield {"status": self.latest}

    def _run(self) -> None:
        while True:
            gevent.sleep(INTERVAL)
            before, former = self._before
            at, latest = now(), self._snapshot()
            self._before = at, latest
            self._rates = rates(former, latest, at - before)
            self.latest = enriched(latest, self._rates)
            totals = self.latest["totals"]
            self._history.append({key: totals[key] for key in (*RATES.values(), *MEASURES)})
            self._ticked.set()
            self._ticked.clear()


def rates(former: Snapshot, latest: Snapshot, seconds: float) -> dict[str, dict[str, int]]:
    """By peer, what its counters grew by in bits a second; a peer that came anew begins at zero."""
    known = {_identity(peer): peer for peer in former["peers"]}
    grown = {}
    for peer in latest["peers"]:
        base = known.get(_identity(peer), {})
        if any(peer[counter] < base.get(counter, 0) for counter in RATES):  # it connected again
            base = {}
        grown[_identity(peer)] = {
            name: round(8 * (peer[counter] - base.get(counter, 0)) / seconds) for counter, name in RATES.items()
        }
    return grown


def enriched(snapshot: Snapshot, grown: dict[str, dict[str, int]]) -> Snapshot:
    """The snapshot with rates and shares for each peer, and `totals` over all."""
    peers = [
        peer | _shares(peer) | grown.get(_identity(peer), dict.fromkeys(RATES.values(), 0))
        for peer in snapshot["peers"]
    ]
    totals: dict[str, Any] = {
        name: sum(peer[name] for peer in peers) for name in (*RATES, *RATES.values(), "saved_by_compression_bytes")
    }
    for name in MEASURES:
        values = [peer[name] for peer in peers if math.isfinite(peer[name])]
        totals[name] = round(sum(values) / len(values), 4) if values else 0.0
    return snapshot | {"totals": totals, "peers": peers}


def _shares(peer: Snapshot) -> dict[str, float]:
    return {
        "redundancy": _share(peer["repairs"] + peer["retransmitted_symbols"], peer["symbols"]),
        "overhead": _share(peer["sent_bytes"], peer["inner_sent_bytes"]),
        "compression_saved": _share(peer["saved_by_compression_bytes"], peer["inner_sent_bytes"]),
    }


def _share(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0


def _identity(peer: Snapshot) -> str:
    return str(peer.get("public_key") or peer["address"])

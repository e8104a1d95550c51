"""Looks at every connection of a daemon once a second, so that `status` and `why` can say what is wrong.

The processor's share is this process's own: when it is at work all the time, whatever waits, waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent

from ghost.runtime.supervisor import Supervisor
from ghost.tunnel.diagnosis import Watch

INTERVAL = 1.0


class Watcher:
    """`snapshot` gives an endpoint's; peers are told apart by name and inner address."""

    def __init__(self, snapshot: Callable[[], dict[str, Any]]) -> None:
        self._snapshot = snapshot
        self._watches: dict[tuple[Any, Any], Watch] = {}
        self._worked, self._looked = time.process_time(), time.monotonic()

    def start(self, supervisor: Supervisor) -> None:
        supervisor.spawn("diagnosis", self._run)

    def snapshot(self) -> dict[str, Any]:
        """The endpoint's, and for each peer the `cause` and the `diagnosis`, a sentence."""
        status = self._snapshot()
        for peer in status["peers"]:
            finding = self._watches.get(_key(peer), Watch()).finding()
            peer |= {"cause": finding.cause.value, "diagnosis": finding.sentence}
        return status

    def look(self) -> None:
        """One sample of each connection, now."""
        worked, looked = time.process_time(), time.monotonic()
        cpu = min(1.0, (worked - self._worked) / max(looked - self._looked, 1e-3))
        self._worked, self._looked = worked, looked
        peers = self._snapshot()["peers"]
        self._watches = {_key(peer): self._watches.get(_key(peer), Watch()) for peer in peers}
        for peer in peers:
            self._watches[_key(peer)].add(peer, cpu=cpu)

    def _run(self) -> None:
        while True:
            gevent.sleep(INTERVAL)
            self.look()


def _key(peer: dict[str, Any]) -> tuple[Any, Any]:
    return peer["name"], peer["address"]

"""The tunnel's story for the log: what a user would want to have been told, once, in words.

Looks at the status once a second. A link's condition counts when it has lasted, so that a few losses more or less make
no line; a client that moved, and what a connection carried, are told at once.
"""

from __future__ import annotations

import logging
from typing import Any

from ghost import units

LASTING = 10
"""Seconds that a condition has to last; loss is measured over 256 packets, which on slow links are some seconds."""
_KNOWN_FROM = 200  # packets sent, below which a share of them says little
_SILENT, _QUEUE_MS, _LOSSY, _BAD = 30.0, 300.0, 0.01, 0.2
_MOMENT = 2.0  # seconds, in which something ended between two looks
_CLEAR_BELOW = 0.8  # of a threshold that was passed: what hovers around it makes no lines

Told = tuple[int, str]
"""A log level and a line."""


class Story:
    """`tell` gives the lines that the newest status adds."""

    def __init__(self) -> None:
        self._chaos_left: float | None = None  # seconds, of a bad link that ends by itself
        self._peers: dict[str, _Peer] = {}

    def tell(self, status: dict[str, Any]) -> list[Told]:
        told: list[Told] = []
        here = {str(peer.get("public_key") or peer["address"]): peer for peer in status["peers"]}
        for key, facts in here.items():
            known = self._peers.get(key)
            if known is None or facts["uptime_s"] < known.facts["uptime_s"]:
                told += known.farewell() if known else []
                known = self._peers[key] = _Peer(facts)
            told += known.update(facts)
        for key in [key for key in self._peers if key not in here]:
            told += self._peers.pop(key).farewell()
        left, self._chaos_left = self._chaos_left, status.get("chaos_left_s")
        if left is not None and left <= _MOMENT and "chaos" not in status:
            told.append((logging.WARNING, "chaos: off, its time is up"))
        return told

    def end(self) -> list[Told]:
        """What the connections that are left have carried."""
        return [line for peer in self._peers.values() for line in peer.farewell()]


class _Peer:
    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self._condition = "clean"
        self._next = "clean"
        self._since = 0

    def update(self, facts: dict[str, Any]) -> list[Told]:
        before, self.facts = self.facts["endpoint"], facts
        told: list[Told] = []
        if facts["endpoint"] != before:
            told.append((logging.INFO, f"{facts['name']} moved from {before} to {facts['endpoint']}"))
        condition = _condition(facts, self._condition)
        self._since = self._since + 1 if condition == self._next else 1
        self._next = condition
        if condition != self._condition and (self._since >= LASTING or condition == "silent"):
            self._condition = condition
            told.append((_LEVELS[condition], f"{facts['name']}: {_LINES[condition].format(**_words(facts))}"))
        return told

    def farewell(self) -> list[Told]:
        received, sent = (units.size(self.facts[f"inner_{way}_bytes"]) for way in ("received", "sent"))
        age = units.duration(self.facts["uptime_s"])
        return [(logging.INFO, f"{self.facts['name']}: {received} came and {sent} went in {age}")]


_LINES = {
    "clean": "the link is clean again, round trip {rtt}",
    "lossy": "the link loses {loss}, the tunnel mends it",
    "bad": "a bad link that loses {loss}, the tunnel mends it",
    "queue": "a queue of {queue} stands on the way: something else fills the link",
    "silent": "nothing heard for {contact}",
}
_LEVELS = {
    "clean": logging.INFO, "lossy": logging.INFO, "bad": logging.WARNING, "queue": logging.INFO,
    "silent": logging.WARNING,
}  # fmt: skip


def _condition(facts: dict[str, Any], now: str) -> str:
    if facts["last_contact_s"] > _SILENT:
        return "silent"
    if facts["sent_packets"] < _KNOWN_FROM:
        return "clean"
    if facts["queue_delay_ms"] > _QUEUE_MS * (_CLEAR_BELOW if now == "queue" else 1):
        return "queue"
    if facts["loss"] >= _BAD * (_CLEAR_BELOW if now == "bad" else 1):
        return "bad"
    return "lossy" if facts["loss"] >= _LOSSY * (_CLEAR_BELOW if now == "lossy" else 1) else "clean"


def _words(facts: dict[str, Any]) -> dict[str, str]:
    return {
        "loss": units.percent(facts["loss"]),
        "rtt": units.milliseconds(facts["rtt_ms"]),
        "queue": units.milliseconds(facts["queue_delay_ms"]),
        "contact": units.duration(facts["last_contact_s"]),
    }

"""What the dashboard knows: the daemon's latest answers, their history, and one sentence about it all.

Numbers are the daemon's own, untouched; times are arguments.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ghost import units

HISTORY = 300
STALE_AFTER = 3.0
"""Seconds without an answer until the screen says so; answers come each second."""
_SILENT_AFTER = 30.0  # seconds; keep-alives come every 25 at most
_QUEUE_MS = 150.0
_CLEAN, _LOSSY, _HEAVY = 0.01, 0.05, 0.2


class Model:
    """`status` is None until a daemon has answered; `chosen` is the place of the peer whose facts are shown."""

    def __init__(self) -> None:
        self.status: dict[str, Any] | None = None
        self.history: deque[dict[str, float]] = deque(maxlen=HISTORY)
        self.chosen = 0
        self.error: str | None = None
        self.answered_at = 0.0

    def on_answer(self, answer: dict[str, Any], now: float) -> tuple[int, int]:
        """One line of the stats stream; returns the packets received and sent since the one before."""
        before, self.status = self.status, answer["status"]
        if "history" in answer:  # a new connection: the daemon knows more than was seen
            self.history.clear()
            self.history.extend(answer["history"])
        else:
            self.history.append(self.status["totals"])
        self.error = None
        self.answered_at = now
        self.chosen = min(self.chosen, max(0, len(self.peers) - 1))
        return _growth(before, self.status, "received_packets"), _growth(before, self.status, "sent_packets")

    def on_silence(self, error: str) -> None:
        self.error = error

    @property
    def peers(self) -> list[dict[str, Any]]:
        return self.status["peers"] if self.status else []

    @property
    def peer(self) -> dict[str, Any] | None:
        """The chosen one."""
        return self.peers[self.chosen] if self.peers else None

    @property
    def role(self) -> str:
        return self.status["role"] if self.status else "ghosttunnel"

    def choose(self, step: int) -> None:
        if self.peers:
            self.chosen = (self.chosen + step) % len(self.peers)

    def series(self, key: str) -> list[float]:
        return [sample.get(key, 0.0) for sample in self.history]

    def is_stale(self, now: float) -> bool:
        return self.error is not None or now - self.answered_at > STALE_AFTER

    def sentence(self, now: float) -> tuple[str, str]:
        """The state in words, and their style."""
        if self.status is None:
            return self.error or "asking the daemon", "warn"
        if self.is_stale(now):
            age = units.duration(now - self.answered_at)
            return f"The daemon does not answer, asking on. What is shown is {age} old.", "bad"
        return sentence(self.status)


def sentence(status: dict[str, Any]) -> tuple[str, str]:
    """How the tunnel of this status is, in words, and their style: good, warn or bad."""
    if status["role"] == "server":
        return _server_sentence(status)
    peer = status["peers"][0] if status["peers"] else None
    if status["state"] == "refused":
        return f"The server refuses this client: {status.get('refusal')}.", "bad"
    if peer is None:
        return "Looking for the server: nothing came back yet.", "warn"
    contact = f"Last contact {units.duration(peer['last_contact_s'])} ago."
    if status["state"] != "connected":
        return f"The server is silent, connecting again. {contact}", "bad"
    if peer["last_contact_s"] > _SILENT_AFTER:
        return f"Connected, but it is silent. {contact}", "warn"
    text, style = _link(peer)
    return f"Connected. {text} {contact}", style


def _server_sentence(status: dict[str, Any]) -> tuple[str, str]:
    peers = status["peers"]
    if not peers:
        return "Listening. No client is connected.", "warn"
    worst = max(peers, key=lambda peer: peer["loss"])
    clients = "One client is" if len(peers) == 1 else f"{len(peers)} clients are"
    text, style = _link(worst)
    if len(peers) > 1 and worst["loss"] > _CLEAN:
        text = f"The worst link is {worst['name']}'s: {units.percent(worst['loss'])} lost, mended."
    return f"{clients} connected. {text}", style


def _link(peer: dict[str, Any]) -> tuple[str, str]:
    loss = units.percent(peer["loss"])
    if peer["queue_delay_ms"] > _QUEUE_MS:
        return f"A queue of {units.milliseconds(peer['queue_delay_ms'])} stands on the way.", "warn"
    if peer["loss"] < _CLEAN:
        return "The link is clean.", "good"
    if peer["loss"] < _LOSSY:
        return f"The link loses {loss}.", "good"
    if peer["loss"] < _HEAVY:
        return f"The link loses {loss}, mended.", "good"
    return f"A bad link: {loss} lost, mended.", "warn"


def _growth(before: dict[str, Any] | None, after: dict[str, Any], counter: str) -> int:
    """Over all peers; one that was not there before, or connected again, counts from nothing."""
    if before is None:
        return 0
    known = {peer["address"]: peer.get(counter, 0) for peer in before["peers"]}
    grown = 0
    for peer in after["peers"]:
        value, base = peer.get(counter, 0), known.get(peer["address"], 0)
        grown += value - base if value >= base else value
    return grown

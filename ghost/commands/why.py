"""`ghosttunnel why`: what makes the tunnel slow, in a sentence for each peer, with the evidence in it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ghost.config import Parser
from ghost.errors import NoDaemonError
from ghost.runtime.asking import SOCKET_NAME, ask

HELP = (
    "Say why the tunnel that runs on the state directory is slow: losses, queue, policer, silence, freeze, processor."
)


def configure(parser: Parser) -> None:
    parser.add_options("json", "state-dir")


def run(options: argparse.Namespace) -> int:
    answer = ask(options.state_dir / SOCKET_NAME, {"request": "status"})
    if not answer.get("ok"):
        raise NoDaemonError(f"{answer.get('error')}: is it another version? restart it")
    status = answer["status"]
    if options.json:
        print(json.dumps([{key: peer.get(key) for key in ("name", "cause", "diagnosis")} for peer in status["peers"]]))
    else:
        print("\n".join(reasons(status)))
    return 0


def reasons(status: dict[str, Any]) -> list[str]:
    """A line for each peer, and for what stands above all of them."""
    lines = []
    if status.get("chaos"):
        lines.append(f"A bad link was put in on purpose, `ghosttunnel chaos off` takes it away: {status['chaos']}")
    if status["state"] == "connecting":
        lines.append("Not connected: the server does not answer. The log says since when.")
    lines += [f"{peer.get('name') or 'unnamed'}: {peer['diagnosis']}" for peer in status["peers"]]
    if not status["peers"] and status["state"] == "listening":
        lines.append("Nobody is connected.")
    if status["role"] == "client" and status["peers"]:
        lines.append("This is how it looks to what is sent from here; the server says it of downloads: run it there.")
    return lines

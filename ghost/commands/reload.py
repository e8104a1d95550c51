"""`ghosttunnel reload`: a running daemon reads its configuration again and says what changed."""

from __future__ import annotations

import argparse

from ghost.config import Parser
from ghost.runtime.asking import SOCKET_NAME, demand

HELP = "Let the server or client that runs on the state directory read its configuration again."


def configure(parser: Parser) -> None:
    parser.add_options("state-dir")


def run(options: argparse.Namespace) -> int:
    print("\n".join(report(demand(options.state_dir / SOCKET_NAME, {"request": "reload"}))))
    return 0


def report(answer: dict[str, list[str]]) -> list[str]:
    """A line for each group of options that changed."""
    words = {
        "applied": "in force now",
        "next_connection": "in force for connections from now on",
        "needs_restart": "in force after a restart",
    }
    lines = [f"{meaning}: {', '.join(answer[key])}" for key, meaning in words.items() if answer.get(key)]
    return lines or ["nothing changed"]

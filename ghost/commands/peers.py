"""`ghosttunnel peers`: the clients that a running server knows and its open invites; with --revoke, one client less."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ghost.config import Parser
from ghost.runtime.asking import SOCKET_NAME, demand
from ghost.units import duration

HELP = "List the clients of the server that runs on the state directory, or shut one out."


def configure(parser: Parser) -> None:
    parser.add_options("revoke", "json", "state-dir")


def run(options: argparse.Namespace) -> int:
    path = options.state_dir / SOCKET_NAME
    if options.revoke is not None:
        answer = demand(path, {"request": "revoke", "peer": options.revoke})
        print(f"{answer['revoked']} is no client any more")
        return 0
    answer = demand(path, {"request": "peers"})
    told = {key: answer[key] for key in ("peers", "invites")}
    print(json.dumps(told, indent=2) if options.json else "\n".join(report(told)))
    return 0


def report(told: dict[str, Any]) -> list[str]:
    """A line for each client, those that are here first, and one for each open invite."""
    lines = []
    for peer in sorted(told["peers"], key=lambda peer: (not peer["is_connected"], peer["last_seen_s"])):
        where = f"connected from {peer['endpoint']}" if peer["is_connected"] else "not connected"
        seen = duration(peer["last_seen_s"])
        lines.append(f"{peer['name']}  {peer['address']}  {where}, last seen {seen} ago  {peer['public_key'][:16]}")
    lines += [
        f"open invite for {invite['name']}, expires in {duration(invite['expires_in_s'])}" for invite in told["invites"]
    ]
    return lines or ["no clients and no open invites: `ghosttunnel invite` makes one"]

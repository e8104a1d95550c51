"""`ghosttunnel status`: what a running server or client is doing, in the manner of `wg show`, or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from ghost import units
from ghost.config import Parser
from ghost.errors import NoDaemonError
from ghost.runtime.asking import SOCKET_NAME, Conversation

HELP = "Show what the server or client that runs on the state directory is doing."

_INTERVAL = 1.0
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_CLEAR = "\x1b[H\x1b[J"


def configure(parser: Parser) -> None:
    parser.add_options("json", "watch", "state-dir")


def run(options: argparse.Namespace) -> int:
    conversation = Conversation(Path(options.state_dir) / SOCKET_NAME)
    is_terminal = sys.stdout.isatty()
    while True:
        try:
            status = conversation.demand({"request": "status"})["status"]
        except NoDaemonError as error:
            if not options.watch:
                raise
            print(f"ghosttunnel: {error}", file=sys.stderr)
        else:
            if options.json:
                # One object a line while watching, so that a program can read along.
                print(json.dumps(status, indent=None if options.watch else 2), flush=True)
            else:
                lines = report(status, is_bold=is_terminal)
                print((_CLEAR if options.watch and is_terminal else "") + "\n".join(lines), flush=True)
        if not options.watch:
            return 0
        time.sleep(_INTERVAL)


def report(status: dict[str, Any], *, is_bold: bool = False) -> list[str]:
    """Blocks of `label: value`: the device's, and one for each peer, the important first, the rest as it comes."""
    bold, plain = (_BOLD, _PLAIN) if is_bold else ("", "")
    own = {key: value for key, value in status.items() if key not in ("device", "peers", "totals")}
    own["role"] = f"{own.pop('role')}, {own.pop('state')}"
    lines = [f"{bold}interface: {status.get('device', 'ghost')}{plain}", *_block(own, _OWN)]
    for peer in status["peers"]:
        facts = {key: value for key, value in peer.items() if key != "name"}
        lines += ["", f"{bold}peer: {peer.get('name') or 'unnamed'}{plain}", *_block(facts, _PEER)]
    return lines


_OWN = ("role", "inner_address", "uptime_s", "crypto")
_PEER = (
    *("endpoint", "address", "last_contact_s", "transfer", "throughput", "goodput"),
    *("rtt_ms", "rtt_variation_ms", "min_rtt_ms", "queue_delay_ms", "loss", "redundancy"),
)
_PAIRS = {
    "transfer": ("received_bytes", "sent_bytes"),
    "inner transfer": ("inner_received_bytes", "inner_sent_bytes"),
    "throughput": ("received_bps", "sent_bps"),
    "goodput": ("inner_received_bps", "inner_sent_bps"),
    "packets": ("received_packets", "sent_packets"),
}
"""Two directions of one thing, on one line."""


def _block(facts: dict[str, Any], first: tuple[str, ...]) -> list[str]:
    shown = {}
    for key, value in facts.items():
        if value is not None and value != {}:
            label, text = units.labelled(key, value)
            shown[key] = f"  {label}: {text}" + (" ago" if key == "last_contact_s" else "")
    for name, (received, sent) in _PAIRS.items():
        if shown.pop(received, None) and shown.pop(sent, None):
            came, went = (units.labelled(key, facts[key])[1] for key in (received, sent))
            shown[name] = f"  {name}: {came} received, {went} sent"
    order = [key for key in first if key in shown] + [key for key in shown if key not in first]
    return [shown[key] for key in order]

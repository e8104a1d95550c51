"""`ghosttunnel status`: what a running server or client is doing, for people or, with --json, for programs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from ghost.config import Parser
from ghost.errors import NoDaemonError
from ghost.runtime.control import SOCKET_NAME, ask

HELP = "Show what the server or client that runs on the state directory is doing."


def configure(parser: Parser) -> None:
    parser.add_options("json", "state-dir")


def run(options: argparse.Namespace) -> int:
    answer = ask(options.state_dir / SOCKET_NAME, {"request": "status"})
    if not answer.get("ok"):
        raise NoDaemonError(f"{answer.get('error')}: is it another version? restart it")
    status = answer["status"]
    print(json.dumps(status, indent=2) if options.json else "\n".join(report(status)))
    return 0


def report(status: dict[str, Any]) -> list[str]:
    """Blocks of `label: value`, the tunnel's own and one for each peer."""
    own = {key: value for key, value in status.items() if key not in ("role", "state", "peers")}
    lines = [f"{status['role']}: {status['state']}", *_block(own)]
    for peer in status.get("peers", []):
        lines += [
            "",
            f"peer: {peer.get('name') or 'unnamed'}",
            *_block({k: v for k, v in peer.items() if k != "name"}),
        ]
    return lines


def _block(values: dict[str, Any]) -> list[str]:
    lines = []
    for key, value in values.items():
        if value is None or value == {}:
            continue
        label, show = _label(key)
        if isinstance(value, dict):
            shown = ", ".join(f"{_words(name)} {count}" for name, count in value.items() if count) or "none"
        else:
            shown = show(value)
        lines.append(f"  {label}: {shown}")
    return lines


def _label(key: str) -> tuple[str, Callable[[Any], str]]:
    for suffix, show in _UNITS.items():
        if key.endswith(suffix) and key != suffix:
            kept = suffix if suffix == "_bytes" else ""
            return _words(key.removesuffix(suffix) + kept).removesuffix(" bytes"), show
    return _words(key), _percent if key == "loss" else _endpoint if key == "endpoint" else str


def _words(name: str) -> str:
    return name.replace("_", " ")


def _endpoint(value: Any) -> str:
    if isinstance(value, list) and len(value) >= 2:
        return f"[{value[0]}]:{value[1]}" if ":" in str(value[0]) else f"{value[0]}:{value[1]}"
    return str(value)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _duration(seconds: float) -> str:
    """Two units at most: 3 d 4 h, 5 min 6 s, 7.8 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, smaller, smaller_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"


def _scaled(value: float, base: int, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if value < base:
            return f"{value:.4g} {unit}"
        value /= base
    return f"{value:.4g} {units[-1]}"


def _bytes(value: float) -> str:
    return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def _rate(value: float) -> str:
    return _scaled(value, 1000, ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"))


_UNITS: dict[str, Callable[[Any], str]] = {
    "_s": _duration,
    "_ms": lambda value: f"{value:.1f} ms",
    "_bytes": _bytes,
    "_bps": _rate,
}

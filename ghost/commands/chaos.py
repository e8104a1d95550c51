"""`ghosttunnel chaos`: a bad link for the tunnel that runs on the state directory, and the list of profiles."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from ghost.chaos.profiles import PROFILES
from ghost.config import Parser, duration, link
from ghost.errors import ConfigError
from ghost.runtime.asking import SOCKET_NAME, ask
from ghost.runtime.recorder import read_trace

HELP = "Put a bad link between a running tunnel and its network, both ways at this end, or take it away again."

WIDTH = 110


def configure(parser: Parser) -> None:
    parser.add_argument(
        "link", nargs="?", metavar="SPEC|off", help="a description like loss=30%%,delay=50ms, or a profile's name"
    )
    parser.add_argument(
        "--for", dest="duration", type=duration, metavar="TIME", help="end by itself, for example after 30s"
    )
    parser.add_argument("--trace", type=Path, metavar="FILE", help="play what `client --record` wrote, over and over")
    parser.add_argument("--list", action="store_true", help="list the links known by name")
    parser.add_options("state-dir")


def run(options: argparse.Namespace) -> int:
    if options.list:
        print("\n".join(listing()))
        return 0
    if (options.link is None) is (options.trace is None):
        raise ConfigError("chaos needs one link: write for example `ghosttunnel chaos loss=30%`, `off`, or --list")
    request: dict[str, object] = {"request": "chaos"}
    if options.trace is not None:
        read_trace(options.trace)
        request["trace"] = str(options.trace.absolute())
    else:
        is_off = options.link.strip().lower() == "off"
        if is_off and options.duration is not None:
            raise ConfigError("--for tells how long a link stays: leave it out with off")
        request["link"] = "off" if is_off else link(options.link)
    if options.duration is not None:
        request["seconds"] = options.duration
    answer = ask(options.state_dir / SOCKET_NAME, request)
    if not answer.get("ok"):
        raise ConfigError(str(answer.get("error")))
    until = f" for {options.duration:g} s" if options.duration is not None else ""
    print(f"chaos: {answer['link'] or 'off'}{until}")
    return 0


def listing() -> list[str]:
    """Each profile's name, its description, and where the numbers come from."""
    lines = []
    for name, profile in PROFILES.items():
        lines.append(f"{name:<12}{profile.text}")
        lines += textwrap.wrap(profile.source, WIDTH, initial_indent=" " * 12, subsequent_indent=" " * 12)
    return lines

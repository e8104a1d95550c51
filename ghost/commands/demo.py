"""`ghosttunnel demo`: the same download over the same bad link, outside the tunnel and then inside it.

Two network namespaces on this machine stand for a client and a server, a process between them for the bad
link. Each part starts its own stream, counts the same seconds, and pings meanwhile; the SHA-256 of what
arrived is compared with that of what was sent. Nothing outside the two namespaces is touched, and they are
gone when the command ends.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ghost.chaos.profiles import PROFILES, resolve
from ghost.errors import ConfigError, GhostError
from ghost.runtime.entry import entry_command, module_command
from ghost.runtime.namespaces import ADDRESSES, LineReader, NamespacePair, end
from ghost.runtime.traffic import CONNECT_LIMIT, stream_digest

HELP = "compare a download outside and inside the tunnel, over a bad link on this machine (needs root)"

LINK = PROFILES["hostile-30"].text
SUBNET, INNER_SERVER = "10.77.0.0/24", "10.77.0.1"
TUNNEL_PORT, STREAM_PORT = 8000, 5001
PING_INTERVAL = 0.2
UP_LIMIT = 30.0
"""Seconds for the tunnel to come up, where it should take less than two."""

TRAFFIC = "ghost.runtime.traffic"


@dataclass(frozen=True, slots=True)
class Result:
    """What one part of the demo measured; `wire_bytes` are those of both directions of the link."""

    seconds: float
    received: int
    connected: float | None
    is_intact: bool
    pings_sent: int
    ping_times: list[float]
    wire_bytes: int

    @property
    def goodput_bps(self) -> float:
        return self.received * 8 / self.seconds if self.seconds else 0.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--secs", type=int, default=10, metavar="N", help="seconds for each download (default: 10)")
    parser.add_argument(
        "--link",
        default=LINK,
        metavar="SPEC",
        help=f"the bad link: a description such as the default, {LINK.replace('%', '%%')}, "
        f"or one of {', '.join(PROFILES)}",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="replay these losses (default: 1)")


def run(options: argparse.Namespace) -> int:
    """0 if the stream arrived intact inside the tunnel and faster than outside it, 1 otherwise."""
    if options.secs < 1:
        raise ConfigError("--secs must be 1 or more: each download needs time to start")
    link = resolve(options.link)
    stop = _Interruption()
    with tempfile.TemporaryDirectory(prefix="ghostdemo") as folder, NamespacePair("demo") as pair:
        pair.impaired(link, seed=options.seed)
        print(f"Link, each way: {link}")
        outside = _measure(pair, stop, "outside", ADDRESSES["b"], options.secs, options.seed)
        up_after = _tunnel(pair, stop, Path(folder))
        print(f"The tunnel is up after {up_after:.1f} s.")
        inside = _measure(pair, stop, "inside", INNER_SERVER, options.secs, options.seed)
    print()
    print("\n".join(table(outside, inside)))
    print()
    print(verdict(outside, inside))
    return 0 if is_promise_kept(outside, inside) else 1


def table(outside: Result, inside: Result) -> list[str]:
    """The two results side by side, one line for each figure."""
    rows: list[tuple[str, Callable[[Result], str]]] = [
        ("goodput", lambda r: f"{r.goodput_bps / 1e6:.2f} Mbit/s"),
        ("received", lambda r: f"{r.received / 1e6:.2f} MB"),
        ("SHA-256 of the stream", lambda r: "matches" if r.is_intact else "DIFFERS" if r.received else "-"),
        ("connected after", lambda r: "never" if r.connected is None else f"{r.connected:.2f} s"),
        ("pings lost", lambda r: f"{1 - len(r.ping_times) / r.pings_sent:.0%}"),
        (
            "ping, median",
            lambda r: f"{statistics.median(r.ping_times) * 1000:.0f} ms" if r.ping_times else "-",
        ),
        ("bytes on the wire per byte", lambda r: f"{r.wire_bytes / r.received:.2f}" if r.received else "-"),
    ]
    lines = [f"{'':28}{'outside':>14}{'inside':>14}"]
    lines += [f"{name:28}{show(outside):>14}{show(inside):>14}" for name, show in rows]
    return lines


def verdict(outside: Result, inside: Result) -> str:
    if not inside.is_intact:
        return "The tunnel failed: the stream inside it did not arrive as it was sent."
    if not is_promise_kept(outside, inside):
        return "The tunnel was no faster than the plain connection on this link."
    if outside.received == 0:
        return "Same link, same seconds: the plain connection carried nothing, the tunnel carried every byte intact."
    times = inside.goodput_bps / outside.goodput_bps
    return f"Same link, same seconds: the tunnel carried {times:.1f} times as much, every byte as it was sent."


def is_promise_kept(outside: Result, inside: Result) -> bool:
    return inside.is_intact and inside.goodput_bps > outside.goodput_bps


def _measure(pair: NamespacePair, stop: _Interruption, label: str, server: str, seconds: int, seed: int) -> Result:
    """Download from `server` for `seconds`, with pings meanwhile and a line of progress for each second."""
    assert pair.link is not None
    traffic = module_command(TRAFFIC)
    before = pair.link.stats()
    limit = seconds + 2 * CONNECT_LIMIT
    serving = pair.spawn("b", *traffic, "serve", server, str(STREAM_PORT), f"--seed={seed}", f"--limit={limit}")
    if LineReader(serving).next_line(CONNECT_LIMIT) is None:
        raise GhostError(f"the sender of the download {label} did not start: the machine may be overloaded, try again")
    count = max(1, int(seconds / PING_INTERVAL))
    pinging = pair.spawn("a", *traffic, "ping", server, f"--count={count}", f"--interval={PING_INTERVAL}")
    fetching = pair.spawn("a", *traffic, "fetch", server, str(STREAM_PORT), f"--seconds={seconds}")
    progress = LineReader(fetching)
    report: dict[str, float | str | None] = {}
    show = _Progress(label, seconds)
    deadline = time.monotonic() + limit
    while "sha256" not in report:
        stop.check()
        line = progress.next_line(1.0)
        if line is not None:
            report = json.loads(line)
        elif fetching.poll() is not None or time.monotonic() > deadline:
            raise GhostError(f"the download {label} ended without a result: run the demo again with fewer --secs")
        show.update(float(report.get("seconds") or 0), int(report.get("bytes") or 0))
    show.close()
    after = pair.link.stats()
    pings = json.loads(LineReader(pinging).next_line(seconds + CONNECT_LIMIT) or '{"sent": 1, "times": []}')
    for process in (fetching, pinging, serving):
        end(process)
    received = int(report["bytes"] or 0)
    return Result(
        seconds=float(report["seconds"] or 0),
        received=received,
        connected=report["connected"],  # type: ignore[arg-type]
        is_intact=received > 0 and report["sha256"] == stream_digest(seed, received),
        pings_sent=pings["sent"],
        ping_times=pings["times"],
        wire_bytes=sum(after[way]["in_bytes"] - before[way]["in_bytes"] for way in after),
    )


def _tunnel(pair: NamespacePair, stop: _Interruption, folder: Path) -> float:
    """Start a server in b and a client in a as a user would; returns the seconds from client to first
    answer."""
    endpoint = f"{ADDRESSES['b']}:{TUNNEL_PORT}"
    program = entry_command()
    state = f"--state-dir={folder / 'server'}"
    log = folder / "server.log"
    server = pair.spawn(
        "b",
        *program,
        "server",
        f"--listen={endpoint}",
        state,
        f"--subnet={SUBNET}",
        "--tun-name=ghosts",
        "--no-nat",
        log=log,
    )
    invite = _invite(pair, stop, [*program, "invite", state, f"--endpoint={endpoint}"], server, log)
    started = time.monotonic()
    log = folder / "client.log"
    client = pair.spawn(
        "a",
        *program,
        "client",
        f"--state-dir={folder / 'client'}",
        "--tun-name=ghostc",
        "--no-default-route",
        log=log,
        environment={"GHOST_INVITE": invite},
    )
    ping = [*module_command(TRAFFIC), "ping", INNER_SERVER, f"--count={int(UP_LIMIT / 0.1)}", "--until-first"]
    reader = LineReader(pair.spawn("a", *ping))
    while time.monotonic() - started < 2 * UP_LIMIT:
        stop.check()
        answer = reader.next_line(0.2)
        if answer is not None and json.loads(answer)["times"]:
            return time.monotonic() - started
        if answer is not None or client.poll() is not None:
            break
    raise GhostError(f"the tunnel did not come up within {UP_LIMIT:.0f} s: {_last_words(log)}")


def _invite(
    pair: NamespacePair, stop: _Interruption, argv: list[str], server: subprocess.Popen[bytes], log: Path
) -> str:
    """The server's invite; the command is repeated while the server still makes its keys."""
    deadline = time.monotonic() + UP_LIMIT
    while time.monotonic() < deadline and server.poll() is None:
        stop.check()
        made = pair.run("b", *argv, timeout=UP_LIMIT)
        invite = next((line for line in made.stdout.split() if line.startswith("ghost://")), None)
        if invite is not None:
            return invite
        time.sleep(0.2)
    raise GhostError(f"the server gave no invite: {_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


class _Interruption:
    """Takes note of SIGINT and SIGTERM, for `check` to obey at a place where nothing is half done.

    An exception out of a signal handler is lost when it strikes in a fork or in a callback of the event loop.
    """

    def __init__(self) -> None:
        self._signal = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self._signal = number

    def check(self) -> None:
        """Leave the program, through every clean-up, if it was told to stop."""
        if self._signal:
            sys.exit(128 + self._signal)


class _Progress:
    """The speed so far: one line that keeps changing on a terminal, a line for each second elsewhere."""

    def __init__(self, label: str, seconds: int) -> None:
        self._label = label
        self._seconds = seconds
        self._is_live = sys.stdout.isatty()
        self._second = 0
        self._bytes = 0

    def update(self, now: float, received: int) -> None:
        if not self._is_live and int(now) == self._second:
            return
        speed = (received - self._bytes) * 8 / 1e6 / max(1, int(now) - self._second)
        self._second, self._bytes = int(now), received
        width = 24
        done = min(width, int(width * now / self._seconds))
        bar = "#" * done + "." * (width - done)
        state = f"{speed:6.2f} Mbit/s {received / 1e6:7.2f} MB" if now else "connecting"
        line = f"{self._label:8} [{bar}] {min(now, self._seconds):3.0f}/{self._seconds} s  {state}"
        print(f"\r{line:78}" if self._is_live else line, end="" if self._is_live else "\n", flush=True)

    def close(self) -> None:
        if self._is_live:
            print()

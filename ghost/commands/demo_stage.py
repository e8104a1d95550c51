"""What both forms of `ghosttunnel demo` are played on: a tunnel between two namespaces, and traffic to measure.

The bad link joins namespaces a and b. The server runs in b and the client in a, each started as a user would start
it; downloads go from b to a, pings from a to b. Whatever is started here ends with the NamespacePair.
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ghost.chaos.spec import LinkSpec
from ghost.errors import GhostError
from ghost.runtime.entry import entry_command, module_command
from ghost.runtime.namespaces import ADDRESSES, LineReader, NamespacePair, end
from ghost.runtime.traffic import CONNECT_LIMIT, LATE, stream_digest

SUBNET, INNER_SERVER = "10.77.0.0/24", "10.77.0.1"
TUNNEL_PORT, STREAM_PORT = 8000, 5001
PING_INTERVAL = 0.2
UP_LIMIT = 30.0
"""Seconds for the tunnel to come up, where it should take less than two."""

_TRAFFIC = module_command("ghost.runtime.traffic")


class Interruption:
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


@dataclass(frozen=True, slots=True)
class Report:
    """How far a download is: seconds since it connected, and bytes. The last one has the rest too: how long
    connecting took, None if it failed, and whether the bytes are those that were sent."""

    seconds: float
    received: int
    is_last: bool = False
    connected: float | None = None
    is_intact: bool = False


class Download:
    """A stream from `server`, an address of b, to a, for some seconds from its connection on."""

    def __init__(self, pair: NamespacePair, server: str, *, seconds: int, seed: int, interval: float = 1.0) -> None:
        self._seed = seed
        self._limit = seconds + 2 * CONNECT_LIMIT
        where = (server, str(STREAM_PORT))
        self._serving = pair.spawn("b", *_TRAFFIC, "serve", *where, f"--seed={seed}", f"--limit={self._limit}")
        if LineReader(self._serving).next_line(CONNECT_LIMIT) is None:
            raise GhostError("the sender of the download did not start: the machine may be overloaded, try again")
        often = f"--interval={interval}"
        self._fetching = pair.spawn("a", *_TRAFFIC, "fetch", *where, f"--seconds={seconds}", often)

    def reports(self, stop: Interruption) -> Iterator[Report]:
        """One each interval, whether or not something arrived; while it connects, one of nothing a second. Then the
        last."""
        lines = LineReader(self._fetching)
        deadline = time.monotonic() + self._limit
        report = Report(0.0, 0)
        while not report.is_last:
            stop.check()
            line = lines.next_line(1.0)
            if line is not None:
                report = self._report(json.loads(line))
            elif self._fetching.poll() is not None or time.monotonic() > deadline:
                raise GhostError("the download ended without a result: run the demo again with fewer --secs")
            yield report

    def close(self) -> None:
        end(self._fetching)
        end(self._serving)

    def _report(self, told: dict[str, float | str | None]) -> Report:
        seconds, received = float(told["seconds"] or 0), int(told["bytes"] or 0)
        if "sha256" not in told:
            return Report(seconds, received)
        is_intact = received > 0 and told["sha256"] == stream_digest(self._seed, received)
        return Report(seconds, received, True, told["connected"], is_intact)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Echoes:
    """What became of some pings: how many were sent, and the round trips, in seconds, of those that came back."""

    sent: int
    times: list[float]

    @property
    def lost(self) -> int:
        return self.sent - len(self.times)

    @property
    def median(self) -> str:
        return f"{statistics.median(self.times) * 1000:.0f} ms" if self.times else "-"


class Pings:
    """Pings from a to `server` for some seconds from now on."""

    def __init__(self, pair: NamespacePair, server: str, *, seconds: int) -> None:
        self._seconds = seconds
        self._count = max(1, int(seconds / PING_INTERVAL))
        arguments = ("ping", server, f"--count={self._count}", f"--interval={PING_INTERVAL}")
        self._process = pair.spawn("a", *_TRAFFIC, *arguments)

    def result(self) -> Echoes:
        """Waits for the last echo, or for the time after which it counts as lost."""
        line = LineReader(self._process).next_line(self._seconds + LATE + CONNECT_LIMIT)
        end(self._process)
        return Echoes(self._count, []) if line is None else Echoes(**json.loads(line))


def start_tunnel(
    pair: NamespacePair,
    stop: Interruption,
    folder: Path,
    program: Sequence[str] | None = None,
    *,
    link: LinkSpec | None = None,
) -> float:
    """Start a server and a client, their state in `folder`; returns the seconds from client to first answer.

    `program` begins the command line of ghosttunnel, by default of the one that runs. Where the clock leaps on `link`,
    it is the client's.
    """
    endpoint = f"{ADDRESSES['b']}:{TUNNEL_PORT}"
    program = program or entry_command()
    state, log = f"--state-dir={folder / 'server'}", folder / "server.log"
    options = [state, f"--listen={endpoint}", f"--subnet={SUBNET}", "--tun-name=ghosts", "--no-nat"]
    server = pair.spawn("b", *program, "server", *options, log=log)
    invite = _invite(pair, stop, [*program, "invite", state, f"--endpoint={endpoint}"], server, log)
    started = time.monotonic()
    log = folder / "client.log"
    options = [f"--state-dir={folder / 'client'}", "--tun-name=ghostc", "--no-default-route"]
    if link is not None and link.jump:
        options.append(f"--chaos={LinkSpec(jump=link.jump, jump_period=link.jump_period)}")
    client = pair.spawn("a", *program, "client", *options, log=log, environment={"GHOST_INVITE": invite})
    ping = [*_TRAFFIC, "ping", INNER_SERVER, f"--count={int(UP_LIMIT / 0.1)}", "--until-first"]
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
    pair: NamespacePair, stop: Interruption, argv: list[str], server: subprocess.Popen[bytes], log: Path
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

"""`ghosttunnel demo`: the same download over the same bad link, outside the tunnel and then inside it.

Two network namespaces on this machine stand for a client and a server, a process between them for the bad
link. Each part starts its own stream, counts the same seconds, and pings meanwhile; the SHA-256 of what
arrived is compared with that of what was sent. The part inside is watched on the dashboard where there is a
terminal. Nothing outside the two namespaces is touched, and they are gone when the command ends. With --spike
the link gets worse while one download runs: demo_spike.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ghost.chaos.profiles import PROFILES, resolve
from ghost.chaos.spec import LinkSpec
from ghost.commands import demo_spike
from ghost.commands.demo_board import Second, View, view_on
from ghost.commands.demo_stage import INNER_SERVER, Download, Echoes, Interruption, Pings, Report, start_tunnel
from ghost.commands.pictures import plots_for
from ghost.config import whole_number, whole_seconds
from ghost.errors import ConfigError
from ghost.runtime.namespaces import ADDRESSES, NamespacePair

HELP = "Compare a download outside and inside the tunnel, over a bad link on this machine. Needs root."

LINK = PROFILES["hostile-30"].text
SECONDS = 10
BAD_LOSS = 0.05
"""From this loss on the tunnel promises to be faster; a plain connection that loses less may need no help."""
SHARE_KEPT = 0.85
"""Of a plain connection's goodput on any link: headers and tags are 8 %, probing and pacing take a little."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one part of the demo measured; `wire_bytes` are those of both directions of the link."""

    seconds: float
    received: int
    connected: float | None
    is_intact: bool
    pings: Echoes
    wire_bytes: int

    @property
    def goodput_bps(self) -> float:
        return self.received * 8 / self.seconds if self.seconds else 0.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--secs",
        type=whole_seconds,
        metavar="N",
        help=f"seconds for each download (default: {SECONDS}), or for each step of --spike "
        f"(default: {demo_spike.SECONDS})",
    )
    parser.add_argument(
        "--link",
        default=LINK,
        metavar="SPEC",
        help=f"the bad link: a description such as the default, {LINK.replace('%', '%%')}, "
        f"or one of {', '.join(PROFILES)}",
    )
    parser.add_argument("--seed", type=whole_number, default=1, metavar="N", help="replay these losses (default: 1)")
    parser.add_argument(
        "--spike",
        action="store_true",
        help="one download inside the tunnel, while the loss rises from 0 to 50 %%, all falls silent, and it recovers",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="with --spike: draw it, as .png or .svg")


def run(options: argparse.Namespace) -> int:
    """0 if what the tunnel promises was kept, 1 otherwise."""
    seconds = options.secs if options.secs is not None else demo_spike.SECONDS if options.spike else SECONDS
    link = resolve(options.link)
    if not options.spike:
        if options.plot is not None:
            raise ConfigError("--plot draws what --spike measures: add --spike, or use `ghosttunnel sim --plot`")
        return compare(link, seconds=seconds, seed=options.seed)
    plot = None if options.plot is None else partial(plots_for(options.plot).spike, path=options.plot)
    return demo_spike.run(link, seconds=seconds, seed=options.seed, plot=plot)


def compare(link: LinkSpec, *, seconds: int, seed: int) -> int:
    """0 if the stream arrived intact inside the tunnel and as fast as promised for such a link, 1 otherwise."""
    stop = Interruption()
    with tempfile.TemporaryDirectory(prefix="ghostdemo") as folder, NamespacePair("demo") as pair:
        pair.impaired(link, seed=seed)
        print(f"Link, each way: {link}")
        lines = nullcontext(_Progress("outside", seconds))
        outside = _measure(pair, stop, ADDRESSES["b"], link, seconds=seconds, seed=seed, shown_by=lines)
        up_after = start_tunnel(pair, stop, Path(folder), link=link)
        print(f"The tunnel is up after {up_after:.1f} s.", flush=True)
        board = view_on(Path(folder) / "server", _Progress("inside", seconds))
        inside = _measure(pair, stop, INNER_SERVER, link, seconds=seconds, seed=seed, shown_by=board)
    print()
    print("\n".join(table(outside, inside)))
    print()
    print(verdict(link, outside, inside))
    return 0 if is_promise_kept(link, outside, inside) else 1


def table(outside: Result, inside: Result) -> list[str]:
    """The two results side by side, one line for each figure."""
    rows: list[tuple[str, Callable[[Result], str]]] = [
        ("goodput", lambda r: f"{r.goodput_bps / 1e6:.2f} Mbit/s"),
        ("received", lambda r: f"{r.received / 1e6:.2f} MB"),
        ("SHA-256 of the stream", lambda r: "matches" if r.is_intact else "DIFFERS" if r.received else "-"),
        ("connected after", lambda r: "never" if r.connected is None else f"{r.connected:.2f} s"),
        ("pings lost", lambda r: f"{r.pings.lost / r.pings.sent:.0%}"),
        ("ping, median", lambda r: r.pings.median),
        ("bytes on the wire per byte", lambda r: f"{r.wire_bytes / r.received:.2f}" if r.received else "-"),
    ]
    lines = [f"{'':28}{'outside':>14}{'inside':>14}"]
    lines += [f"{name:28}{show(outside):>14}{show(inside):>14}" for name, show in rows]
    return lines


def verdict(link: LinkSpec, outside: Result, inside: Result) -> str:
    if not inside.is_intact:
        return "The tunnel failed: the stream inside it did not arrive as it was sent."
    if outside.received == 0:
        return "The plain connection carried nothing; in the tunnel every byte arrived as it was sent."
    share = inside.goodput_bps / outside.goodput_bps
    if not is_promise_kept(link, outside, inside):
        promise = "more" if link.loss >= BAD_LOSS else f"{SHARE_KEPT:.0%} at least"
        return f"The tunnel carried {share:.0%} of the plain connection's bytes, and should carry {promise}."
    if share < 1.05 and link.loss < BAD_LOSS:
        return f"The tunnel carried {share:.0%} of the plain connection's bytes, on a link with little to mend."
    return f"The tunnel carried {share:.1f} times as much, and every byte as it was sent."


def is_promise_kept(link: LinkSpec, outside: Result, inside: Result) -> bool:
    least = 1.0 if link.loss >= BAD_LOSS else SHARE_KEPT
    return inside.is_intact and inside.goodput_bps > least * outside.goodput_bps


def _measure(
    pair: NamespacePair,
    stop: Interruption,
    server: str,
    link: LinkSpec,
    *,
    seconds: int,
    seed: int,
    shown_by: AbstractContextManager[View],
) -> Result:
    """Download from `server` for `seconds`, with pings meanwhile; each second is shown."""
    assert pair.link is not None
    before = pair.link.stats()
    download = Download(pair, server, seconds=seconds, seed=seed)
    pings = Pings(pair, server, seconds=seconds)
    told = Report(0.0, 0)
    with shown_by as view:
        for report in download.reports(stop):
            rate = (report.received - told.received) * 8 / max(report.seconds - told.seconds, 1e-9)
            view.show(Second(report.seconds, link.loss, rate, report.received))
            told = report
    if sys.stdout.isatty():
        print()  # the line that kept changing is over
    after = pair.link.stats()
    echoes = pings.result()
    download.close()
    return Result(
        seconds=report.seconds,
        received=report.received,
        connected=report.connected,
        is_intact=report.is_intact,
        pings=echoes,
        wire_bytes=sum(after[way]["in_bytes"] - before[way]["in_bytes"] for way in after),
    )


class _Progress:
    """The speed so far: one line that keeps changing on a terminal, a line for each second elsewhere."""

    def __init__(self, label: str, seconds: int) -> None:
        self._label = label
        self._seconds = seconds
        self._is_live = sys.stdout.isatty()
        self._second = 0
        self._bytes = 0

    def show(self, second: Second) -> None:
        now, received = second.time, second.received
        if int(now) == self._second and (now or not self._is_live):
            return
        speed = (received - self._bytes) * 8 / 1e6 / max(1, int(now) - self._second)
        self._second, self._bytes = int(now), received
        width = 24
        done = min(width, int(width * now / self._seconds))
        bar = "#" * done + "." * (width - done)
        state = f"{speed:6.2f} Mbit/s {received / 1e6:7.2f} MB" if now else "connecting"
        line = f"{self._label:8} [{bar}] {min(now, self._seconds):3.0f}/{self._seconds} s  {state}"
        print(f"\r{line:78}" if self._is_live else line, end="" if self._is_live else "\n", flush=True)

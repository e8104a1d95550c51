"""What does looking at the tunnel cost? One download, with the dashboard and without it in turn, neighbours compared.

sudo .venv/bin/python bench/dashboard.py                     at 20 Mbit/s, which is resolved to a percent
sudo .venv/bin/python bench/dashboard.py --link none --pairs 30       over a veth pair, where all CPU is needed
sudo .venv/bin/python bench/dashboard.py --link hostile-30 --size 120x40

The dashboard runs on a terminal of its own, which is read and thrown away. A stretch with it is compared with the mean
of the stretches before and after it, so that what drifts does not count; the download goes on through all of them, so
that none has a beginning. Printed are the rates, their ratio, the dashboard's share of a core, the watched daemon's
with and without it, and the time from its start to the first picture; at the end the medians, and for the ratio the
interval in which the true median lies nine times of ten. Exit code 1 when that shows less than 0.98, or more than 2 %
or 1 s are taken; 2 when the interval is too wide to tell.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from math import comb
from pathlib import Path
from statistics import median

from ghost.chaos.profiles import resolve
from ghost.commands.demo_stage import INNER_SERVER, Download, Interruption, start_tunnel
from ghost.errors import GhostError
from ghost.runtime.asking import SOCKET_NAME, demand
from ghost.runtime.namespaces import NamespacePair

ROOT = Path(__file__).parents[1]
PROGRAM = (sys.executable, str(ROOT / "ghosttunnel.py"))
LEAST_RATIO, MOST_SHARE, MOST_SECONDS = 0.98, 0.02, 1.0
PAINTED = b"last minutes"  # stands in the lowest panel of the dashboard
PAINT_LIMIT = 10.0  # seconds
REPORT_INTERVAL = 0.1  # seconds
SETTLE = 6  # seconds
LINK = "rate=20mbit,delay=10ms"


class Dashboard:
    """`ghosttunnel top` of a daemon, on a terminal of `width` times `height` that nobody looks at."""

    def __init__(self, state: Path, *, width: int, height: int) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", height, width, 0, 0))
        command = (*PROGRAM, "top", "--state-dir", str(state))
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        self._shown = b""
        self._is_painted = threading.Event()
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=follower, stdout=follower, stderr=subprocess.DEVNULL, env=environment
        )
        os.close(follower)
        threading.Thread(target=self._read, daemon=True).start()
        is_painted = self._is_painted.wait(PAINT_LIMIT)
        self.first_paint = time.monotonic() - self._began
        """Seconds from its start to the first picture."""
        if not is_painted:
            self.close()
            raise GhostError(f"the dashboard of {state} shows nothing after {PAINT_LIMIT:.0f} s")

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._leader, 65536)
            except OSError:  # the other end is closed
                return
            if not self._is_painted.is_set():
                self._shown += data
                if PAINTED in self._shown:
                    self._is_painted.set()

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return _cpu_seconds(self._process.pid)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._leader)


def main() -> int:
    options = _options()
    stop = Interruption()
    try:
        with NamespacePair("look") as pair, tempfile.TemporaryDirectory() as folder:
            if options.link == "none":
                pair.veth()
            else:
                pair.impaired(resolve(options.link))
            start_tunnel(pair, stop, Path(folder), PROGRAM)
            return _compare(pair, Path(folder) / "client", options, stop)
    except GhostError as error:
        print(f"{error}", file=sys.stderr)
        return error.exit_code


class Meter:
    """A download that goes on, and the CPU time of the daemon at its receiving end."""

    def __init__(self, pair: NamespacePair, state: Path, stop: Interruption, *, seconds: int) -> None:
        self._download = Download(pair, INNER_SERVER, seconds=seconds, seed=1, interval=REPORT_INTERVAL)
        self._stop = stop
        self._reports: list[tuple[float, int]] = []  # by this program's clock
        self._daemon = demand(state / SOCKET_NAME, {"request": "status"})["status"]["pid"]
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        began = float("inf")
        with contextlib.suppress(GhostError):
            for report in self._download.reports(self._stop):
                began = min(began, time.monotonic() - report.seconds)  # the least late says when it connected
                self._reports.append((began + report.seconds, report.received))

    def stretch(self, seconds: float) -> tuple[float, float]:
        """(megabits a second, share of a core that the daemon takes) from now on."""
        began, worked = time.monotonic(), _cpu_seconds(self._daemon)
        while (left := began + seconds - time.monotonic()) > 0:
            self._stop.check()
            time.sleep(min(left, 0.1))
        ended, worked = time.monotonic(), _cpu_seconds(self._daemon) - worked
        time.sleep(2 * REPORT_INTERVAL)  # for the report behind its end
        received = self._received_by(ended) - self._received_by(began)
        if not received:
            raise GhostError("nothing of a download arrived")
        return received * 8 / (ended - began) / 1e6, worked / (ended - began)

    def _received_by(self, when: float) -> float:
        """Between two reports as if it had come evenly."""
        for (at, before), (later, after) in pairwise(self._reports):
            if at <= when <= later and at < later:
                return before + (after - before) * (when - at) / (later - at)
        return self._reports[-1][1] if self._reports else 0

    def close(self) -> None:
        self._download.close()


def _compare(pair: NamespacePair, state: Path, options: argparse.Namespace, stop: Interruption) -> int:
    width, height = (int(part) for part in options.size.split("x"))
    each: list[tuple[float, float, float, float, float]] = []  # ratio, dashboard's share, daemon's with and without
    meter = Meter(pair, state, stop, seconds=SETTLE + round(options.pairs * (2 * options.secs + PAINT_LIMIT)) + 60)
    try:
        meter.stretch(SETTLE)  # the tunnel finds the path's rate
        print(f"{'':>12}{'Mbit/s':>20}{'':>8}{'of a core':>12}{'the daemon':>20}")
        print(f"{'':>12}{'without':>10}{'with':>10}{'ratio':>8}{'':>12}{'without':>10}{'with':>10}{'first paint':>14}")
        before = meter.stretch(options.secs)
        for number in range(options.pairs):
            dashboard = Dashboard(state, width=width, height=height)
            try:
                worked, began = dashboard.cpu, time.monotonic()
                rate, busy = meter.stretch(options.secs)
                share = (dashboard.cpu - worked) / (time.monotonic() - began)
            finally:
                dashboard.close()
            after = meter.stretch(options.secs)
            without, idle = ((one + other) / 2 for one, other in zip(before, after, strict=True))
            before = after
            each.append((rate / without, share, busy, idle, dashboard.first_paint))
            line = f"{number + 1:>12}{without:>10.2f}{rate:>10.2f}{each[-1][0]:>8.3f}{share:>12.1%}"
            print(f"{line}{idle:>10.1%}{busy:>10.1%}{dashboard.first_paint:>12.2f} s", flush=True)
    finally:
        meter.close()
    ratio, share, busy, idle, paint = (median(column) for column in zip(*each, strict=True))
    print(f"{'median':>12}{'':>20}{ratio:>8.3f}{share:>12.1%}{idle:>10.1%}{busy:>10.1%}{paint:>12.2f} s")
    low, high = interval_of_median([one[0] for one in each])
    print(f"ratio: {ratio:.3f}, nine times of ten between {low:.3f} and {high:.3f}")
    print(f"the daemon: {busy - idle:+.2%} of a core with the dashboard")
    if high < LEAST_RATIO or share > MOST_SHARE or paint > MOST_SECONDS:
        return 1
    if low >= LEAST_RATIO:
        return 0
    print("the interval does not tell: more --pairs, or a machine with less else to do")
    return 2


def interval_of_median(values: Sequence[float]) -> tuple[float, float]:
    """Between which two of the values the true median lies with a probability of at least 0.9, by counting signs."""
    ordered, count = sorted(values), len(values)
    outside, rank = 0.0, 0
    while rank < count // 2 and outside + comb(count, rank) / 2**count <= 0.05:
        outside += comb(count, rank) / 2**count
        rank += 1
    rank = max(rank - 1, 0)
    return ordered[rank], ordered[-1 - rank]


def _cpu_seconds(pid: int) -> float:
    """Of that process so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The cost of the dashboard, on real kernels.")
    parser.add_argument(
        "--link", default=LINK, help=f"between the two ends, as in `chaos`, or none for a veth pair (default: {LINK})"
    )
    parser.add_argument("--size", default="80x24", help="of the terminal (default: 80x24)")
    parser.add_argument("--secs", type=float, default=3, help="of each stretch (default: 3)")
    parser.add_argument("--pairs", type=int, default=12, help="of stretches (default: 12)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

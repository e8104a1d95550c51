"""What shows a running demo: the dashboard where there is a terminal, a line a second where there is none.

The dashboard is `ghosttunnel top` in a process of its own on the demo's server, the end that sends and so knows what is
lost. The seconds that pass meanwhile are kept, and printed as lines when it has gone: at the end, or when the user has
left it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ghost.errors import HostError
from ghost.runtime.entry import entry_command

SILENCE = 1.0
"""The loss that is a blackout."""
_BAR = 30
_END_LIMIT = 5.0  # seconds in which the dashboard gives the terminal back


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the download: when it ended, or was seen to have ended, and the goodput in it."""

    time: float
    loss: float
    rate_bps: float
    received: int


class View(Protocol):
    """Is told of each second when it has passed."""

    def show(self, second: Second) -> None: ...


class Lines:
    """A line a second; `scale_bps` is the goodput of a full bar."""

    def __init__(self, scale_bps: float | None) -> None:
        self._scale = scale_bps

    def show(self, second: Second) -> None:
        rate = second.rate_bps
        bar = "#" * round(_BAR * min(1.0, rate / (self._scale or max(rate, 1.0))))
        state = "silence  " if second.loss == SILENCE else f"loss {second.loss:4.0%}"
        received = f"{rate / 1e6:6.2f} Mbit/s {second.received / 1e6:7.2f} MB"
        print(f"{int(second.time):3} s  {state}  [{bar:.<{_BAR}}] {received}", flush=True)


class Board:
    """The dashboard on `state_dir`, then `lines`."""

    def __init__(self, state_dir: Path, lines: View) -> None:
        self._lines = lines
        self._unseen: list[Second] = []
        command = [*entry_command(), "top", f"--state-dir={state_dir}"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def show(self, second: Second) -> None:
        self._unseen.append(second)
        if self._process.poll() is not None:
            self._print()

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._print()

    def _print(self) -> None:
        seen, self._unseen = self._unseen, []
        for second in seen:
            self._lines.show(second)


@contextlib.contextmanager
def view_on(state_dir: Path, lines: View) -> Iterator[View]:
    """The dashboard on the daemon of `state_dir` if there is a terminal for it, else `lines` alone."""
    if not _has_terminal():
        yield lines
        return
    board = Board(state_dir, lines)
    try:
        yield board
    finally:
        board.close()


def _has_terminal() -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    from ghost.ui import terminal  # npyscreen and curses are needed for nothing else

    try:
        terminal.require_terminal("")
    except HostError:
        return False
    return True

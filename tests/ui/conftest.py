"""A terminal to look into: tmux, with the dashboard of a daemon that always says the same."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE_DAEMON = Path(__file__).parent / "fake_daemon.py"
LIMIT = 10.0
_names = itertools.count()


class Screen:
    """One tmux server with one window, in which a command runs."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / f"tmux-{next(_names)}"

    def run(self, *command: str | Path, width: int = 80, height: int = 24, **environment: str) -> None:
        """Starts the command; its exit code appears below what it leaves on the screen."""
        settings = {"TERM": "screen-256color", "LC_ALL": "C.UTF-8", **environment}
        line = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
        line += " " + shlex.join(map(str, command)) + "; echo exit code $?; sleep 60"
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), line)

    def top(self, state: Path, *arguments: str, **settings: object) -> None:
        command = (sys.executable, ROOT / "ghosttunnel.py", "top", "--state-dir", state, *arguments)
        self.run(*command, **settings)  # type: ignore[arg-type]

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def text(self, *options: str) -> str:
        return self._tmux("capture-pane", "-p", *options)

    def told(self, name: str) -> str:
        """One of tmux's variables about the pane."""
        return self._tmux("display-message", "-p", f"#{{{name}}}").strip()

    def wait(self, *wanted: str, limit: float = LIMIT) -> str:
        """The screen as soon as it shows all of it."""
        deadline = time.monotonic() + limit
        while not all(piece in (text := self.text()) for piece in wanted):
            assert time.monotonic() < deadline, f"no {wanted} in {limit:.0f} s on\n{text}"
            time.sleep(0.05)
        return text

    def close(self) -> None:
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True, timeout=10, check=False)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *arguments], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is missing: install it to look at whole screens")
    window = Screen(tmp_path)
    yield window
    window.close()


Daemon = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """daemon(role, *extras) starts a fake one on tmp_path / "state"."""
    processes = []

    def start(role: str = "client", *extras: str) -> subprocess.Popen[bytes]:
        (tmp_path / "state").mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, FAKE_DAEMON, tmp_path / "state", role, *extras],
            stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b'"ready"\n'
        return process

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()

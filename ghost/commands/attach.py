"""`--tui`: a daemon in a process of its own and the dashboard on it; leaving the dashboard ends the daemon."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ghost.commands.top import show
from ghost.config import CommonConfig
from ghost.errors import GhostError, NoDaemonError
from ghost.runtime.asking import SOCKET_NAME, ask
from ghost.runtime.entry import entry_command
from ghost.ui import terminal

_START_LIMIT = 20.0  # seconds; a client's first answer has 15
_END_LIMIT = 15.0  # seconds to undo its changes to the host
_LOOK_INTERVAL = 0.05


class DaemonFailedError(GhostError):
    """The daemon ended by itself; its message and its exit code are passed on."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


def run(command: str, config: CommonConfig, *, is_ascii: bool) -> int:
    """Starts `command` as it was called but without --tui. Its output is shown after the dashboard has gone."""
    terminal.require_terminal("start it without --tui")
    with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as output:
        # The same command line; the variable wins over a file's `tui = true`.
        arguments = [argument for argument in _arguments(command) if argument != "--tui"]
        process = subprocess.Popen(
            [*entry_command(), *arguments],
            stdin=subprocess.DEVNULL, stdout=output, stderr=log, env={**os.environ, "GHOST_TUI": "false"},
            start_new_session=True,  # Ctrl-C is for the dashboard, which then ends the daemon
        )  # fmt: skip
        try:
            _wait_for(process, config.state_dir)
            show(config.state_dir, is_ascii=is_ascii, is_over=lambda: process.poll() is not None)
        except NoDaemonError:
            pass  # it ended meanwhile, and says itself why
        finally:
            _end(process)
            output.seek(0)
            sys.stdout.write(output.read().decode(errors="replace"))
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()
    if process.returncode not in (0, -15):
        last = lines[-1] if lines else "the daemon ended without a word"
        raise DaemonFailedError(last.removeprefix("ghosttunnel: "), max(1, process.returncode))
    return 0


def _arguments(command: str) -> list[str]:
    return sys.argv[1:] if command in sys.argv[1:] else [command, *sys.argv[1:]]


def _wait_for(process: subprocess.Popen[bytes], state_dir: Path) -> None:
    """Until the daemon answers, or has ended."""
    deadline = time.monotonic() + _START_LIMIT
    while process.poll() is None:
        with contextlib.suppress(NoDaemonError):
            if ask(state_dir / SOCKET_NAME, {"request": "status"})["status"].get("pid") == process.pid:
                return
        if time.monotonic() >= deadline:
            raise NoDaemonError(f"the daemon does not answer in {_START_LIMIT:.0f} s: start it without --tui")
        time.sleep(_LOOK_INTERVAL)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_END_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""The one function through which the host is changed, and the journal that undoes it.

Every change is an argument list paired with the one that undoes it. The undo is in the journal, on disk, before the
change is made: a process that is killed in between leaves an undo for something that is not there, which is harmless,
never a change without an undo. Changes are undone in reverse order, on exit and, after a kill, at the next start on
the same state directory, before anything else happens. Undoing what is already gone is no error: the TUN device takes
its addresses and routes with it.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ghost.errors import HostError

log = logging.getLogger(__name__)

JOURNAL = "journal.json"
_TIMEOUT = 10.0
_CAP_NET_ADMIN = 12  # linux/capability.h

Argv = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: `error` is empty when it did what it should, else one line."""

    output: str
    error: str = ""


Runner = Callable[[Argv], Outcome]


class JournalStore(Protocol):
    """Where the journal is kept; runtime/state.py's StateDirectory is one."""

    def read_json(self, name: str) -> dict[str, Any] | None: ...

    def write_json(self, name: str, value: dict[str, Any]) -> None: ...

    def remove(self, name: str) -> None: ...


def run_command(argv: Argv) -> Outcome:
    """Runs one command, bounded in time and out of reach of the terminal's Ctrl-C."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False,
            stdin=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except FileNotFoundError:
        return Outcome("", f"{argv[0]}: command not found")
    except subprocess.TimeoutExpired:
        return Outcome("", f"no answer in {_TIMEOUT:.0f} s")
    if done.returncode == 0:
        return Outcome(done.stdout)
    lines = (done.stderr or done.stdout).strip().splitlines()
    return Outcome(done.stdout, lines[0].strip() if lines else f"exit code {done.returncode}")


class Changes:
    """The changes of this process, newest last."""

    def __init__(self, store: JournalStore, run: Runner = run_command) -> None:
        self._store = store
        self._run = run
        self._undos: list[Argv] = []

    def undo_leftovers(self) -> int:
        """Undoes what an earlier, killed process left behind and says how many changes that were."""
        journal = self._store.read_json(JOURNAL)
        if journal is None:
            return 0
        self._undos = [tuple(map(str, argv)) for argv in journal.get("undo", [])] + self._undos
        count = len(self._undos)
        self.undo_all()
        return count

    def apply(self, change: Sequence[str], undo: Sequence[str] | None = None, *, cure: str) -> None:
        """Makes one change, or raises HostError naming it, what the system said, and `cure`.

        `undo` None: the change needs none, because it vanishes with the TUN device.
        """
        argv = tuple(change)
        if undo is not None:
            self._undos.append(tuple(undo))
            self._save()
        log.debug("host: %s", " ".join(argv))
        outcome = self._run(argv)
        if outcome.error:
            if undo is not None:
                self._undos.remove(tuple(undo))
                self._save()
            raise HostError(f"`{' '.join(argv)}` failed ({outcome.error}): {cure}")

    def query(self, argv: Sequence[str]) -> str:
        """The output of a command that changes nothing; empty when it fails."""
        return self._run(tuple(argv)).output

    def revert(self, undo: Sequence[str]) -> None:
        """Undoes one change before the others, given the undo it was applied with."""
        argv = tuple(undo)
        if argv in self._undos:
            self._undo(argv)
            self._undos.remove(argv)
            self._save()

    def undo_all(self) -> None:
        while self._undos:
            self._undo(self._undos[-1])
            self._undos.pop()
            self._save()
        self._store.remove(JOURNAL)

    def _undo(self, argv: Argv) -> None:
        log.debug("host: %s", " ".join(argv))
        outcome = self._run(argv)
        if outcome.error:
            # Mostly because it is gone already; nothing can be done about the rest.
            log.debug("host: `%s`: %s", " ".join(argv), outcome.error)

    def _save(self) -> None:
        if self._undos:
            self._store.write_json(JOURNAL, {"version": 1, "undo": [list(argv) for argv in self._undos]})
        else:
            self._store.remove(JOURNAL)


def require_network_admin() -> None:
    """Raises HostError unless this process may change interfaces, routes and the firewall."""
    with open("/proc/self/status", encoding="ascii") as status:
        effective = next((int(line.split()[1], 16) for line in status if line.startswith("CapEff")), 0)
    if not effective >> _CAP_NET_ADMIN & 1:
        cure = "start the container with --cap-add=NET_ADMIN" if os.geteuid() == 0 else "run it with sudo"
        raise HostError(f"a tunnel needs root to make its network device: {cure}")

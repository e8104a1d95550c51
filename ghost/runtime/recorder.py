"""The flight recorder: once a second, what the path did goes into a file that never grows (ghost.chaos.trace).

A file that is a trace already is continued. Writing goes to the page cache and takes microseconds; a disk that is full
ends the recording with a line in the log and nothing else.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gevent

from ghost.chaos.trace import HEAD, INTERVAL, MOMENT, Observer, Trace, decode, head, inspect
from ghost.errors import ConfigError, HostError
from ghost.runtime.supervisor import Supervisor

log = logging.getLogger(__name__)

CAPACITY: Final = 12 * 3600  # moments: half a day in 780 kB
_MOST_BYTES: Final = 16 << 20


class Recorder:
    """`snapshot` gives an endpoint's; its first peer is recorded."""

    def __init__(self, path: Path, snapshot: Callable[[], dict[str, Any]], *, capacity: int = CAPACITY) -> None:
        self._path = path
        self._snapshot = snapshot
        self._observer = Observer()
        self._capacity = capacity
        self._count = self._next = 0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            former = os.pread(self._file, _MOST_BYTES, 0)
        except OSError as error:
            raise HostError(f"cannot record into {path} ({error.strerror}): choose another --record") from error
        try:
            self._begin(former)
        except BaseException:
            os.close(self._file)
            raise

    def start(self, supervisor: Supervisor) -> None:
        supervisor.spawn("recorder", self._run)

    def record(self) -> None:
        """One moment, now."""
        peers = self._snapshot()["peers"]
        moment = self._observer.moment(peers[0] if peers else None)
        os.pwrite(self._file, moment.encode(), HEAD.size + self._next * MOMENT.size)
        self._next = (self._next + 1) % self._capacity
        self._count += 1
        os.pwrite(self._file, head(INTERVAL, self._capacity, self._next, self._count), 0)

    def close(self) -> None:
        os.close(self._file)

    def _begin(self, former: bytes) -> None:
        if former:  # refused if it is no trace: nobody's file is written over
            _, self._capacity, self._next, self._count = inspect(former, str(self._path))
            return
        try:
            os.ftruncate(self._file, HEAD.size + self._capacity * MOMENT.size)
            os.pwrite(self._file, head(INTERVAL, self._capacity, 0, 0), 0)
        except OSError as error:
            raise HostError(f"cannot record into {self._path} ({error.strerror}): choose another --record") from error

    def _run(self) -> None:
        while True:
            gevent.sleep(INTERVAL)
            try:
                self.record()
            except OSError as error:
                log.warning("recording into %s ended: %s", self._path, error.strerror)
                return


def read_trace(path: Path) -> Trace:
    """The trace in a file. ConfigError, in one line, where there is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot read the trace {path} ({error.strerror}): check the name") from error
    return decode(data, str(path))

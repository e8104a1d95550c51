"""Every greenlet of a daemon, its end, and the exit code.

Rules: greenlets are started here and nowhere else. One that raises ends the process: one line in the log (the
traceback at debug level), a non-zero exit code, never silence. SIGTERM, SIGINT and SIGHUP end it in good order with
code 0. Whatever the reason, greenlets are stopped first, then the undo hooks run, last registered first, each of them
even when another fails. Signals that arrive during that wait for it.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

from ghost.errors import Bug, GhostError

log = logging.getLogger(__name__)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_KILL_TIMEOUT = 2.0


class Supervisor:
    """A context: signals are caught inside it, and leaving it stops every greenlet and undoes everything."""

    def __init__(self) -> None:
        self._greenlets: list[gevent.Greenlet] = []
        self._hooks: list[tuple[str, Callable[[], None]]] = []
        self._signals: list[Any] = []
        self._stopping = Event()
        self._failure: GhostError | None = None

    def __enter__(self) -> Supervisor:
        for number in _STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP: leave it so
                self._signals.append(gevent.signal_handler(number, self.stop))
        return self

    def __exit__(self, *_: object) -> None:
        gevent.killall(self._greenlets, timeout=_KILL_TIMEOUT)
        while self._hooks:
            name, hook = self._hooks.pop()
            try:
                hook()
            except Exception as error:  # the remaining hooks must run whatever happens in one
                log.error("undoing %s failed: %s", name, error)
                log.debug("traceback", exc_info=True)
        for watcher in self._signals:
            watcher.cancel()

    def spawn(self, name: str, function: Callable[..., None], *arguments: object) -> gevent.Greenlet:
        self._greenlets = [greenlet for greenlet in self._greenlets if not greenlet.dead]
        greenlet = gevent.Greenlet(self._run, name, function, *arguments)
        self._greenlets.append(greenlet)
        greenlet.start()
        return greenlet

    def on_exit(self, name: str, hook: Callable[[], None]) -> None:
        """Registers the undoing of something that was just done."""
        self._hooks.append((name, hook))

    def stop(self) -> None:
        """Ends `wait` in good order."""
        self._stopping.set()

    def fail(self, error: GhostError) -> None:
        """Ends `wait` by raising `error`; the first failure counts."""
        self._failure = self._failure or error
        self._stopping.set()

    def wait(self) -> None:
        """Returns when stopped by a signal or `stop`; raises what `fail` was told."""
        self._stopping.wait()
        if self._failure is not None:
            raise self._failure

    def _run(self, name: str, function: Callable[..., None], *arguments: object) -> None:
        try:
            function(*arguments)
        except GhostError as error:
            self.fail(error)
        except Exception as error:
            log.debug("traceback", exc_info=True)
            self.fail(Bug(f"internal error in {name}: {type(error).__name__}: {error}; --log-level debug says where"))

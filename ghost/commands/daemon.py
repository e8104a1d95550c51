"""What `server` and `client` have in common: the order in which a daemon is put together and taken apart.

    rights -> state directory and lock -> undo of what a killed run left -> (the command's own: keys, UDP, TUN, host)
    -> driver and control socket -> wait for the end

Each step registers its undoing, so that a failure half-way leaves nothing half-applied, and the good-bye to the peers
goes out while the routes still stand.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ghost import log as logs
from ghost.commands.story import Story
from ghost.config import CommonConfig, option_of
from ghost.errors import ConfigError
from ghost.host.changes import Changes, require_network_admin
from ghost.runtime import systemd
from ghost.runtime.asking import SOCKET_NAME
from ghost.runtime.chaos import requested
from ghost.runtime.control import ControlServer, Handler
from ghost.runtime.driver import Driver, Endpoint
from ghost.runtime.metrics import Metrics
from ghost.runtime.state import StateDirectory
from ghost.runtime.stats import Stats
from ghost.runtime.supervisor import Supervisor
from ghost.runtime.tun import Tun, open_tun
from ghost.runtime.udp import Udp
from ghost.runtime.watcher import Watcher
from ghost.runtime.workers import ALONE, Crew, Inbox, SharingDriver
from ghost.tunnel.server import ServerEndpoint
from ghost.ui.model import sentence

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Daemon:
    """A claimed state directory, a clean host, and the means to change and undo."""

    state: StateDirectory
    supervisor: Supervisor
    changes: Changes

    def open_tun(self, name: str, *, shares: bool = False) -> Tun:
        tun = open_tun(name, offloads=True, shares=shares)
        self.supervisor.on_exit("the network device", tun.close)
        return tun

    def adopt(self, udp: Udp) -> Udp:
        self.supervisor.on_exit("the UDP socket", udp.close)
        return udp

    def start(
        self,
        endpoint: Endpoint,
        tun: Tun,
        udp: Udp,
        on_event: Callable[[object], None],
        *,
        config: CommonConfig,
        requests: Mapping[str, Handler],
        crew: Crew = ALONE,
    ) -> Driver:
        """Sets the endpoint in motion and answers requests from here on: those of every daemon, and `requests`."""
        is_server = isinstance(endpoint, ServerEndpoint)
        impairment = requested({"link": config.chaos}, is_server=is_server) if config.chaos else None
        driver = driver_of(endpoint, tun, udp, on_event, crew.inbox)
        watcher = Watcher(driver.snapshot)
        own = {"device": tun.name, "pid": os.getpid(), "config_file": config.config_file}
        stats = Stats(lambda: crew.merged(watcher.snapshot()) | own)
        handlers: dict[str, Handler] = {
            "status": lambda _: {"status": stats.status()},
            "stats": stats.stream,
            "log": _log_lines,
            "chaos": lambda request: _chaos_everywhere(driver, request, crew, is_server=is_server),
            "stop": lambda _: self._stop(),
        }
        control = ControlServer(self.state.path / SOCKET_NAME, {**handlers, **requests}, group=config.control_group)
        self.supervisor.on_exit("the control socket", control.close)
        self.supervisor.on_exit("the tunnel", driver.close)
        if impairment is not None:
            log.warning("this end's packets pass a bad link as well: %s", impairment.spec)
            driver.impair(impairment)
        driver.start(self.supervisor)
        watcher.start(self.supervisor)
        control.start(self.supervisor)
        stats.start(self.supervisor)
        self.supervisor.spawn("story", self._narrate, stats)
        if config.metrics is not None:
            metrics = Metrics(config.metrics, stats.status)
            self.supervisor.on_exit("metrics", metrics.close)
            metrics.start(self.supervisor)
        systemd.watch(self.supervisor)
        systemd.notify(READY="1")
        return driver

    def _narrate(self, stats: Stats) -> None:
        story = Story()
        try:
            while True:
                stats.wait()
                status = stats.latest
                systemd.notify(STATUS=sentence(status)[0])
                for level, line in story.tell(status):
                    log.log(level, "%s", line)
        finally:
            for level, line in story.end():
                log.log(level, "%s", line)

    def _stop(self) -> dict[str, object]:
        systemd.notify(STOPPING="1")
        self.supervisor.stop()
        return {}


class Reload:
    """The `reload` request: reads command line, environment and file again, applies what a running tunnel can change.

    `apply` is called with the new configuration; the log follows by itself.
    """

    AT_ONCE = ("log_level", "log_format", "max_rate_bps")
    NEXT_CONNECTION = ("profile", "compression")

    def __init__(self, config: CommonConfig, read: Callable[[], CommonConfig], apply: Callable[[Any], None]) -> None:
        self._config = config
        self._read = read
        self._apply = apply

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """What changed, by option name: at once, for connections from now on, and only after a restart."""
        new, old = self._read(), self._config
        changed = [field.name for field in fields(new) if getattr(new, field.name) != getattr(old, field.name)]
        applied = [name for name in changed if name in self.AT_ONCE + self.NEXT_CONNECTION]
        # What waits for a restart stays as it was, and is named again by the next reload.
        self._config = replace(old, **{name: getattr(new, name) for name in applied})
        logs.set_up(new.log_level, new.log_format)
        self._apply(self._config)
        groups = {
            "applied": [name for name in changed if name in self.AT_ONCE],
            "next_connection": [name for name in changed if name in self.NEXT_CONNECTION],
            "needs_restart": [name for name in changed if name not in applied],
        }
        told = {key: [option_of(name) for name in names] for key, names in groups.items()}
        log.info("read the configuration again: %s", "; ".join(_told(told)) or "nothing changed")
        return told


def _told(groups: dict[str, list[str]]) -> Iterator[str]:
    words = {
        "applied": "in force: ",
        "next_connection": "from the next connection on: ",
        "needs_restart": "needs a restart: ",
    }
    return (words[key] + ", ".join(names) for key, names in groups.items() if names)


def _log_lines(request: dict[str, Any]) -> dict[str, Any]:
    since = request.get("since", 0)
    if not isinstance(since, int):
        raise ConfigError("since is the number of the last line that you have")
    return {"lines": logs.RING.since(since), "last": logs.RING.count}


def driver_of(
    endpoint: Endpoint, tun: Tun, udp: Udp, on_event: Callable[[object], None], inbox: Inbox | None
) -> Driver:
    """One of its own, or one among several, if there is an inbox for what they hand to each other."""
    if inbox is None:
        return Driver(endpoint, tun, udp, on_event)
    assert isinstance(endpoint, ServerEndpoint)
    return SharingDriver(endpoint, tun, udp, on_event, inbox)


def _chaos_everywhere(driver: Driver, request: dict[str, Any], crew: Crew, *, is_server: bool) -> dict[str, object]:
    answer = impaired(driver, request, is_server=is_server)
    crew.tell({"order": "chaos", "request": request})
    return answer


def impaired(driver: Driver, request: dict[str, Any], *, is_server: bool) -> dict[str, object]:
    """Puts a bad link in place, or takes it away; without a `link` it only tells which there is."""
    if "link" in request or "trace" in request:
        driver.impair(requested(request, is_server=is_server))
        log.warning("chaos: %s", driver.impairment.name if driver.impairment is not None else "off")
    return {"link": driver.impairment.name if driver.impairment is not None else None}


@contextlib.contextmanager
def prepared(state_dir: Path) -> Iterator[Daemon]:
    """Raises HostError when this host or directory cannot run a daemon; leaving undoes everything."""
    require_network_admin()
    state = StateDirectory.create(state_dir)
    with Supervisor() as supervisor:
        state.lock()
        supervisor.on_exit("the lock", state.unlock)
        changes = Changes(state)
        count = changes.undo_leftovers()
        if count:
            log.info("undid what a killed ghosttunnel left behind, %d in all", count)
        supervisor.on_exit("changes to the host", changes.undo_all)
        yield Daemon(state, supervisor, changes)

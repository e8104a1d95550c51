"""What `server` and `client` have in common: the order in which a daemon is put together and taken apart.

    rights -> state directory and lock -> undo of what a killed run left -> (the command's own: keys, UDP, TUN, host)
    -> driver and control socket -> wait for the end

Each step registers its undoing, so that a failure half-way leaves nothing half-applied, and the good-bye to the peers
goes out while the routes still stand.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ghost.host.changes import Changes, require_network_admin
from ghost.runtime.chaos import requested
from ghost.runtime.control import SOCKET_NAME, ControlServer
from ghost.runtime.driver import Driver, Endpoint
from ghost.runtime.state import StateDirectory
from ghost.runtime.supervisor import Supervisor
from ghost.runtime.tun import Tun, open_tun
from ghost.runtime.udp import Udp
from ghost.runtime.watcher import Watcher
from ghost.tunnel.server import ServerEndpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Daemon:
    """A claimed state directory, a clean host, and the means to change and undo."""

    state: StateDirectory
    supervisor: Supervisor
    changes: Changes

    def open_tun(self, name: str) -> Tun:
        tun = open_tun(name)
        self.supervisor.on_exit("the network device", tun.close)
        return tun

    def adopt(self, udp: Udp) -> Udp:
        self.supervisor.on_exit("the UDP socket", udp.close)
        return udp

    def start(
        self, endpoint: Endpoint, tun: Tun, udp: Udp, on_event: Callable[[object], None], *, chaos: str | None
    ) -> Driver:
        """Sets the endpoint in motion, over the link that `chaos` describes, and answers the control socket."""
        is_server = isinstance(endpoint, ServerEndpoint)
        impairment = requested({"link": chaos}, is_server=is_server) if chaos else None
        control = ControlServer(
            self.state.path / SOCKET_NAME,
            {
                "status": lambda _: {"status": watcher.snapshot()},
                "stop": lambda _: self._stop(),
                "chaos": lambda request: _chaos(driver, request, is_server=is_server),
            },
        )
        self.supervisor.on_exit("the control socket", control.close)
        driver = Driver(endpoint, tun, udp, on_event)
        self.supervisor.on_exit("the tunnel", driver.close)
        if impairment is not None:
            log.warning("this end's packets pass a bad link as well: %s", impairment.spec)
            driver.impair(impairment)
        driver.start(self.supervisor)
        watcher = Watcher(driver.snapshot)
        watcher.start(self.supervisor)
        control.start(self.supervisor)
        return driver

    def _stop(self) -> dict[str, object]:
        self.supervisor.stop()
        return {}


def _chaos(driver: Driver, request: dict[str, object], *, is_server: bool) -> dict[str, object]:
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

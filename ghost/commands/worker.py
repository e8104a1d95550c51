"""What each process of a server is made of, and the life of those beside the first: `server --workers`.

A further process only carries traffic. It has a socket on the server's port, a queue of its device and an endpoint of
its own, and does what the first one orders.
"""

from __future__ import annotations

import logging
import random
from typing import Any

from ghost import log as logs
from ghost.commands.daemon import driver_of, impaired
from ghost.config import ServerConfig
from ghost.crypto import backend as crypto
from ghost.runtime.clock import now, wall_offset
from ghost.runtime.driver import Driver
from ghost.runtime.state import FileRegistry, StateDirectory
from ghost.runtime.supervisor import Supervisor
from ghost.runtime.tun import join_tun
from ghost.runtime.udp import Udp
from ghost.runtime.watcher import Watcher
from ghost.runtime.workers import Answer, Station
from ghost.tunnel.events import PeerJoined, PeerLeft
from ghost.tunnel.invitation import format_endpoint
from ghost.tunnel.server import ServerEndpoint
from ghost.tunnel.siblings import Siblings

log = logging.getLogger(__name__)


def make_endpoint(config: ServerConfig, state: StateDirectory, registry: FileRegistry, index: int) -> ServerEndpoint:
    """The endpoint of process number `index`."""
    return ServerEndpoint(
        private_key=state.own_key("server.key"),
        registry=registry,
        subnet=config.subnet,
        profile=config.profile,
        compression=config.compression,
        compression_memory=config.compression_memory,
        max_rate_bps=config.max_rate_bps,
        rng=random.SystemRandom(),
        now=now(),
        wall_offset=wall_offset(),
        backend=crypto.choose(),
        siblings=Siblings(index, config.workers),
    )


def report(event: object) -> None:
    """Logs who came and who left."""
    if isinstance(event, PeerJoined):
        log.info("%s (%s) connected from %s", event.name, event.address, format_endpoint(*event.endpoint[:2]))
    elif isinstance(event, PeerLeft):
        log.info("%s (%s) left: %s", event.name, event.address, event.reason)


def work(config: ServerConfig, station: Station) -> None:
    """Does what the first process orders until that is gone. `start` comes first, when the device is there."""
    logs.relay(config.log_level, station.report)
    with Supervisor() as supervisor:
        worker = _Worker(config, station, supervisor)
        orders = {
            "start": worker.start,
            "snapshot": worker.snapshot,
            "revoke": worker.revoke,
            "reconfigure": worker.reconfigure,
            "chaos": worker.chaos,
        }

        def obey() -> None:
            station.obey(orders)
            supervisor.stop()

        supervisor.spawn("orders", obey)
        supervisor.wait()


class _Worker:
    """The orders, one method each."""

    _endpoint: ServerEndpoint
    _driver: Driver
    _watcher: Watcher

    def __init__(self, config: ServerConfig, station: Station, supervisor: Supervisor) -> None:
        self._config = config
        self._station = station
        self._supervisor = supervisor

    def start(self, order: dict[str, Any]) -> Answer:
        """{"tun": name of the device, "offloads": whether it has them}."""
        state = StateDirectory(self._config.state_dir)
        tun = join_tun(order["tun"], offloads=order["offloads"])
        self._supervisor.on_exit("the network device", tun.close)
        udp = Udp.listen(*self._config.listen, shares=True)
        self._supervisor.on_exit("the UDP socket", udp.close)
        self._endpoint = make_endpoint(self._config, state, FileRegistry(state), self._station.index)
        self._driver = driver_of(self._endpoint, tun, udp, report, self._station.inbox)
        self._supervisor.on_exit("the tunnel", self._driver.close)
        self._watcher = Watcher(self._driver.snapshot)
        self._driver.start(self._supervisor)
        self._watcher.start(self._supervisor)
        if self._config.chaos:
            impaired(self._driver, {"link": self._config.chaos}, is_server=True)
        return {}

    def snapshot(self, order: dict[str, Any]) -> Answer:
        return {"snapshot": self._watcher.snapshot()}

    def revoke(self, order: dict[str, Any]) -> Answer:
        public_key = bytes.fromhex(order["public_key"])
        self._driver.turn(lambda at: self._endpoint.revoke(public_key, at))
        return {}

    def reconfigure(self, order: dict[str, Any]) -> Answer:
        logs.relay(order["log_level"], self._station.report)
        self._endpoint.reconfigure(**order["settings"])
        return {}

    def chaos(self, order: dict[str, Any]) -> Answer:
        return impaired(self._driver, order["request"], is_server=True)

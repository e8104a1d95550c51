"""`ghosttunnel client`: connects to a server, for ever, and sends this host's traffic through it.

The first connection with an invite is a question that wants an answer: it succeeds, or the command ends and says why.
From then on the state directory remembers the invite, and the client reconnects until it is told to stop.

Flow: NeedAddresses -> resolve names -> let those addresses through (rules, kill switch) -> connect
      Connected     -> address and start the device -> default route
Both take commands and name servers' time, so they wait in a queue for a greenlet of their own.
"""

from __future__ import annotations

import argparse
import logging
import random
from collections.abc import Callable
from ipaddress import IPv4Interface

import gevent
from gevent import socket
from gevent.queue import Queue

from ghost import log as logs
from ghost.commands.daemon import Daemon, Reload, prepared
from ghost.config import ClientConfig, Parser
from ghost.crypto import backend as crypto
from ghost.errors import ConfigError, RefusedError, UnreachableError
from ghost.host.firewall import KillSwitch
from ghost.host.network import FullTunnel, bring_up
from ghost.runtime.clock import now, wall_offset
from ghost.runtime.recorder import Recorder
from ghost.runtime.udp import Address, Udp
from ghost.tunnel.client import ClientEndpoint
from ghost.tunnel.events import Connected, Disconnected, NeedAddresses, Refused, TimestampUsed
from ghost.tunnel.invitation import Invitation, format_endpoint

HELP = "Connect to a server and send this host's traffic through it. INVITE is needed only the first time."

log = logging.getLogger(__name__)

_MEMORY = "client.json"
_FIRST_ANSWER_TIMEOUT = 15.0  # at 50 % loss a handshake that is repeated every half second fails once in 10^7 times
_RESOLVE_TIMEOUT = 5.0  # a name server behind the dead tunnel must not hold up a reconnection
_RESOLVE_AGAIN_AFTER = (1.0, 30.0)  # seconds, growing from one to the other


def configure(parser: Parser) -> None:
    parser.add_argument("invite_line", nargs="?", metavar="INVITE", help="the ghost:// line, same as --invite")
    parser.add_options(*ClientConfig.OPTIONS, tun_name="ghostc")


def run(options: argparse.Namespace) -> int:
    config = ClientConfig.of(options)
    if config.has_tui:
        from ghost.commands import attach  # npyscreen and curses are needed for nothing else

        return attach.run("client", config, is_ascii=options.ascii)
    logs.set_up(config.log_level, config.log_format)
    given = Invitation.from_uri(config.invite) if config.invite else None
    with prepared(config.state_dir) as daemon:
        _Client(config, daemon, given).start(lambda: ClientConfig.of(options.again()))
        daemon.supervisor.wait()
    log.info("stopped")
    return 0


class _Client:
    """What the client does outside the core: names, host, memory."""

    def __init__(self, config: ClientConfig, daemon: Daemon, given: Invitation | None) -> None:
        self._config = config
        self._daemon = daemon
        self._record = config.record
        self._memory = daemon.state.read_json(_MEMORY) or {}
        self._invitation = given or self._remembered()
        self._has_connected = self._memory.get("invite") == self._invitation.to_uri()
        self._addresses: list[Address] = []
        self._interface: tuple[IPv4Interface, int] | None = None
        self._todo: Queue = Queue()
        private_key = daemon.state.own_key("client.key")
        self._udp = daemon.adopt(Udp.dial())
        self._tun = daemon.open_tun(config.tun_name)
        self._full_tunnel = FullTunnel(daemon.changes, self._tun.name) if config.has_default_route else None
        self._kill_switch = KillSwitch(daemon.changes, self._tun.name) if config.has_kill_switch else None
        self._endpoint = ClientEndpoint(
            private_key=private_key,
            invitation=self._invitation,
            profile=config.profile,
            compression=config.compression,
            compression_memory=config.compression_memory,
            max_rate_bps=config.max_rate_bps,
            rng=random.SystemRandom(),
            now=now(),
            wall_offset=wall_offset(),
            last_timestamp=int(self._memory.get("last_timestamp", 0)),
            backend=crypto.choose(),
        )

    def start(self, read: Callable[[], ClientConfig]) -> None:
        """`read` gives the configuration as it is written now."""
        supervisor = self._daemon.supervisor
        self._driver = self._daemon.start(
            self._endpoint, self._tun, self._udp, self._on_event,
            config=self._config,
            requests={"reload": Reload(self._config, read, self._reconfigure)},
        )  # fmt: skip
        if self._record is not None:
            recorder = Recorder(self._record, self._driver.snapshot)
            supervisor.on_exit("the recording", recorder.close)
            recorder.start(supervisor)
        supervisor.spawn("connection", self._work)
        if not self._has_connected:
            supervisor.spawn("first connection", self._expect_answer)

    def _reconfigure(self, config: ClientConfig) -> None:
        self._endpoint.reconfigure(
            profile=config.profile, compression=config.compression, max_rate_bps=config.max_rate_bps
        )

    def _remembered(self) -> Invitation:
        line = self._memory.get("invite")
        if line is None:
            raise ConfigError(
                "no invite: run `ghosttunnel invite` on the server, then `ghosttunnel client INVITE` here"
            )
        if not isinstance(line, str):
            raise ConfigError(f"{_MEMORY} in the state directory is damaged: remove it and bring a new invite")
        return Invitation.from_uri(line)

    def _on_event(self, event: object) -> None:
        """Inside the driver's turn: what cannot wait is done here, what takes time is queued."""
        if isinstance(event, TimestampUsed):
            self._remember(last_timestamp=event.timestamp)
        elif isinstance(event, Connected | NeedAddresses):
            self._todo.put(event)
        elif isinstance(event, Disconnected):
            log.warning("lost the server (%s), connecting again", event.reason)
        elif isinstance(event, Refused):
            # Final: the core does not ask again a server that knows this client and will not have it.
            self._daemon.supervisor.fail(RefusedError(f"the server refused: {event.reason}"))

    def _work(self) -> None:
        while True:
            event = self._todo.get()
            if isinstance(event, Connected):
                self._on_connected(event)
            else:
                self._connect()

    def _connect(self) -> None:
        addresses = self._resolve()
        log.info("looking for the server at %s", ", ".join(format_endpoint(*address) for address in addresses))
        for host_rules in (self._kill_switch, self._full_tunnel):
            if host_rules is not None:
                host_rules.permit(addresses)
        self._driver.turn(lambda at: self._endpoint.connect(addresses, at))

    def _on_connected(self, event: Connected) -> None:
        if self._interface != (event.address, event.mtu):
            # Not on every reconnection: flushing the address would break the connections that use it.
            bring_up(self._daemon.changes, self._tun.name, event.address, event.mtu)
            self._interface = (event.address, event.mtu)
            if self._full_tunnel is not None:
                self._full_tunnel.route()
        self._has_connected = True
        self._remember(invite=self._invitation.to_uri())
        log.info(
            "connected to %s, inner address %s on %s, %s goes through the tunnel",
            format_endpoint(*event.endpoint[:2]), event.address.ip, self._tun.name,
            event.address.network if self._full_tunnel is None else "everything",
        )  # fmt: skip

    def _resolve(self) -> list[Address]:
        """The server's addresses now, or the last known when names cannot be looked up. Waits until there are any."""
        wait, longest = _RESOLVE_AGAIN_AFTER
        while True:
            self._addresses = self._look_up() or self._addresses
            if self._addresses:
                return self._addresses
            names = ", ".join(host for host, _ in self._invitation.endpoints)
            if not self._has_connected:
                raise UnreachableError(f"cannot find the address of {names}: check the network and its name server")
            log.warning("cannot find the address of %s, trying again in %.0f s", names, wait)
            gevent.sleep(wait)
            wait = min(2 * wait, longest)

    def _look_up(self) -> list[Address]:
        found: dict[Address, None] = {}
        for host, port in self._invitation.endpoints:
            try:
                with gevent.Timeout(_RESOLVE_TIMEOUT):
                    for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
                        found[str(where[0]), int(where[1])] = None
            except (OSError, UnicodeError, gevent.Timeout) as error:
                log.debug("cannot look up %s: %s", host, error)
        return list(found)

    def _expect_answer(self) -> None:
        gevent.sleep(_FIRST_ANSWER_TIMEOUT)
        if not self._has_connected:
            where = ", ".join(format_endpoint(*endpoint) for endpoint in self._invitation.endpoints)
            self._daemon.supervisor.fail(
                UnreachableError(
                    f"no answer from {where} in {_FIRST_ANSWER_TIMEOUT:.0f} s: check that the server runs, that its "
                    "UDP port is open, and that the invite is its own, unused and not expired"
                )
            )

    def _remember(self, **facts: object) -> None:
        if any(self._memory.get(key) != value for key, value in facts.items()):
            self._memory.update(facts)
            self._daemon.state.write_json(_MEMORY, self._memory)

"""`ghosttunnel server`: waits for clients and carries their traffic.

Standard output gets nothing but the first invite, printed when nobody could connect yet; it is a secret and never
in the log.
"""

from __future__ import annotations

import argparse
import functools
import logging
import time
from collections.abc import Callable
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from ghost import log as logs
from ghost.commands.admission import Admission
from ghost.commands.daemon import Daemon, Reload, prepared
from ghost.commands.invite import default_endpoint, make_invitation
from ghost.commands.worker import make_endpoint, report, work
from ghost.config import Parser, ServerConfig
from ghost.constants import INNER_MTU
from ghost.errors import HostError
from ghost.host.firewall import enable_nat
from ghost.host.network import bring_up
from ghost.runtime.control import Handler
from ghost.runtime.state import FileRegistry
from ghost.runtime.udp import Udp
from ghost.runtime.workers import Crew
from ghost.tunnel.invitation import format_endpoint

HELP = "Wait for clients and carry their traffic. Needs no option; the first start prints an invite."

log = logging.getLogger(__name__)

_FIRST_INVITE_LIFETIME = 24 * 3600.0
_FORGET_INVITES_AFTER = 30 * 24 * 3600.0


def configure(parser: Parser) -> None:
    parser.add_options(*ServerConfig.OPTIONS, tun_name="ghosts")


def run(options: argparse.Namespace) -> int:
    config = ServerConfig.of(options)
    if config.has_tui:
        from ghost.commands import attach  # npyscreen and curses are needed for nothing else

        return attach.run("server", config, is_ascii=options.ascii)
    logs.set_up(config.log_level, config.log_format)
    crew = Crew(config.workers, functools.partial(work, config), logs.relayed)
    with crew, prepared(config.state_dir) as daemon:
        _serve(config, daemon, crew, lambda: ServerConfig.of(options.again()))
        daemon.supervisor.wait()
    log.info("stopped")
    return 0


def _serve(config: ServerConfig, daemon: Daemon, crew: Crew, read: Callable[[], ServerConfig]) -> None:
    state, changes = daemon.state, daemon.changes
    state.own_key("server.key")  # is made before anybody else looks for it
    is_shared = crew.count > 1
    listen = format_endpoint(*config.listen)
    registry = FileRegistry(state)
    registry.forget_invites(expired_before=time.time() - _FORGET_INVITES_AFTER)
    if is_shared:  # a port that others share by intention would not be refused
        Udp.listen(*config.listen).close()
    udp = daemon.adopt(Udp.listen(*config.listen, shares=is_shared))
    tun = daemon.open_tun(config.tun_name, shares=is_shared)
    bring_up(changes, tun.name, first_address(config.subnet), INNER_MTU)
    if config.has_nat:
        try:
            enable_nat(changes, tun.name, config.subnet)
        except HostError as error:
            log.warning("clients reach this server but nothing behind it: %s", error)
    endpoint = make_endpoint(config, state, registry, 0)

    def reconfigure(new: ServerConfig) -> None:
        settings: dict[str, Any] = {
            "profile": new.profile,
            "compression": new.compression,
            "max_rate_bps": new.max_rate_bps,
        }
        endpoint.reconfigure(**settings)
        crew.tell({"order": "reconfigure", "log_level": new.log_level, "settings": settings})

    daemon.supervisor.on_exit("the workers", crew.close)
    crew.start(daemon.supervisor, tun=tun.name, offloads=tun.is_offloading)
    admission = Admission(config, state, registry, endpoint, crew)
    requests: dict[str, Handler] = {**admission.requests(), "reload": Reload(config, read, reconfigure)}
    admission.driver = daemon.start(endpoint, tun, udp, report, config=config, requests=requests, crew=crew)
    state.write_json("server.json", {"listen": listen, "subnet": str(config.subnet)})
    log.info("listening on %s, inner network %s on %s", listen, config.subnet, tun.name)
    is_first = not registry.peers() and not any(
        invite.used_by is None and invite.expires > time.time() for invite in registry.invites()
    )
    if is_first:
        where = default_endpoint(config.listen)
        if where is None:
            log.warning("this host's address is unknown: run `ghosttunnel invite --endpoint HOST:PORT`")
        else:
            log.info("the first client may use this invite within 24 h: ghosttunnel client INVITE")
            print(make_invitation(state, "client", (where,), _FIRST_INVITE_LIFETIME).to_uri(), flush=True)


def first_address(subnet: IPv4Network) -> IPv4Interface:
    """The server's own address in the inner network."""
    return IPv4Interface((subnet.network_address + 1, subnet.prefixlen))

"""`ghosttunnel server`: waits for clients and carries their traffic.

Standard output gets nothing but the first invite, printed when nobody could connect yet; it is a secret and never
in the log.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
from collections.abc import Callable
from ipaddress import IPv4Interface, IPv4Network

from ghost import log as logs
from ghost.commands.admission import Admission
from ghost.commands.daemon import Daemon, Reload, prepared
from ghost.commands.invite import default_endpoint, make_invitation
from ghost.config import Parser, ServerConfig
from ghost.constants import INNER_MTU
from ghost.crypto import backend as crypto
from ghost.errors import HostError
from ghost.host.firewall import enable_nat
from ghost.host.network import bring_up
from ghost.runtime.clock import now, wall_offset
from ghost.runtime.control import Handler
from ghost.runtime.state import FileRegistry
from ghost.runtime.udp import Udp
from ghost.tunnel.events import PeerJoined, PeerLeft
from ghost.tunnel.invitation import format_endpoint
from ghost.tunnel.server import ServerEndpoint

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
    with prepared(config.state_dir) as daemon:
        _serve(config, daemon, lambda: ServerConfig.of(options.again()))
        daemon.supervisor.wait()
    log.info("stopped")
    return 0


def _serve(config: ServerConfig, daemon: Daemon, read: Callable[[], ServerConfig]) -> None:
    state, changes = daemon.state, daemon.changes
    private_key = state.own_key("server.key")
    listen = format_endpoint(*config.listen)
    registry = FileRegistry(state)
    registry.forget_invites(expired_before=time.time() - _FORGET_INVITES_AFTER)
    udp = daemon.adopt(Udp.listen(*config.listen))
    tun = daemon.open_tun(config.tun_name)
    bring_up(changes, tun.name, first_address(config.subnet), INNER_MTU)
    if config.has_nat:
        try:
            enable_nat(changes, tun.name, config.subnet)
        except HostError as error:
            log.warning("clients reach this server but nothing behind it: %s", error)
    endpoint = ServerEndpoint(
        private_key=private_key,
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
    )

    def reconfigure(new: ServerConfig) -> None:
        endpoint.reconfigure(profile=new.profile, compression=new.compression, max_rate_bps=new.max_rate_bps)

    admission = Admission(config, state, registry, endpoint)
    requests: dict[str, Handler] = {**admission.requests(), "reload": Reload(config, read, reconfigure)}
    admission.driver = daemon.start(endpoint, tun, udp, _report, config=config, requests=requests)
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


def _report(event: object) -> None:
    if isinstance(event, PeerJoined):
        log.info("%s (%s) connected from %s", event.name, event.address, format_endpoint(*event.endpoint[:2]))
    elif isinstance(event, PeerLeft):
        log.info("%s (%s) left: %s", event.name, event.address, event.reason)

"""`ghosttunnel invite`: one line on standard output that admits one client, everything else on standard error.

It works beside a running server and without one: the invite is a file that the server looks for when a client
presents it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

from ghost import log as logs
from ghost.config import Parser
from ghost.crypto import backend as crypto
from ghost.errors import ConfigError, HostError
from ghost.runtime.state import FileRegistry, StateDirectory
from ghost.runtime.udp import local_address
from ghost.tunnel.invitation import Invitation, format_endpoint, parse_endpoint
from ghost.tunnel.registry import INVITE_ID_SIZE, SECRET_SIZE, Invite

HELP = "Print a one-time ghost:// line that admits one client, to be given to `ghosttunnel client`."

log = logging.getLogger(__name__)

_ANYWHERE = ("0.0.0.0", "::")


def configure(parser: Parser) -> None:
    parser.add_options("name", "endpoint", "expires", "qr", "state-dir", "log-level")


def run(options: argparse.Namespace) -> int:
    logs.set_up(options.log_level)
    state = StateDirectory.create(options.state_dir)
    server = state.read_json("server.json")
    if server is None:
        raise HostError(f"no server has run on {state.path}: start `ghosttunnel server`, or name its --state-dir")
    endpoints = options.endpoint
    if endpoints is None:
        where = default_endpoint(parse_endpoint(server["listen"]))
        if where is None:
            raise ConfigError("this host's address is unknown: say where clients find it with --endpoint HOST:PORT")
        endpoints = (where,)
    invitation = make_invitation(state, options.name, endpoints, options.expires)
    line = invitation.to_uri()
    if options.qr:
        _draw(line)
    print(line, flush=True)
    if sys.stdout.isatty():
        places = ", ".join(format_endpoint(*endpoint) for endpoint in endpoints)
        hours = f"{options.expires / 3600:g} h"
        print(f"For one client, within {hours}. On its machine: ghosttunnel client INVITE", file=sys.stderr)
        print(f"It will look for the server at {places}; another place: --endpoint HOST:PORT", file=sys.stderr)
    return 0


def make_invitation(
    state: StateDirectory, name: str, endpoints: tuple[tuple[str, int], ...], lifetime: float
) -> Invitation:
    """A new invite, on disk where the server finds it, valid for `lifetime` seconds."""
    private_key = state.private_key("server.key")
    if private_key is None:
        raise HostError(f"no server key in {state.path}: start `ghosttunnel server`, or name its --state-dir")
    invite = Invite(
        invite_id=os.urandom(INVITE_ID_SIZE),
        secret=os.urandom(SECRET_SIZE),
        name=name,
        expires=time.time() + lifetime,
    )
    FileRegistry(state).save_invite(invite)
    return Invitation(
        endpoints=endpoints,
        server_public_key=crypto.choose().x25519_public(private_key),
        invite_id=invite.invite_id,
        secret=invite.secret,
        name=name,
    )


def default_endpoint(listen: tuple[str, int]) -> tuple[str, int] | None:
    """Where clients find a server that listens there: its address, or this host's when it listens on all of them."""
    host, port = listen
    if host not in _ANYWHERE:
        return listen
    own = local_address()
    return None if own is None else (own, port)


def _draw(line: str) -> None:
    from ghost.commands import qr  # the package that it needs is needed for nothing else

    qr.draw(line, sys.stderr)

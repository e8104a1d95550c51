"""Who may use a running server: its control requests `peers`, `invite` and `revoke`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from ghost.commands.invite import default_endpoint, make_invitation
from ghost.config import OPTIONS, ServerConfig
from ghost.errors import ConfigError
from ghost.runtime.control import Handler
from ghost.runtime.driver import Driver
from ghost.runtime.state import FileRegistry, StateDirectory
from ghost.runtime.workers import Crew
from ghost.tunnel.registry import Peer
from ghost.tunnel.server import ServerEndpoint


class Admission:
    """Answers the three requests; `driver` is set as soon as there is one, before anybody can ask."""

    driver: Driver

    def __init__(
        self,
        config: ServerConfig,
        state: StateDirectory,
        registry: FileRegistry,
        endpoint: ServerEndpoint,
        crew: Crew,
    ) -> None:
        self._config = config
        self._state = state
        self._registry = registry
        self._endpoint = endpoint
        self._crew = crew

    def requests(self) -> dict[str, Handler]:
        return {"peers": self.peers, "invite": self.invite, "revoke": self.revoke}

    def peers(self, request: dict[str, Any]) -> dict[str, Any]:
        """Every client that the server knows, here or not, and the invites that are still open. No secrets."""
        here = {peer["public_key"]: peer for peer in self._crew.merged(self.driver.snapshot())["peers"]}
        unused = [invite for invite in self._registry.invites() if invite.used_by is None]
        return {
            "peers": [_described(peer, here.get(peer.public_key.hex())) for peer in self._registry.peers()],
            "invites": [
                {"name": invite.name, "expires_in_s": round(invite.expires - time.time())}
                for invite in unused
                if invite.expires > time.time()
            ],
        }

    def invite(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"name", "endpoint", "expires"}, all optional and written as the options of `ghosttunnel invite`."""
        where = _option(request, "endpoint")
        if where is None:
            own = default_endpoint(self._config.listen)
            if own is None:
                raise ConfigError("this host's address is unknown: give an endpoint, HOST:PORT")
            where = (own,)
        name, lifetime = _option(request, "name"), _option(request, "expires")
        invitation = make_invitation(self._state, name, where, lifetime)
        return {"invite": invitation.to_uri(), "name": name, "expires_in_s": round(lifetime)}

    def revoke(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"peer": name or public key}: the client is disconnected and forgotten, with the invites that it used."""
        wanted = request.get("peer")
        found = [peer for peer in self._registry.peers() if wanted in (peer.name, peer.public_key.hex())]
        if not found:
            raise ConfigError(f"no client is named {wanted}: ask for peers")
        if len(found) > 1:
            raise ConfigError(f"{len(found)} clients are named {wanted}: give the public key, as peers shows it")
        peer = found[0]
        self.driver.turn(lambda at: self._endpoint.revoke(peer.public_key, at))
        self._crew.tell({"order": "revoke", "public_key": peer.public_key.hex()})
        return {"revoked": peer.name, "public_key": peer.public_key.hex()}


def _option(request: dict[str, Any], name: str) -> Any:
    """A parameter, parsed like the option of its name."""
    option = OPTIONS[name]
    text = request.get(name, option.default)
    if text is None:
        return None
    if not isinstance(text, str):
        raise ConfigError(f"{name} is a text")
    parse: Callable[[str], Any] = option.parse or str
    try:
        return parse(text)
    except argparse.ArgumentTypeError as error:
        raise ConfigError(str(error)) from None


def _described(peer: Peer, live: dict[str, Any] | None) -> dict[str, Any]:
    """`last_seen_s`: since a connected client's last packet, or another's last handshake, which its own clock dated."""
    seen = live["last_contact_s"] if live else max(0.0, round(time.time() - peer.last_timestamp / 1000, 3))
    return {
        "name": peer.name,
        "address": str(peer.address),
        "public_key": peer.public_key.hex(),
        "is_connected": live is not None,
        "endpoint": live["endpoint"] if live else None,
        "last_seen_s": seen,
    }

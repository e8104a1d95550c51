"""What a daemon answers over its control socket beyond status: admission, reload, the log."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ghost import log as logs
from ghost.commands import server
from ghost.commands.admission import Admission
from ghost.commands.daemon import Reload, _log_lines
from ghost.config import Parser, ServerConfig
from ghost.crypto import backend as crypto
from ghost.errors import ConfigError
from ghost.runtime.state import FileRegistry, StateDirectory
from ghost.runtime.workers import ALONE
from ghost.tunnel.invitation import Invitation
from ghost.tunnel.registry import Peer
from ghost.tunnel.server import ServerEndpoint

LAPTOP = Peer(b"P" * 32, b"S" * 32, "laptop", IPv4Address("10.77.0.2"), last_timestamp=7)


def configured(*argv: str) -> ServerConfig:
    parser = Parser("server", "")
    server.configure(parser)
    return ServerConfig.of(parser.parse(list(argv)))


@pytest.fixture
def admission(tmp_path: Path) -> Admission:
    """A server that listens and knows one client, which is not here."""
    config = configured("--listen", "198.18.0.2:8000")
    state = StateDirectory.create(tmp_path / "state")
    registry = FileRegistry(state)
    registry.save_peer(LAPTOP)
    endpoint = ServerEndpoint(
        private_key=state.own_key("server.key"), registry=registry, subnet=config.subnet, profile="noise",
        compression="auto", max_rate_bps=None, rng=random.Random(1), now=0.0, wall_offset=0.0, backend=crypto.choose(),
    )  # fmt: skip
    made = Admission(config, state, registry, endpoint, ALONE)
    made.driver = SimpleNamespace(  # type: ignore[assignment]
        turn=lambda action: action(0.0), snapshot=lambda: endpoint.snapshot(0.0)
    )
    return made


def test_peers_are_listed_here_or_not_and_without_secrets(admission: Admission) -> None:
    admission.invite({"name": "phone", "expires": "2h"})
    answer = admission.peers({})
    [laptop] = answer["peers"]
    assert (laptop["name"], laptop["address"], laptop["is_connected"]) == ("laptop", "10.77.0.2", False)
    assert laptop["last_seen_s"] > 1e9
    [invite] = answer["invites"]
    assert (invite["name"], 7100 < invite["expires_in_s"] <= 7200) == ("phone", True)
    assert LAPTOP.pre_shared_key.hex() not in str(answer)


def test_an_invite_names_the_address_that_the_server_listens_on(admission: Admission) -> None:
    answer = admission.invite({})
    invitation = Invitation.from_uri(answer["invite"])
    assert (invitation.name, invitation.endpoints) == ("client", (("198.18.0.2", 8000),))
    elsewhere = admission.invite({"endpoint": "vpn.example.org:1"})
    assert Invitation.from_uri(elsewhere["invite"]).endpoints == (("vpn.example.org", 1),)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"name": ""}, "is no name"),
        ({"name": 5}, "name is a text"),
        ({"expires": "soon"}, "is no duration"),
        ({"endpoint": "nowhere"}, "is no list of HOST:PORT"),
    ],
)
def test_an_invite_with_senseless_wishes_is_refused(
    admission: Admission, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        admission.invite(request_)


@pytest.mark.parametrize("wanted", ["laptop", LAPTOP.public_key.hex()])
def test_a_revoked_client_is_known_no_more(admission: Admission, wanted: str) -> None:
    assert admission.revoke({"peer": wanted})["revoked"] == "laptop"
    assert admission.peers({})["peers"] == []


def test_a_name_that_fits_none_or_two_revokes_nobody(admission: Admission) -> None:
    with pytest.raises(ConfigError, match="no client is named tablet"):
        admission.revoke({"peer": "tablet"})
    admission._registry.save_peer(replace(LAPTOP, public_key=b"Q" * 32))
    with pytest.raises(ConfigError, match="2 clients are named laptop"):
        admission.revoke({"peer": "laptop"})
    assert len(admission.peers({})["peers"]) == 2


@pytest.fixture
def reload_with(tmp_path: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    """reload_with(TEXT): what a daemon that runs by an empty file answers when the file has become TEXT."""
    path = tmp_path / "ghost.conf"
    path.write_text("")
    parser = Parser("server", "")
    server.configure(parser)
    options = parser.parse(["--config", str(path)])
    applied: list[ServerConfig] = []
    request = Reload(ServerConfig.of(options), lambda: ServerConfig.of(options.again()), applied.append)
    root = logging.getLogger("ghost")
    before = root.handlers[:], root.level, root.propagate

    def reload(text: str) -> dict[str, Any]:
        path.write_text(text)
        return request({}) | {"in_force": applied[-1]}

    yield reload
    root.handlers[:], root.level, root.propagate = before


def test_a_reload_applies_what_it_can_and_names_the_rest(reload_with: Callable[[str], dict[str, Any]]) -> None:
    text = "log-level = debug\nmax-rate = 5mbit\nsubnet = 10.9.0.0/24\nno-nat = yes\n"
    for _ in range(2):  # what waits for a restart is named again, what is in force is not
        answer = reload_with(text)
        assert answer["needs_restart"] == ["subnet", "no-nat"]
    assert (answer["applied"], answer["next_connection"]) == ([], [])
    assert answer["in_force"].max_rate_bps == 5e6
    assert str(answer["in_force"].subnet) == "10.77.0.0/24"
    assert logging.getLogger("ghost").level == logging.DEBUG
    assert sorted(reload_with("")["applied"]) == ["log-level", "max-rate"]


def test_a_reload_of_a_damaged_file_changes_nothing(reload_with: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="unknown key 'sbnet'"):
        reload_with("sbnet = 10.9.0.0/24\nlog-level = debug\n")
    assert logging.getLogger("ghost").level != logging.DEBUG


def test_the_log_is_told_from_a_number_on() -> None:
    logs.RING.emit(logging.LogRecord("ghost", logging.INFO, "", 0, "one", None, None))
    last = _log_lines({})["lines"][-1]
    assert last["message"] == "one"
    assert _log_lines({"since": last["number"]}) == {"lines": [], "last": last["number"]}
    with pytest.raises(ConfigError, match="since is the number"):
        _log_lines({"since": "x"})

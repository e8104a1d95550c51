from __future__ import annotations

import json
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket as cooperative

from ghost.errors import ConfigError, HostError, NoDaemonError
from ghost.runtime import control
from ghost.runtime.control import ControlServer, ask
from ghost.runtime.supervisor import Supervisor


def reject(request: dict[str, Any]) -> dict[str, Any]:
    raise ConfigError("no such link")


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A running control socket. The functions under test are made cooperative, as ghosttunnel.py makes them."""
    where = tmp_path / "control.sock"
    handlers = {"status": lambda request: {"status": {"asked": request}}, "chaos": reject}
    with Supervisor() as supervisor, pytest.MonkeyPatch.context() as patch:
        patch.setattr(control, "socket", cooperative)
        server = ControlServer(where, handlers)
        supervisor.on_exit("control", server.close)
        server.start(supervisor)
        with gevent.Timeout(20):
            yield where


def talk(path: Path, data: bytes) -> list[dict[str, Any]]:
    with cooperative.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as lines:
            return [json.loads(line) for line in lines]


def test_a_request_is_answered_in_one_versioned_line(path: Path) -> None:
    assert ask(path, {"request": "status"}) == {
        "version": 1,
        "ok": True,
        "status": {"asked": {"request": "status"}},
    }


def test_a_connection_may_ask_again(path: Path) -> None:
    assert [answer["ok"] for answer in talk(path, b'{"request": "status"}\n' * 3)] == [True] * 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\n", "one JSON object a line"),
        (b"hello\n", "one JSON object a line"),
        (b"[]\n", "one JSON object a line"),
        (b"\xff\xfe\n", "one JSON object a line"),
        (b'{"request": []}\n', "one JSON object a line"),
        (b"[" * 4000 + b"\n", "one JSON object a line"),
        (b"{}\n", "known are chaos, status"),
        (b'{"request": "reboot"}\n', "known are chaos, status"),
        (b'{"request": "chaos"}\n', "no such link"),
    ],
)
def test_nonsense_is_refused_and_the_next_client_is_served(path: Path, line: bytes, message: str) -> None:
    answer = talk(path, line)[0]
    assert (answer["version"], answer["ok"]) == (1, False)
    assert message in answer["error"]
    assert ask(path, {"request": "status"})["ok"]


def test_a_line_without_end_is_not_listened_to_for_ever(path: Path) -> None:
    with pytest.raises(OSError, match=r"reset|Broken pipe"):
        talk(path, b"x" * 1_000_000)
    assert ask(path, {"request": "status"})["ok"]


def test_only_the_owner_may_connect(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_too_many_clients_are_turned_away_until_one_leaves(path: Path) -> None:
    crowd = []
    for _ in range(control._MAX_CLIENTS):
        connection = cooperative.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(path))
        crowd.append(connection)
        gevent.sleep(0)
    with pytest.raises(NoDaemonError):
        ask(path, {"request": "status"})
    crowd.pop().close()
    gevent.sleep(0.05)
    assert ask(path, {"request": "status"})["ok"]


def test_the_file_of_a_killed_process_is_replaced_and_ours_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    server = ControlServer(path, {})
    server.close()
    assert not path.exists()


@pytest.mark.parametrize("prepare", [lambda path: None, lambda path: path.touch()])
def test_without_a_daemon_the_message_says_so(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    prepare(tmp_path / "control.sock")
    with pytest.raises(NoDaemonError, match="no ghosttunnel runs in"):
        ask(tmp_path / "control.sock", {"request": "status"})


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="shorter --state-dir"):
        ControlServer(tmp_path / ("x" * 120), {})

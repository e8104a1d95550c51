from __future__ import annotations

import grp
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket as cooperative

from ghost.errors import ConfigError, GhostError, HostError, NoDaemonError
from ghost.runtime import asking, control
from ghost.runtime.asking import Conversation, ask, demand
from ghost.runtime.control import ControlServer
from ghost.runtime.supervisor import Supervisor


def reject(request: dict[str, Any]) -> dict[str, Any]:
    raise ConfigError("no such link")


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A running control socket. The functions under test are made cooperative, as ghosttunnel.py makes them."""
    where = tmp_path / "control.sock"
    handlers: dict[str, control.Handler] = {
        "status": lambda request: {"status": {"asked": request}},
        "stats": lambda request: ({"second": second} for second in range(3)),
        "chaos": reject,
    }
    with Supervisor() as supervisor, pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "socket", cooperative)
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
        (b"{}\n", "known are chaos, stats, status"),
        (b'{"request": "reboot"}\n', "known are chaos, stats, status"),
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


def test_a_stream_is_a_line_for_each_item(path: Path) -> None:
    answers = talk(path, b'{"request": "stats"}\n')
    assert answers == [{"version": 1, "ok": True, "second": second} for second in range(3)]


def test_a_conversation_survives_the_daemons_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "socket", cooperative)
    where = tmp_path / "control.sock"
    conversation = Conversation(where)
    for run in range(2):
        with Supervisor() as supervisor, gevent.Timeout(20):
            server = ControlServer(where, {"status": lambda request, run=run: {"run": run}})
            supervisor.on_exit("control", server.close)
            server.start(supervisor)
            if run:  # the question that meets the end of the old connection fails, the next one makes a new one
                with pytest.raises(NoDaemonError):
                    conversation.ask({"request": "status"})
            assert conversation.demand({"request": "status"})["run"] == run
    conversation.close()


def test_a_refusal_is_an_error_for_whoever_demands(path: Path) -> None:
    with pytest.raises(GhostError, match="no such link"):
        demand(path, {"request": "chaos"})


def test_a_daemon_of_another_version_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "VERSION", 7)
    with pytest.raises(NoDaemonError, match="speaks version 7"):
        ask(path, {"request": "status"})


ASK_AS = """
import json, os, pathlib, sys
from ghost.errors import GhostError
from ghost.runtime.asking import ask
group = int(sys.argv[2])
os.setgroups([])
os.setgid(group)
os.setuid(65534)
for request in ("status", "stop"):
    try:
        print(json.dumps(ask(pathlib.Path(sys.argv[1]), {"request": request})))
    except GhostError as error:
        print(json.dumps({"error": str(error)}))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory below one that everybody may pass, as /var/lib is."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "state"
        folder.mkdir(mode=0o700)
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to a group and take another user's part")
def test_a_group_may_watch_and_not_change_and_others_not_even_watch(open_folder: Path) -> None:
    daemons, nobodys = grp.getgrnam("daemon").gr_gid, grp.getgrgid(65534).gr_gid
    where = open_folder / "control.sock"

    def ask_as(group: int) -> list[dict[str, Any]]:
        # The interpreter and the package have to be readable for the other user: it changes after importing them.
        done = subprocess.run(
            [sys.executable, "-c", ASK_AS, str(where), str(group)],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    with Supervisor() as supervisor, gevent.Timeout(30):
        server = ControlServer(where, {"status": lambda _: {}, "stop": lambda _: {}}, group="daemon")
        server.start(supervisor)
        members = gevent.get_hub().threadpool.apply(ask_as, (daemons,))
        strangers = gevent.get_hub().threadpool.apply(ask_as, (nobodys,))
        server.close()
    assert members[0] == {"version": 1, "ok": True}
    assert "for root" in members[1]["error"]
    assert all("no permission" in answer["error"] for answer in strangers)
    assert stat.S_IMODE(open_folder.stat().st_mode) == 0o700


def test_a_group_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no group nosuchgroup"):
        ControlServer(tmp_path / "control.sock", {}, group="nosuchgroup")


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

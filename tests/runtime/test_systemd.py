from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from ghost.runtime import systemd
from ghost.runtime.supervisor import Supervisor


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The end on which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_facts_are_lines_of_one_datagram(manager: socket.socket) -> None:
    systemd.notify(READY="1", STATUS="listening")
    assert manager.recv(100) == b"READY=1\nSTATUS=listening"


def test_an_abstract_address_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0ghosttunnel-test-{os.getpid()}")
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@ghosttunnel-test-{os.getpid()}")
        systemd.notify(READY="1")
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", [None, "", "nonsense", "/no/such/socket"])
def test_without_a_listener_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.notify(READY="1")


@pytest.mark.parametrize(("owner", "is_fed"), [(None, True), ("1", False)])
def test_the_watchdog_is_fed_by_the_event_loop(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, owner: str | None, is_fed: bool
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if owner is not None:
        monkeypatch.setenv("WATCHDOG_PID", owner)
    with Supervisor() as supervisor:
        systemd.watch(supervisor)
        gevent.sleep(0.05)
    fed = 0
    while True:
        try:
            assert manager.recv(100) == b"WATCHDOG=1"
        except BlockingIOError:
            break
        fed += 1
    assert (fed >= 3) == is_fed

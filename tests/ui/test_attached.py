"""`server --tui` and `client --tui`: the daemon and the dashboard together, in namespaces of their own."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ghost.errors import HostError
from ghost.runtime.namespaces import NamespacePair, require_root_and_tun

from .conftest import ROOT, Screen

PROGRAM = (sys.executable, str(ROOT / "ghosttunnel.py"))


@pytest.fixture
def pair() -> Iterator[NamespacePair]:
    try:
        require_root_and_tun()
    except HostError as lack:
        pytest.skip(str(lack))
    with NamespacePair("tui") as namespaces:
        namespaces.veth()
        yield namespaces


def inside(pair: NamespacePair, side: str, *command: str | Path) -> tuple[str | Path, ...]:
    return ("ip", "netns", "exec", pair.namespaces[side], *PROGRAM, *command)  # type: ignore[index]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_leaving_the_dashboard_ends_the_tunnel_and_prints_what_it_had_to_say(
    screen: Screen, pair: NamespacePair, tmp_path: Path
) -> None:
    state = tmp_path / "server"
    options = ("--listen", "198.18.0.2:8000", "--no-nat", "--state-dir", state)
    screen.run(*inside(pair, "b", "server", "--tui", *options), width=200)
    screen.wait("Listening. No client is connected.", "last minutes", limit=20)
    pid = int(next(part for part in pair.run("b", *PROGRAM, "status", "--json", "--state-dir", state, timeout=20)
                   .stdout.splitlines() if '"pid"' in part).strip(" ,").split()[1])  # fmt: skip
    assert is_running(pid)
    screen.press("q")
    assert "ghost://198.18.0.2:8000/" in screen.wait("exit code 0", limit=20)
    assert not is_running(pid)
    assert not (state / "control.sock").exists()


def test_both_ends_find_each_other_on_their_dashboards(screen: Screen, pair: NamespacePair, tmp_path: Path) -> None:
    server = pair.spawn(
        "b", *PROGRAM, "server", "--listen", "198.18.0.2:8000", "--no-nat", "--state-dir", tmp_path / "server",
        log=tmp_path / "server.log",
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while "ghost://" not in (tmp_path / "server.log").read_text():
        assert time.monotonic() < deadline
        assert server.poll() is None
        time.sleep(0.05)
    invite = next(line for line in (tmp_path / "server.log").read_text().splitlines() if line.startswith("ghost://"))
    (tmp_path / "ghost.conf").write_text(f"mode = client\ntui = true\ninvite = {invite}\nno-default-route = true\n")
    screen.run(*inside(pair, "a", "--config", tmp_path / "ghost.conf", "--state-dir", tmp_path / "client"), width=120)
    screen.wait("Connected. The link is clean.", limit=20)
    screen.press("l")
    screen.wait("connected to 198.18.0.2:8000")
    screen.press("q")
    screen.wait("exit code 0", limit=20)


def test_a_daemon_that_does_not_start_says_why_with_its_own_exit_code(
    screen: Screen, pair: NamespacePair, tmp_path: Path
) -> None:
    screen.run(*inside(pair, "a", "client", "--tui", "--state-dir", tmp_path / "client"), width=200)
    text = screen.wait("exit code 2", limit=20)
    assert text.splitlines()[0].startswith("ghosttunnel: no invite: run `ghosttunnel invite` on the server")


def test_a_demo_is_shown_on_the_dashboard_and_told_in_lines_when_it_is_left(screen: Screen, tmp_path: Path) -> None:
    try:
        require_root_and_tun()
    except HostError as lack:
        pytest.skip(str(lack))
    screen.run(*PROGRAM, "demo", "--spike", "--secs", "1", height=60)
    screen.wait("GHOSTTUNNEL  server", "link to client", limit=30)
    assert "1 s  loss" not in screen.text()
    screen.press("q")
    screen.wait("  1 s  loss   0%", "  3 s  loss", "exit code", limit=60)

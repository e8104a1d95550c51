"""`ghosttunnel configure`, and the same form in the dashboard, as they are seen and what they write."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .conftest import ROOT, Daemon, Screen

WRITTEN = "# for the cellar\nmode = server\nlisten = 0.0.0.0:8000  # old\n"


def configure(screen: Screen, path: Path, **settings: object) -> None:
    screen.run(sys.executable, ROOT / "ghosttunnel.py", "configure", path, **settings)  # type: ignore[arg-type]


def test_a_file_is_changed_and_keeps_its_comments(screen: Screen, tmp_path: Path) -> None:
    path = tmp_path / "ghost.conf"
    path.write_text(WRITTEN)
    configure(screen, path, width=100, height=30)
    screen.wait("listen", "as saved", "Nothing has to run for this")
    screen.press("Down", "Enter")
    screen.wait("ADDR:PORT")
    screen.press("BSpace", "BSpace", "BSpace", "BSpace", "BSpace")
    screen.wait("is no address to listen on", "1 wrong")
    screen.press("Enter", "s")
    screen.wait("Not saved: listen is no address to listen on")
    assert path.read_text() == WRITTEN
    screen.press("Enter", ":", "4", "4", "3", "Enter", "s")
    screen.wait("Saved", "as saved", "sudo ghosttunnel --config")
    assert path.read_text() == WRITTEN.replace("8000", "443")
    screen.press("q")
    assert "exit code 0" in screen.wait("exit code")


def test_a_first_file_is_made(screen: Screen, tmp_path: Path) -> None:
    path = tmp_path / "ghost.conf"
    configure(screen, path)
    screen.wait("invite")
    screen.press("Right", "s")
    screen.wait("Saved")
    assert path.read_text() == "mode = server\n"
    screen.press("q")
    screen.wait("exit code 0")


def test_what_was_not_saved_is_said(screen: Screen, tmp_path: Path) -> None:
    configure(screen, tmp_path / "ghost.conf")
    screen.wait("invite")
    screen.press("Right")
    screen.wait("changed")
    screen.press("q")
    assert "What was changed after the last s is not in" in screen.wait("exit code 0").replace("\n", "")


@pytest.mark.parametrize("text", ["sbnet = 1\n", "\x00\xff"])
def test_a_file_that_makes_no_sense_is_one_line(screen: Screen, tmp_path: Path, text: str) -> None:
    path = tmp_path / "ghost.conf"
    path.write_text(text, encoding="latin-1")
    configure(screen, path, width=300)
    lines = screen.wait("exit code 2").splitlines()
    assert lines[0].startswith("ghosttunnel: ")
    assert lines[1] == "exit code 2"


def test_in_the_dashboard_saving_tells_what_needs_a_restart(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "ghost.conf"
    daemon("server", f"config={path}")
    screen.top(tmp_path / "state")
    screen.wait("last minutes")
    screen.press("o")
    screen.wait(f"options in {str(path)[:20]}")
    screen.press("Down", "Down", "Down", "Down", "Down", "Right", "s")
    screen.wait("In force now: log-level.", "In force after a restart: subnet.")
    assert path.read_text() == "log-level = warning\n"

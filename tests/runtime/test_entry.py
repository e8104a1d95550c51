"""The program finds its way back to itself, however it was started."""

from __future__ import annotations

import os
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

import ghost
from ghost.runtime.entry import entry_command, module_command, thaw

SHOW = """
from ghost.runtime.entry import entry_command, module_command
import json
print(json.dumps(entry_command()))
"""


def output(*argv: str, directory: Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True, cwd=directory)
    return done.stdout.strip()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a copy of what the entry needs, and a main module that prints the command to reach it."""
    package = tmp_path / "program" / "ghost" / "runtime"
    package.mkdir(parents=True)
    source = Path(ghost.__file__).parent
    for name in ("__init__.py", "runtime/__init__.py", "runtime/entry.py"):
        (package.parent / name).write_text((source / name).read_text())
    (package.parent / "__main__.py").write_text(SHOW)
    (tmp_path / "program" / "__main__.py").write_text(SHOW)
    return tmp_path / "program"


def test_script_is_reached_by_its_path(program: Path) -> None:
    (program / "ghosttunnel.py").write_text(SHOW)
    assert output(sys.executable, "ghosttunnel.py", directory=program) == (
        f'["{sys.executable}", "{program / "ghosttunnel.py"}"]'
    )


def test_archive_is_reached_by_its_path(program: Path, tmp_path: Path) -> None:
    zipapp.create_archive(program, tmp_path / "ghosttunnel.pyz")
    assert output(sys.executable, "ghosttunnel.pyz", directory=tmp_path) == (
        f'["{sys.executable}", "{tmp_path / "ghosttunnel.pyz"}"]'
    )


def test_module_is_reached_by_its_name(program: Path) -> None:
    assert output(sys.executable, "-m", "ghost", directory=program) == f'["{sys.executable}", "-m", "ghost"]'


def test_module_of_ours_runs_from_any_directory(tmp_path: Path) -> None:
    argv = module_command("ghost.runtime.traffic")
    assert "serve,fetch,ping" in output(*argv, "--help", directory=tmp_path)


def test_module_inside_an_archive_runs(program: Path, tmp_path: Path) -> None:
    (program / "__main__.py").write_text(SHOW.replace("entry_command()", "module_command('ghost')"))
    zipapp.create_archive(program, tmp_path / "ghosttunnel.pyz")
    command = output(sys.executable, "ghosttunnel.pyz", directory=tmp_path)
    assert str(tmp_path / "ghosttunnel.pyz") in command


def test_a_binary_is_reached_by_its_own_name_and_told_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/ghosttunnel")
    assert entry_command() == ["/opt/ghosttunnel"]
    argv = [*module_command("ghost.runtime.traffic"), "--help"]
    monkeypatch.setattr(sys, "argv", argv)
    assert thaw() == "ghost.runtime.traffic"
    assert sys.argv == ["/opt/ghosttunnel", "--help"]
    assert thaw() is None


def test_a_binary_lends_its_libraries_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ghosttunnel"])
    monkeypatch.setenv("LD_LIBRARY_PATH", "/tmp/_MEI1")
    monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", "/usr/local/lib")
    thaw()
    assert os.environ["LD_LIBRARY_PATH"] == "/usr/local/lib"
    monkeypatch.setenv("LD_LIBRARY_PATH", "/tmp/_MEI1")
    thaw()
    assert "LD_LIBRARY_PATH" not in os.environ
    assert "LD_LIBRARY_PATH_ORIG" not in os.environ

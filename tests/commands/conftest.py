from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "ghosttunnel.py"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GHOST_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def ghosttunnel() -> Run:
    """ghosttunnel(ARGUMENT..., start_with=()) runs the program as a user does, as a process of its own."""

    def run(*arguments: str | Path, start_with: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*start_with, sys.executable, str(PROGRAM), *map(str, arguments)],
            capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run

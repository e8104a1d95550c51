"""The demo as a user runs it: a whole tunnel over the reference link, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = [sys.executable, str(Path(__file__).parents[2] / "ghosttunnel.py"), "demo"]


def namespaces_of(pid: int) -> list[str]:
    return [path.name for path in Path("/run/netns").glob(f"ghostlab-{pid}-*")]


def start(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*DEMO, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_demo_keeps_its_promise_and_leaves_nothing() -> None:
    demo = start("--secs=4", "--seed=2")
    try:
        output, errors = demo.communicate(timeout=100)
    finally:
        demo.kill()
    assert demo.returncode == 0, output + errors
    assert errors == ""
    assert "matches       matches" in output
    assert "every byte as it was sent." in output
    assert [line.split()[0] for line in output.splitlines() if "/4 s" in line] == ["outside"] * 4 + ["inside"] * 4
    assert not namespaces_of(demo.pid)


def test_a_download_survives_a_loss_that_rises_while_it_runs(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "spike.png"
    demo = start("--spike", "--secs=3", "--plot", str(plot))
    try:
        output, errors = demo.communicate(timeout=100)
    finally:
        demo.kill()
    assert errors == ""
    lines = [line for line in output.splitlines() if " s  " in line and "Mbit/s" in line]
    states = [line.partition(" s  ")[2].partition("  [")[0].strip() for line in lines]
    assert list(dict.fromkeys(states)) == ["loss   0%", "loss  30%", "loss  50%", "silence"]
    assert states[0] == states[-1] == "loss   0%"
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "are what was sent, by their SHA-256" in output
    # Steps of three seconds may be too short for every promise, not for an honest verdict.
    assert demo.returncode == (1 if "\nBROKEN" in output else 0), output
    assert not namespaces_of(demo.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("pause", [0.0, 0.3, 3.0])
def test_demo_that_is_told_to_stop_leaves_nothing(number: signal.Signals, pause: float) -> None:
    demo = start("--secs=30")
    try:
        deadline = time.monotonic() + 20
        while not namespaces_of(demo.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(namespaces_of(demo.pid)) > 0
        time.sleep(pause)
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=30)
    finally:
        demo.kill()
    assert demo.returncode == 128 + number
    assert errors == ""
    assert not namespaces_of(demo.pid)


WITHOUT_ROOT = """
import os, sys
from ghost import cli
from ghost.commands import demo
os.setuid(65534)
sys.exit(cli.main(["demo"]))
"""


def test_demo_without_root_says_what_it_needs() -> None:
    demo = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOT],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert demo.returncode == 3
    assert demo.stderr == "ghosttunnel: network namespaces need root: run it again with sudo\n"

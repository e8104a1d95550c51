"""The kernel's offloads, each of them missing in turn: the tunnel carries the same, and says what is in use.

namespace a: client, 198.18.0.1 -- plain veth -- namespace b: server, 198.18.0.2
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ghost.runtime.namespaces import NamespacePair

ROOT = Path(__file__).parents[2]
SERVER, CLIENT = "10.77.0.1", "10.77.0.2"
TEN_MEGABYTES = 10_000_000
UNKNOWN = 250  # no ioctl flag and no socket option

# Takes away what the first argument names, as if the kernel did not know it, and starts the program.
WITHOUT = f"""
from gevent import monkey
monkey.patch_all()
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
from ghost.runtime import tun, udp
missing = sys.argv.pop(1)
if "tun" in missing:
    tun._OFFLOADS = 1 << 30
if "segment" in missing:
    udp._UDP_SEGMENT = {UNKNOWN}
if "merge" in missing:
    udp._UDP_GRO = {UNKNOWN}
if "break" in missing:
    def refuse(self, packet):
        raise OSError(22, "Invalid argument")
    tun.OffloadingTun._write_super_packet = refuse
sys.argv[0] = {str(ROOT / "ghosttunnel.py")!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
ALL = ["TCP segmentation", "UDP segmentation", "UDP merging"]
Measure = Callable[..., Any]


def wait_for(text: str, log: Path, limit: float) -> None:
    deadline = time.monotonic() + limit
    while not log.exists() or text not in log.read_text():
        assert time.monotonic() < deadline, f"no '{text}' in {limit:.0f} s: {log.read_text()}"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("missing", "left"),
    [
        ("nothing", ALL),
        ("tun", ALL[1:]),
        ("segment", [ALL[0], ALL[2]]),
        ("merge", ALL[:2]),
        ("tun segment merge", []),
        ("break", ALL[1:]),
    ],
)
def test_a_server_without_it_carries_the_same(
    pair: NamespacePair, tmp_path: Path, download: Measure, missing: str, left: list[str]
) -> None:
    pair.veth()
    program = (sys.executable, "-c", WITHOUT)
    state = ("--state-dir", tmp_path / "server")
    server = (*program, missing, "server", *state, "--no-nat", "--listen", "198.18.0.2:8000")
    pair.spawn("b", *server, log=tmp_path / "server.log")
    wait_for("listening on", tmp_path / "server.log", 30)
    invite = pair.run("b", *program, "nothing", "invite", *state, "--endpoint", "198.18.0.2:8000", timeout=30)
    client = (*program, "nothing", "client", "--state-dir", tmp_path / "client", "--no-default-route")
    pair.spawn("a", *client, log=tmp_path / "client.log", environment={"GHOST_INVITE": invite.stdout.strip()})
    wait_for("connected to", tmp_path / "client.log", 30)
    for side, address in (("a", SERVER), ("b", CLIENT)):
        transfer = download(side, address, size=TEN_MEGABYTES, timeout=60)
        assert transfer.received == TEN_MEGABYTES
        assert transfer.is_intact
    status = json.loads(pair.run("b", *program, "nothing", "status", "--json", *state, timeout=30).stdout)
    assert status["offloads"] == left
    assert not status["tun_errors"]

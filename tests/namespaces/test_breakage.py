"""A kernel that takes back what it offered while traffic flows: the same two processes carry it to its end.

namespace a: client, 198.18.0.1 -- plain veth -- namespace b: server, 198.18.0.2
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ghost.runtime.namespaces import NamespacePair, Side

GHOSTTUNNEL = (sys.executable, str(Path(__file__).parents[2] / "ghosttunnel.py"))
SERVER = "10.77.0.1"
LONG, SHORT = 320_000_000, 120_000_000
"""Bytes: more than three seconds at 780 Mbit/s, and enough for what slows the transfer down by itself."""
LIMIT = 90
Measure = Callable[..., Any]
ALL = ["TCP segmentation", "UDP segmentation", "UDP merging"]

# ioctl SIOCETHTOOL (linux/ethtool.h) on a device: one feature, off or on. It stands for `ethtool -K`.
FEATURE = """
import fcntl, socket, struct, sys, ctypes
command, value = int(sys.argv[2], 16), int(sys.argv[3])
wish = ctypes.create_string_buffer(struct.pack("=II", command, value))
request = struct.pack("16sQ", sys.argv[1].encode(), ctypes.addressof(wish)) + bytes(16)
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8946, request)
"""
GRO, GSO, CHECKSUM = "2c", "24", "17"


def feature(pair: NamespacePair, side: Side, device: str, which: str, value: int) -> None:
    done = pair.run(side, sys.executable, "-c", FEATURE, device, which, str(value), timeout=10)
    assert done.returncode == 0, done.stderr


def link(pair: NamespacePair, side: Side, device: str, *change: str) -> None:
    done = pair.run(side, "ip", "link", "set", device, *change, timeout=10)
    assert done.returncode == 0, done.stderr


def offloads_of_the_cable(pair: NamespacePair) -> None:
    for value in (0, 1):
        for side in ("a", "b"):
            for which in (GRO, GSO, CHECKSUM):
                feature(pair, side, "wan", which, value)
        time.sleep(0.7)


def offloads_of_the_tunnel(pair: NamespacePair) -> None:
    for value in (0, 1):
        for which in (GRO, GSO):
            feature(pair, "b", "ghosts", which, value)
            feature(pair, "a", "ghostc", which, value)
        time.sleep(0.7)


def smaller_datagrams(pair: NamespacePair) -> None:
    for mtu in ("1300", "1500"):
        link(pair, "b", "wan", "mtu", mtu)
        time.sleep(1.0)


def smaller_packets(pair: NamespacePair) -> None:
    for mtu in ("900", "1384"):
        link(pair, "b", "ghosts", "mtu", mtu)
        time.sleep(0.7)


def cable_pulled(pair: NamespacePair) -> None:
    for _ in range(2):
        link(pair, "a", "wan", "down")
        time.sleep(0.7)
        link(pair, "a", "wan", "up")
        time.sleep(0.7)


def tunnel_device_down(pair: NamespacePair) -> None:
    link(pair, "b", "ghosts", "down")
    time.sleep(0.7)
    link(pair, "b", "ghosts", "up")


@pytest.mark.parametrize(
    ("breakage", "size"),
    [
        (offloads_of_the_cable, LONG),
        (offloads_of_the_tunnel, LONG),
        (smaller_datagrams, SHORT),
        (smaller_packets, SHORT),
        (cable_pulled, SHORT),
        (tunnel_device_down, SHORT),
    ],
)
def test_a_transfer_outlives(
    pair: NamespacePair, tmp_path: Path, download: Measure, breakage: Callable[[NamespacePair], None], size: int
) -> None:
    pair.veth()
    state = ("--state-dir", tmp_path / "server")
    server = pair.spawn(
        "b", *GHOSTTUNNEL, "server", *state, "--no-nat", "--listen", "198.18.0.2:8000", "--tun-name", "ghosts",
        log=tmp_path / "server.log",
    )  # fmt: skip
    wait_for("listening on", tmp_path / "server.log", 30)
    invite = pair.run("b", *GHOSTTUNNEL, "invite", *state, "--endpoint", "198.18.0.2:8000", timeout=30)
    client = pair.spawn(
        "a", *GHOSTTUNNEL, "client", "--state-dir", tmp_path / "client", "--no-default-route", "--tun-name", "ghostc",
        log=tmp_path / "client.log", environment={"GHOST_INVITE": invite.stdout.strip()},
    )  # fmt: skip
    wait_for("connected to", tmp_path / "client.log", 30)
    transfers: list[Any] = []
    fetching = threading.Thread(
        target=lambda: transfers.append(download("a", SERVER, size=size, timeout=LIMIT)), daemon=True
    )
    fetching.start()
    time.sleep(0.7)
    breakage(pair)
    assert fetching.is_alive(), "the transfer was over before anything broke: make it longer"
    fetching.join(LIMIT + 60)
    assert transfers
    assert transfers[0].received == size
    assert transfers[0].is_intact
    assert server.poll() is None
    assert client.poll() is None
    # What was taken back and given again is in use again, once there was traffic to try it with.
    assert download("a", SERVER, size=SHORT // 4, timeout=LIMIT).is_intact
    status = json.loads(pair.run("b", *GHOSTTUNNEL, "status", "--json", *state, timeout=30).stdout)
    assert status["offloads"] == ALL


def wait_for(text: str, log: Path, limit: float) -> None:
    deadline = time.monotonic() + limit
    while not log.exists() or text not in log.read_text():
        assert time.monotonic() < deadline, f"no '{text}' in {limit:.0f} s: {log.read_text()}"
        time.sleep(0.02)

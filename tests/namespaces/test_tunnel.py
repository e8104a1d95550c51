"""The main promise, on real kernels: what the link loses, the tunnel does not.

namespace a: client, 198.18.0.1 -- 10 Mbit/s, 100 ms, 30 % loss each way -- namespace b: server, 198.18.0.2
"""

from __future__ import annotations

import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ghost.chaos.spec import parse
from ghost.runtime.namespaces import NamespacePair

GHOSTTUNNEL = (sys.executable, str(Path(__file__).parents[2] / "ghosttunnel.py"))
LINK = parse("rate=10mbit,delay=50ms,loss=30%")
SERVER, CLIENT = "10.77.0.1", "10.77.0.2"
UP_LIMIT = 5.0  # seconds, the start of two Python programs included
FIVE_MEGABYTES = 5_000_000
Measure = Callable[..., Any]


@pytest.fixture
def capture(pair: NamespacePair, tmp_path: Path) -> Path:
    """A tunnel over the bad link, up; its value is the file that captures what the link delivers."""
    path = tmp_path / "link.pcap"
    pair.impaired(LINK, LINK, seed=1, pcap=path)
    server = (*GHOSTTUNNEL, "server", "--state-dir", tmp_path / "server", "--no-nat")
    pair.spawn("b", *server, "--listen", "198.18.0.2:8000", log=tmp_path / "server.log")
    wait_for("listening on", tmp_path / "server.log", 20)
    invite = (*GHOSTTUNNEL, "invite", "--state-dir", tmp_path / "server", "--endpoint", "198.18.0.2:8000")
    line = pair.run("b", *invite, timeout=20).stdout.strip()
    client = (*GHOSTTUNNEL, "client", "--state-dir", tmp_path / "client", "--no-default-route")
    pair.spawn("a", *client, log=tmp_path / "client.log", environment={"GHOST_INVITE": line})
    wait_for("connected to", tmp_path / "client.log", UP_LIMIT)
    return path


def wait_for(text: str, log: Path, limit: float) -> None:
    deadline = time.monotonic() + limit
    while not log.exists() or text not in log.read_text():
        assert time.monotonic() < deadline, f"no '{text}' in {limit:.0f} s: {log.read_text()}"
        time.sleep(0.02)


def datagrams(capture: Path) -> list[bytes]:
    """UDP payloads of a capture of raw IPv4 packets."""
    data, at, found = capture.read_bytes(), 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from("=I", data, at + 8)[0]
        packet = data[at + 16 : at + 16 + size]
        if len(packet) == size and packet[9] == 17:
            found.append(packet[28:])
        at += 16 + size
    return found


def test_no_ping_is_lost_where_half_of_them_would_be(capture: Path, ping: Measure) -> None:
    pings = ping("a", SERVER, count=100, interval=0.05)
    assert pings.loss == 0
    assert pings.median < 0.115


@pytest.mark.parametrize(("to_side", "address"), [("a", SERVER), ("b", CLIENT)], ids=["download", "upload"])
def test_five_megabytes_arrive_as_they_were_sent(capture: Path, download: Measure, to_side: str, address: str) -> None:
    transfer = download(to_side, address, size=FIVE_MEGABYTES, timeout=60)
    assert transfer.is_intact
    assert transfer.received == FIVE_MEGABYTES
    goodput = transfer.received * 8 / transfer.seconds / 1e6
    assert goodput > 2, f"{goodput:.2f} Mbit/s; the ceiling is 7, a plain TCP gets 0.1"


def test_the_wire_shows_nothing_but_noise(capture: Path, ping: Measure, download: Measure) -> None:
    ping("a", SERVER, count=100, interval=0.02)
    download("a", SERVER, size=1_000_000, timeout=30)
    found = datagrams(capture)
    assert len(found) > 500
    for position in (*range(24), *range(-16, 0)):
        values = Counter(datagram[position] for datagram in found)
        expected = len(found) / 256
        chi_square = sum((values[value] - expected) ** 2 / expected for value in range(256))
        assert chi_square < 255 + 6 * (2 * 255) ** 0.5, f"byte {position} is not uniform"
    assert len({datagram[:8] for datagram in found}) == len(found), "a header stands twice"
    small = [len(datagram) for datagram in found if len(datagram) < 200]
    assert len(set(small)) > 20, "the sizes of small datagrams are too few"

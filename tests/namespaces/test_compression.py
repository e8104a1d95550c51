"""Headers as real kernels write them: captured on a bad link between two namespaces, then carried by the codec.

namespace a: 198.18.0.1 -- 10 Mbit/s, 40 ms, no loss as in a tunnel, or 1 % -- namespace b: 198.18.0.2
"""

from __future__ import annotations

import statistics
import struct
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from ghost.compression.agreement import Agreement
from ghost.constants import INNER_MTU
from ghost.runtime.namespaces import ADDRESSES, DEVICE, NamespacePair
from ghost.simulation.replay import EVERYTHING, Carried, Replay

Measure = Callable[..., Any]
HERE, THERE = (IPv4Address(address).packed for address in ADDRESSES.values())
RECORD_HEAD = 4
TCP_HEADERS = 52  # with timestamps, as Linux sends them


@pytest.fixture(params=["0%", "1%"])
def capture(
    request: pytest.FixtureRequest, pair: NamespacePair, ping: Measure, download: Measure, tmp_path: Path
) -> list[tuple[float, bytes]]:
    """A download of 2 MB and pings; with losses there are selective acknowledgements."""
    path = tmp_path / "wan.pcap"
    link = pair.impaired(f"rate=10mbit,delay=20ms,loss={request.param}", pcap=path)
    for side in ADDRESSES:
        pair.run(side, "ip", "link", "set", DEVICE, "mtu", str(INNER_MTU), timeout=10)
    ping("a", ADDRESSES["b"], count=20)
    transfer = download("a", ADDRESSES["b"], size=2_000_000, timeout=60)
    assert transfer.is_intact
    link.stats()  # flushes the capture
    return read(path)


def read(path: Path) -> list[tuple[float, bytes]]:
    """(time, packet) of a capture of raw IP packets."""
    data, at, found = path.read_bytes(), 24, []
    while at + 16 <= len(data):
        seconds, micros, size = struct.unpack_from("=III", data, at)
        found.append((seconds + micros / 1e6, data[at + 16 : at + 16 + size]))
        at += 16 + size
    return found


def is_data(carried: Carried) -> bool:
    return carried.packet[9] == 6 and not carried.is_prompt and len(carried.packet) > 1000


def test_packets_of_real_kernels_come_back_and_their_headers_shrink(capture: list[tuple[float, bytes]]) -> None:
    for agreement in (Agreement(), Agreement(headers=True), EVERYTHING):
        down = Replay(agreement).carry_all(each for each in capture if each[1][12:16] == THERE)
        up = Replay(agreement).carry_all(each for each in capture if each[1][12:16] == HERE)
        assert len(down) + len(up) > 2000
        segments = [carried for carried in down if is_data(carried)]
        pure = [carried for carried in up if carried.is_prompt and carried.packet[9] == 6]
        headers = sum(carried.size - len(carried.packet) + TCP_HEADERS for carried in segments) / len(segments)
        plain = [carried.size for carried in pure if len(carried.packet) == TCP_HEADERS]
        selective = [carried.size for carried in pure if len(carried.packet) > TCP_HEADERS]
        means = statistics.fmean(plain), statistics.fmean(selective or [0])
        print(f"{agreement}: {headers:.2f} bytes around a segment, {means[0]:.2f} for each of {len(plain)}", end=" ")
        print(f"acknowledgements, {means[1]:.2f} for each of {len(selective)} with blocks")
        if agreement.headers:
            assert headers <= 5 + RECORD_HEAD
            assert means[0] <= 9  # the receive window still grows, which costs 2 bytes each time
            assert means[1] <= 30

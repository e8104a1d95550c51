"""QUIC inside the tunnel: its losses are repaired like a TCP's, though it is UDP to everybody.

namespace a: client, 198.18.0.1 -- 10 Mbit/s, 100 ms, 20 % loss each way -- namespace b: server, 198.18.0.2
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from ghost.commands.demo_stage import INNER_SERVER, Interruption, start_tunnel
from ghost.runtime.namespaces import ADDRESSES, LineReader, NamespacePair

GHOSTTUNNEL = (sys.executable, str(Path(__file__).parents[2] / "ghosttunnel.py"))
QUIC = (sys.executable, str(Path(__file__).with_name("quic_traffic.py")))
LINK = "rate=10mbit,delay=50ms,loss=20%"
SECONDS = 10

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("aioquic") is None or sys.version_info < (3, 11),
    reason="aioquic is missing, or this Python is older than 3.11: pip install --editable '.[dev]'",
)


def goodput(pair: NamespacePair, address: str) -> float:
    """Megabits a second that a download over QUIC brings."""
    server = pair.spawn("b", *QUIC, "serve", address, "4433")
    assert LineReader(server).next_line(20), "the QUIC server did not start"
    told = pair.run("a", *QUIC, "fetch", address, "4433", str(SECONDS), timeout=SECONDS + 40).stdout
    server.kill()
    server.wait()
    result = json.loads(told)
    return result["bytes"] * 8 / 1e6 / result["seconds"]


def test_quic_is_three_times_as_fast_as_without_the_tunnel(pair: NamespacePair, tmp_path: Path) -> None:
    pair.impaired(LINK, seed=1)
    plain = goodput(pair, ADDRESSES["b"])
    start_tunnel(pair, Interruption(), tmp_path, GHOSTTUNNEL)
    inside = goodput(pair, INNER_SERVER)
    print(f"QUIC at 20 % loss: {plain:.2f} Mbit/s, in the tunnel {inside:.2f}")
    assert inside > 3 * plain
    assert inside > 1

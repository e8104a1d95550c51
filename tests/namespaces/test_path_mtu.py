"""A path that swallows large packets, on real kernels: a download goes on, whether it was so from the start or not.

namespace a: client, 198.18.0.1 -- 10 Mbit/s, 50 ms, packets above the MTU vanish -- namespace b: server, 198.18.0.2
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ghost.commands.demo_stage import INNER_SERVER, Interruption, start_tunnel
from ghost.runtime.namespaces import NamespacePair

GHOSTTUNNEL = (sys.executable, str(Path(__file__).parents[2] / "ghosttunnel.py"))
LINK = "rate=10mbit,delay=25ms"
SIZE = 3_000_000
Measure = Callable[..., Any]


@pytest.mark.parametrize(("first", "then", "expected"), [(1200, 1200, 1180), (1500, 600, 576)])
def test_a_download_arrives_over_a_narrow_path(
    pair: NamespacePair, tmp_path: Path, download: Measure, first: int, then: int, expected: int
) -> None:
    link = pair.impaired(f"{LINK},mtu={first}")
    start_tunnel(pair, Interruption(), tmp_path, GHOSTTUNNEL)
    download("a", INNER_SERVER, size=SIZE, timeout=30, port=5001)
    link.change("both", f"{LINK},mtu={then}")
    transfer = download("a", INNER_SERVER, size=SIZE, timeout=30, port=5002)
    assert transfer.is_intact
    assert transfer.received == SIZE
    asked = pair.run("b", *GHOSTTUNNEL, "status", "--json", "--state-dir", tmp_path / "server", timeout=20)
    assert json.loads(asked.stdout)["peers"][0]["path_mtu_bytes"] == expected
    assert link.stats()["ba"]["too_big"] > 0

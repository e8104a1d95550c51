"""Real kernels, real TUN devices, and a bad link of our own between them.

    namespace a: wan 198.18.0.1 ---- impaired link or plain veth ---- namespace b: wan 198.18.0.2

Everything stays inside namespaces that the test makes and removes. Skipped where there is no root or no /dev/net/tun.
Run one after another: a machine that is busy with other tests would be measured along with the link.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from ghost.errors import HostError
from ghost.runtime.entry import module_command
from ghost.runtime.namespaces import LineReader, NamespacePair, Side, require_root_and_tun
from ghost.runtime.traffic import stream_digest

TRAFFIC = module_command("ghost.runtime.traffic")


@dataclass(frozen=True, slots=True)
class Pings:
    """What became of `sent` echoes; times in seconds, in the order of their arrival."""

    sent: int
    times: list[float]

    @property
    def loss(self) -> float:
        return 1 - len(self.times) / self.sent

    @property
    def median(self) -> float:
        return statistics.median(self.times) if self.times else math.inf


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a download brought; `is_intact` says that its SHA-256 is that of what was sent."""

    received: int
    seconds: float
    is_intact: bool


Ping = Callable[..., Pings]
Download = Callable[..., Transfer]


@pytest.fixture(scope="session", autouse=True)
def _root_and_tun() -> None:
    try:
        require_root_and_tun()
    except HostError as lack:
        pytest.skip(str(lack))


@pytest.fixture
def pair() -> Iterator[NamespacePair]:
    """Two fresh namespaces, not yet joined: call `impaired` or `veth`."""
    with NamespacePair("test") as namespaces:
        yield namespaces


@pytest.fixture
def ping(pair: NamespacePair) -> Ping:
    """ping(side, address, count=..., interval=...) -> Pings."""

    def send(side: Side, address: str, *, count: int = 50, interval: float = 0.02) -> Pings:
        arguments = ["ping", address, f"--count={count}", f"--interval={interval}"]
        done = pair.run(side, *TRAFFIC, *arguments, timeout=count * interval + 20)
        assert done.returncode == 0, done.stderr
        return Pings(**json.loads(done.stdout))

    return send


@pytest.fixture
def download(pair: NamespacePair) -> Download:
    """download(to_side, address, size=..., timeout=...) -> Transfer of `size` bytes over TCP from the other side."""

    def fetch(side: Side, address: str, *, size: int, timeout: float, port: int = 5001, seed: int = 1) -> Transfer:
        other: Side = "b" if side == "a" else "a"
        serve = ["serve", address, str(port), f"--seed={seed}", f"--limit={timeout + 30}"]
        assert LineReader(pair.spawn(other, *TRAFFIC, *serve)).next_line(20), f"cannot listen at {address}"
        receive = ["fetch", address, str(port), f"--size={size}", f"--seconds={timeout}"]
        done = pair.run(side, *TRAFFIC, *receive, timeout=timeout + 60)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout.splitlines()[-1])
        received = result["bytes"]
        return Transfer(received, result["seconds"], result["sha256"] == stream_digest(seed, received))

    return fetch

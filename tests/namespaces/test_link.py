"""The bad link as two kernels see it: its delay, its loss, its changes and its end."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ghost.errors import ConfigError, HostError
from ghost.runtime.entry import module_command
from ghost.runtime.namespaces import LineReader, LinkHandle, NamespacePair, remove_leftovers

A, B = "198.18.0.1", "198.18.0.2"
Measure = Callable[..., Any]


def wait_until(is_so: Callable[[], bool], limit: float = 10.0) -> bool:
    deadline = time.monotonic() + limit
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def registered() -> set[str]:
    folder = Path("/run/netns")
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def is_running(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ping_takes_the_delay_of_both_directions(pair: NamespacePair, ping: Measure) -> None:
    pair.impaired("delay=30ms", "delay=10ms")
    result = ping("a", B)
    assert result.loss == 0
    assert min(result.times) >= 0.04
    assert result.median < 0.045


def test_ping_loses_what_both_directions_lose(pair: NamespacePair, ping: Measure) -> None:
    link = pair.impaired("loss=30%", seed=3)
    count = 600
    result = ping("a", B, count=count, interval=0.003)
    expected = 1 - 0.7 * 0.7
    assert abs(result.loss - expected) < 5 * math.sqrt(expected * (1 - expected) / count)
    stats = link.stats()
    assert stats["ab"]["in_packets"] == count
    assert stats["ab"]["lost"] + stats["ba"]["lost"] == count - len(result.times)


def test_download_runs_at_the_rate_and_arrives_intact(pair: NamespacePair, download: Measure) -> None:
    pair.impaired("rate=10mbit,delay=5ms")
    result = download("a", B, size=2_000_000, timeout=20)
    assert result.is_intact
    assert result.received == 2_000_000
    assert 7e6 < result.received * 8 / result.seconds < 10e6


def test_damage_reaches_the_application_in_udp(pair: NamespacePair) -> None:
    link = pair.impaired("corrupt=100%", "delay=0s")
    listen = f"import socket; s = socket.socket(2, 2); s.bind(('{B}', 9)); print(flush=True); print(s.recv(99).hex())"
    receiver = LineReader(pair.spawn("b", sys.executable, "-c", listen))
    assert receiver.next_line(10) is not None
    pair.run(
        "a",
        sys.executable,
        "-c",
        f"import socket; socket.socket(2, 2).sendto(bytes(32), ('{B}', 9))",
        timeout=10,
    )
    damaged = bytes.fromhex(receiver.next_line(10) or "")
    assert len(damaged) == 32
    assert int.from_bytes(damaged, "big").bit_count() == 1
    assert link.stats()["ab"]["corrupted"] == 1


def test_a_nat_of_a_changes_its_port_and_answers_find_the_way_back(pair: NamespacePair) -> None:
    pair.impaired("rebind=1s", "delay=1ms")
    answer = f"""
import socket
s = socket.socket(2, 2)
s.bind(('{B}', 9))
print(flush=True)
while True:
    _, address = s.recvfrom(99)
    s.sendto(str(address[1]).encode(), address)
"""
    assert LineReader(pair.spawn("b", sys.executable, "-c", answer)).next_line(10) is not None
    ask = f"""
import socket, time
s = socket.socket(2, 2)
s.settimeout(2)
for _ in range(3):
    s.sendto(b'who am I', ('{B}', 9))
    print(s.recv(99).decode(), s.getsockname()[1])
    time.sleep(1.05)
"""
    lines = [line.split() for line in pair.run("a", sys.executable, "-c", ask, timeout=20).stdout.splitlines()]
    assert len(lines) == 3
    assert len({own for _, own in lines}) == 1
    assert len({seen for seen, _ in lines}) == 3


def test_link_changes_while_it_runs(pair: NamespacePair, ping: Measure) -> None:
    link = pair.impaired("delay=1ms")
    assert ping("a", B, count=10).loss == 0
    link.change("ab", "loss=100%")
    assert ping("a", B, count=10).loss == 1
    link.change("both", "delay=20ms")
    again = ping("b", A, count=10)
    assert again.loss == 0
    assert min(again.times) >= 0.04


def test_bad_change_is_refused_and_the_link_goes_on(pair: NamespacePair, ping: Measure) -> None:
    link = pair.impaired("delay=1ms")
    with pytest.raises(ConfigError, match="did you mean loss=30%"):
        link.change("both", "los=100%")
    assert ping("a", B, count=10).loss == 0


def test_capture_holds_what_was_delivered(pair: NamespacePair, ping: Measure, tmp_path: Path) -> None:
    capture = tmp_path / "link.pcap"
    link = pair.impaired("delay=1ms", pcap=capture)
    ping("a", B, count=5)
    link.stats()
    data = capture.read_bytes()
    assert data[:4] == bytes.fromhex("d4c3b2a1")
    assert int.from_bytes(data[20:24], "little") == 101
    assert len(data) == 24 + 10 * (16 + 84)


def test_veth_joins_the_two_without_a_link_process(pair: NamespacePair, ping: Measure) -> None:
    pair.veth()
    assert ping("a", B, count=10).loss == 0
    assert pair.link is None


def test_all_is_removed_after_an_exception() -> None:
    with pytest.raises(RuntimeError), NamespacePair("test") as pair:
        link = pair.impaired("delay=1ms")
        sleeper = pair.spawn("a", "sleep", "60")
        assert set(pair.namespaces.values()) <= registered()
        raise RuntimeError
    assert not set(pair.namespaces.values()) & registered()
    assert link.process.poll() is not None
    assert sleeper.poll() is not None


def test_stubborn_process_and_its_children_are_ended(pair: NamespacePair) -> None:
    script = "trap '' TERM; setsid sleep 61 & echo $!; wait"
    process = pair.spawn("a", "sh", "-c", script)
    child = int(LineReader(process).next_line(10) or 0)
    assert is_running(child)
    pair.close()
    assert process.poll() is not None
    assert wait_until(lambda: not is_running(child))


MAKER = """
import sys, time
from ghost.runtime.namespaces import NamespacePair
with NamespacePair("orphan") as pair:
    link = pair.impaired("delay=1ms")
    sleeper = pair.spawn("a", "sleep", "62")
    print(*pair.namespaces.values(), link.process.pid, sleeper.pid, flush=True)
    time.sleep(60)
"""


def test_killed_maker_leaves_no_process_and_its_namespaces_go_at_the_next_start() -> None:
    maker = subprocess.Popen(
        [sys.executable, "-c", MAKER],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        words = (LineReader(maker).next_line(30) or "").split()
        assert len(words) == 4
        names, pids = set(words[:2]), [int(word) for word in words[2:]]
        assert all(is_running(pid) for pid in pids)
        remove_leftovers()
        assert names <= registered(), "a living maker's namespaces were taken for leftovers"
    finally:
        maker.send_signal(signal.SIGKILL)
        maker.wait(10)
        assert maker.stdout is not None
        maker.stdout.close()
    assert wait_until(lambda: not any(is_running(pid) for pid in pids))
    remove_leftovers()
    assert not names & registered()


def test_link_ends_with_its_standard_input(pair: NamespacePair) -> None:
    link = pair.impaired("delay=1ms")
    assert link.process.stdin is not None
    link.process.stdin.close()
    assert link.process.wait(10) == 0
    assert pair.run("a", "ip", "link", "show", "wan", timeout=10).returncode != 0


def test_link_says_why_it_cannot_start() -> None:
    with pytest.raises(HostError, match="no network namespace nowhere-a: make it with: ip netns add nowhere-a"):
        LinkHandle({"a": "nowhere-a", "b": "nowhere-b"}, "delay=1ms", "delay=1ms", seed=1)


def test_link_refuses_a_bad_description_before_it_makes_anything() -> None:
    argv = [*module_command("ghost.runtime.link"), "nowhere-a", "nowhere-b", "wan", "--ab", "los=1%"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == ConfigError.exit_code
    assert done.stderr.strip() == "link: 'los=1%' is not KEY=VALUE with a known key: did you mean loss=30%?"

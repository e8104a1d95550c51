"""The stream that measures: it arrives as it was sent, and its digest is known beforehand."""

from __future__ import annotations

import hashlib
import itertools
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from ghost.runtime.entry import module_command
from ghost.runtime.namespaces import LineReader, end
from ghost.runtime.traffic import BLOCK, stream, stream_digest

HOST = "127.0.0.1"
TRAFFIC = module_command("ghost.runtime.traffic")


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def serving(port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*TRAFFIC, "serve", HOST, str(port), *options], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert LineReader(process).next_line(20) is not None
        yield process
    finally:
        end(process)


def fetched(port: int, *options: str) -> list[dict[str, float]]:
    done = subprocess.run(
        [*TRAFFIC, "fetch", HOST, str(port), *options], capture_output=True, text=True, timeout=60, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_digest_is_that_of_any_prefix() -> None:
    sent = b"".join(itertools.islice(stream(5), 2))
    for size in (0, 1, BLOCK, BLOCK + 1):
        assert stream_digest(5, size) == hashlib.sha256(sent[:size]).hexdigest()
    assert stream_digest(5, 100) != stream_digest(6, 100)


def test_given_size_arrives_intact() -> None:
    port = free_port()
    with serving(port, "--seed=9"):
        result = fetched(port, "--size=300000")[-1]
    assert result["bytes"] == 300_000
    assert result["sha256"] == stream_digest(9, 300_000)


def test_given_time_is_kept_and_progress_is_told_each_second() -> None:
    port = free_port()
    with serving(port) as server:
        *progress, result = fetched(port, "--seconds=2")
        assert server.wait(10) == 0, "the sender goes on after the receiver hung up"
    assert [int(line["seconds"]) for line in progress] == [1, 2]
    assert 2.0 <= result["seconds"] < 2.5
    assert result["sha256"] == stream_digest(1, int(result["bytes"]))


def test_sender_gives_up_when_nobody_comes() -> None:
    with serving(free_port(), "--limit=0.2") as server:
        assert server.wait(10) == 0

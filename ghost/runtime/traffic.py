"""Traffic to measure a network with, inside a namespace: `python -m ghost.runtime.traffic serve|fetch|ping`.

    serve ADDRESS PORT     sends an endless stream to the first that connects, until it hangs up
    fetch ADDRESS PORT     receives for some seconds or bytes and takes the stream's SHA-256
    ping ADDRESS           ICMP echoes at a fixed interval

The stream is a function of its seed and does not compress, so whoever knows the seed knows the digest of any
prefix (`stream_digest`): what arrived can be checked against what was sent without asking the sender. Results
are lines of JSON on standard output. Plain blocking sockets of the standard library: nothing else runs in
these processes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator

BLOCK = 65_536
UNSENT_LIMIT = 131_072
"""Bytes the kernel may hold unsent (TCP_NOTSENT_LOWAT), so that a slow link does not leave megabytes behind
the end."""
TCP_NOTSENT_LOWAT = 25  # linux/tcp.h

CONGESTION = b"cubic"
"""What most senders on the Internet use. Some hosts default to another, and figures should not depend on it."""

CONNECT_LIMIT = 30.0
"""Seconds to connect: the kernel repeats its SYN after 1, 3, 7 and 15 s, which at 50 % loss each way gets
through."""

LATE = 2.0
"""Seconds to wait for echoes after the last was sent."""

ECHO_REPLY, ECHO_REQUEST = 0, 8  # RFC 792
ECHO_PADDING = bytes(56)


def stream(seed: int) -> Iterator[bytes]:
    """The endless stream of a seed, in blocks of BLOCK bytes."""
    rng = random.Random(seed)
    while True:
        yield rng.randbytes(BLOCK)


def stream_digest(seed: int, size: int) -> str:
    """SHA-256, in hexadecimal, of the first `size` bytes of the stream of a seed."""
    digest = hashlib.sha256()
    blocks = stream(seed)
    while size > 0:
        block = next(blocks)[:size]
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def serve(address: str, port: int, *, seed: int, limit: float) -> None:
    """Send the stream to one peer for at most `limit` seconds from now; prints a line when it listens."""
    deadline = time.monotonic() + limit
    with contextlib.suppress(OSError):  # nobody came, or the peer has enough
        with socket.create_server((address, port)) as listener:
            print(json.dumps({"listening": port}), flush=True)
            listener.settimeout(limit)
            connection, _ = listener.accept()
        with connection:
            with contextlib.suppress(OSError):  # a kernel without CUBIC uses what it has
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION)
            connection.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_LIMIT)
            for block in stream(seed):
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                connection.settimeout(left)
                connection.sendall(block)


def fetch(address: str, port: int, *, seconds: float, size: int | None, interval: float) -> None:
    """Receive until `size` bytes are there or `seconds` are over, counted from the connection.

    Prints {"seconds", "bytes"} about every `interval` seconds and at the end {"seconds", "bytes", "connected",
    "sha256"}, where `connected` is how long connecting took, None if it failed.
    """
    started = time.monotonic()
    connection = _connect(address, port)
    digest, received = hashlib.sha256(), 0
    if connection is None:
        print(json.dumps({"seconds": seconds, "bytes": 0, "connected": None, "sha256": digest.hexdigest()}))
        return
    begun = now = time.monotonic()
    due = interval
    with connection:
        while (size is None or received < size) and now - begun < seconds:
            connection.settimeout(max(0.001, min(begun + seconds, begun + due) - now))
            try:
                data = connection.recv(BLOCK if size is None else min(BLOCK, size - received))
            except TimeoutError:
                data = None
            except OSError:
                break
            if data == b"":
                break
            if data:
                digest.update(data)
                received += len(data)
            now = time.monotonic()
            if now - begun >= due:
                due = interval * (int((now - begun) / interval) + 1)
                print(json.dumps({"seconds": now - begun, "bytes": received}), flush=True)
    spent = now - begun
    print(
        json.dumps({"seconds": spent, "bytes": received, "connected": begun - started, "sha256": digest.hexdigest()}),
        flush=True,
    )


def _connect(address: str, port: int) -> socket.socket | None:
    deadline = time.monotonic() + CONNECT_LIMIT
    while (left := deadline - time.monotonic()) > 0:
        try:
            return socket.create_connection((address, port), timeout=left)
        except TimeoutError:
            return None
        except OSError:  # refused or no route yet: the other side is still starting
            time.sleep(0.1)
    return None


def ping(address: str, *, count: int, interval: float, until_first: bool) -> None:
    """Send `count` echoes; prints {"sent", "times"}, the round trips in seconds of those that came back.

    `until_first` ends it at the first answer.
    """
    identity = os.getpid() & 0xFFFF
    sent_at: dict[int, float] = {}
    times: dict[int, float] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        started = time.monotonic()
        while len(times) < (1 if until_first else count):
            now = time.monotonic()
            number = len(sent_at)
            wake = started + (number * interval if number < count else (count - 1) * interval + LATE)
            if now >= wake:
                if number == count:
                    break
                sent_at[number] = now
                with contextlib.suppress(OSError):  # no route yet counts as a lost echo
                    icmp.sendto(_echo(identity, number), (address, 0))
                continue
            icmp.settimeout(wake - now)
            with contextlib.suppress(TimeoutError):
                packet = icmp.recv(2048)
                answer = _answered(packet, identity)
                if answer in sent_at and answer not in times:
                    times[answer] = time.monotonic() - sent_at[answer]
    print(json.dumps({"sent": len(sent_at), "times": list(times.values())}), flush=True)


def _echo(identity: int, number: int) -> bytes:
    header = struct.pack(">BBHHH", ECHO_REQUEST, 0, 0, identity, number & 0xFFFF)
    total = sum(struct.unpack(">4H", header))  # the padding is zero
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return header[:2] + struct.pack(">H", total ^ 0xFFFF) + header[4:] + ECHO_PADDING


def _answered(packet: bytes, identity: int) -> int | None:
    """The number of our echo that this IP packet answers."""
    kind, _, _, theirs, number = struct.unpack_from(">BBHHH", packet, (packet[0] & 0x0F) * 4)
    return number if kind == ECHO_REPLY and theirs == identity else None


COMMANDS: dict[str, Callable[..., None]] = {"serve": serve, "fetch": fetch, "ping": ping}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ghost.runtime.traffic", description="Traffic to measure a network with.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        command = commands.add_parser(name)
        command.add_argument("address")
        if name != "ping":
            command.add_argument("port", type=int)
    commands.choices["serve"].add_argument("--seed", type=int, default=1)
    commands.choices["serve"].add_argument("--limit", type=float, default=120.0)
    commands.choices["fetch"].add_argument("--seconds", type=float, default=60.0)
    commands.choices["fetch"].add_argument("--size", type=int)
    commands.choices["fetch"].add_argument("--interval", type=float, default=1.0)
    commands.choices["ping"].add_argument("--count", type=int, default=10)
    commands.choices["ping"].add_argument("--interval", type=float, default=0.1)
    commands.choices["ping"].add_argument("--until-first", action="store_true")
    options = vars(parser.parse_args(arguments))
    COMMANDS[options.pop("command")](**options)
    return 0


if __name__ == "__main__":
    sys.exit(main())

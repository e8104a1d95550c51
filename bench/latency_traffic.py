"""What people wait for, inside a namespace: `python bench/latency_traffic.py answer|request|type|call`.

    answer ADDRESS PORT      a server for the others
    request ADDRESS PORT     fetches so many bytes so many times, each over a TCP connection of its own
    call ADDRESS PORT        sends frames of voice over UDP, each of which comes back
    type ADDRESS PORT        writes a key now and then and waits for nothing: each comes back as an echo

Prints {"sent", "times"}, seconds in the order of what caused them, of those that came. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import threading
import time

REQUEST_SIZE = 200  # bytes, of which the first four say how much is wanted
ECHO = 0  # wanted: everything back, as it comes
KEY_SIZE = 36  # bytes of a keystroke, as OpenSSH sends it
KEY_INTERVALS = (0.08, 0.25)  # seconds between two keys of a fluent typist
REQUEST_LIMIT = 15.0  # seconds after which a request counts as lost
CONNECT_LIMIT = 30.0
FRAME_SIZE = 172  # bytes of payload: G.711 with its RTP header (RFC 3551), every
FRAME_INTERVAL = 0.020  # seconds
LATE = 3.0  # seconds to wait for echoes after the last key


def answer(address: str, port: int) -> None:
    """Until it is ended; prints a line when it listens."""
    with socket.create_server((address, port), backlog=64) as listener:
        threading.Thread(target=_echo_frames, args=(address, port), daemon=True).start()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _echo_frames(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, port))
        while True:
            sock.sendto(*sock.recvfrom(2048))


def _serve(connection: socket.socket) -> None:
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(CONNECT_LIMIT)
        try:
            (wanted,) = struct.unpack_from(">I", _exactly(connection, REQUEST_SIZE))
            if wanted != ECHO:
                connection.sendall(random.Random(wanted).randbytes(wanted))
                return
            while data := connection.recv(4096):
                connection.sendall(data)
        except OSError:  # the other end has given up
            return


def request(address: str, port: int, *, count: int, size: int, seconds: float) -> None:
    """One after the other, none begun after that time; the time of each is from the first SYN to the last byte."""
    times = []
    sent = 0
    end = time.monotonic() + seconds
    while sent < count and (began := time.monotonic()) < end:
        sent += 1
        try:
            with socket.create_connection((address, port), timeout=REQUEST_LIMIT) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(_wanted(size))
                _exactly(connection, size)
            times.append(time.monotonic() - began)
        except OSError:
            continue
    print(json.dumps({"sent": sent, "times": times}), flush=True)


def call(address: str, port: int, *, seconds: float) -> None:
    """Frames at their interval; the time of each is there and back."""
    sent: list[float] = []
    times: dict[int, float] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds + LATE:
            due = began + len(sent) * FRAME_INTERVAL
            if now >= due and due < began + seconds:
                sock.send(struct.pack(">I", len(sent)) + bytes(FRAME_SIZE - 4))
                sent.append(now)
                continue
            sock.settimeout(max(0.0005, due - now) if due < began + seconds else 0.1)
            try:
                (number,) = struct.unpack_from(">I", sock.recv(2048))
            except OSError:  # nothing came meanwhile
                continue
            times.setdefault(number, time.monotonic() - sent[number])
    print(json.dumps({"sent": len(sent), "times": [times[number] for number in sorted(times)]}), flush=True)


def type_keys(address: str, port: int, *, seconds: float, seed: int) -> None:
    rng = random.Random(seed)
    typed: list[float] = []
    seen: list[float] = []
    with socket.create_connection((address, port), timeout=CONNECT_LIMIT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(_wanted(ECHO))
        listener = threading.Thread(target=_watch, args=(connection, seen), daemon=True)
        listener.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            typed.append(time.monotonic())
            connection.sendall(bytes(KEY_SIZE))
            time.sleep(rng.uniform(*KEY_INTERVALS))
        deadline = time.monotonic() + LATE
        while len(seen) < len(typed) and time.monotonic() < deadline:
            time.sleep(0.01)
    times = [there - here for here, there in zip(typed, seen, strict=False)]
    print(json.dumps({"sent": len(typed), "times": times}), flush=True)


def _watch(connection: socket.socket, seen: list[float]) -> None:
    """Notes when each echo was complete."""
    received = 0
    while True:
        try:
            data = connection.recv(4096)
        except OSError:
            return
        if not data:
            return
        received += len(data)
        now = time.monotonic()
        seen += [now] * (received // KEY_SIZE - len(seen))


def _wanted(size: int) -> bytes:
    return struct.pack(">I", size).ljust(REQUEST_SIZE, b"\0")


def _exactly(connection: socket.socket, size: int) -> bytes:
    """OSError where it ends earlier."""
    parts: list[bytes] = []
    left = size
    while left:
        data = connection.recv(min(left, 65_536))
        if not data:
            raise OSError("ended early")
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="What people wait for, inside a namespace.")
    parser.add_argument("what", choices=("answer", "request", "type", "call"))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.what == "answer":
        answer(options.address, options.port)
    elif options.what == "request":
        request(options.address, options.port, count=options.count, size=options.size, seconds=options.seconds)
    elif options.what == "call":
        call(options.address, options.port, seconds=options.seconds)
    else:
        type_keys(options.address, options.port, seconds=options.seconds, seed=options.seed)


if __name__ == "__main__":
    main()

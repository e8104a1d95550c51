"""Measures what compression saves: downloads over thin links, acknowledgements, keystrokes, an idle day, CPU.

.venv/bin/python bench/compression.py                  all of it, in two minutes
.venv/bin/python bench/compression.py idle keys        some of it
.venv/bin/python bench/compression.py downloads --seeds 1
sudo .venv/bin/python bench/compression.py kernels     downloads between two namespaces, in seven minutes

Virtual time, except for the CPU. The contents are Python's own, which every machine has: its documentation (pydoc's
topics), then sources of the standard library; the pages that pydoc makes of them; and what is known of each function
with its documentation, as JSON and as the cards of a catalogue, whose numbers are random.
"""

from __future__ import annotations

import argparse
import ast
import collections
import datetime
import decimal
import email.message
import hashlib
import html
import importlib
import inspect
import ipaddress
import json
import logging
import math
import pathlib
import pydoc
import random
import statistics
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import typing
import unittest.mock
from collections.abc import Callable
from ipaddress import IPv4Address
from pydoc_data.topics import topics

from ghost.chaos.spec import parse
from ghost.commands.demo_stage import INNER_SERVER, Interruption, start_tunnel
from ghost.compression.agreement import Agreement
from ghost.compression.dictionaries import Kind
from ghost.compression.payload import PacketCompressor, Shrinkage, pad
from ghost.compression.trains import SuperPacket, Train
from ghost.runtime.namespaces import NamespacePair
from ghost.simulation import packets
from ghost.simulation.pair import Pair
from ghost.simulation.segments import ACK, Codec
from ghost.simulation.workloads import GATEWAY, Bulk
from ghost.tunnel.composer import Composer
from ghost.tunnel.receiver import Receiver
from ghost.wire import frames, inner

ROOT = pathlib.Path(__file__).parents[1]

LINKS = {
    "thin64": "rate=64kbit,delay=300ms,queue=1000ms,loss=5%",
    "thin256": "rate=256kbit,delay=150ms,queue=400ms,loss=10%",
}
MODES = ("off", "headers", "auto")
MEGABYTE = 1_000_000
DAY = 86_400.0
HOST_HEADERS = 28  # IPv4 and UDP around a datagram
WIREGUARD = HOST_HEADERS + 32  # around an inner packet padded to a multiple of 16
KEYS = 300
KEY_INTERVAL = 0.2  # seconds
CONNECT_LIMIT = 60.0
SEEDS = 3

MODULES = (
    *(argparse, collections, datetime, decimal, email.message, inspect, ipaddress, logging, pathlib, random),
    *(statistics, subprocess, tarfile, typing, unittest.mock),
)
MORE_MODULES = [
    importlib.import_module(name)
    for line in (
        "ast asyncio.base_events asyncio.events bdb codecs configparser csv difflib dis doctest enum fractions ftplib",
        "functools http.client imaplib mailbox multiprocessing.managers optparse pdb pickle pickletools",
        "platform plistlib pstats pydoc shutil smtplib socket socketserver ssl string tempfile textwrap threading",
        "tokenize trace traceback unittest.case urllib.parse urllib.request uuid weakref xml.dom.minidom zipfile",
    )
    for name in line.split()
]


class Content(random.Random):
    """Draws the bytes of a text, one piece after the other."""

    def __init__(self, text: bytes) -> None:
        super().__init__(1)
        self._text = text
        self._at = 0

    def randbytes(self, n: int) -> bytes:
        piece = self._text[self._at : self._at + n]
        self._at += n
        return piece.ljust(n, b" ")


def text() -> bytes:
    return ("".join(topics.values()) + "".join(map(inspect.getsource, MODULES))).encode()


def records() -> list[dict[str, typing.Any]]:
    """What is known of each function and class."""
    return [
        {
            "module": module.__name__,
            "name": node.name,
            "kind": type(node).__name__,
            "line": node.lineno,
            "arguments": [argument.arg for argument in node.args.args] if isinstance(node, ast.FunctionDef) else [],
            "documentation": ast.get_docstring(node),
        }
        for module in (*MODULES, *MORE_MODULES)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]


def pages() -> bytes:
    """HTML of a shop: the same tags around ever new names, numbers and descriptions."""
    rng = random.Random(1)
    parts = ["<!DOCTYPE html>\n<html><body>\n"]
    for record in records():
        if record["documentation"]:
            name, description = (html.escape(record[key]) for key in ("name", "documentation"))
            parts.append(
                f'<div class="product-card" id="item-{rng.randrange(10**6)}">\n'
                f'<a href="/catalogue/{record["module"]}/{name}-{rng.randrange(10**6)}">'
                f'<h2 class="title">{name}</h2></a>\n<p class="text">{description}</p>\n'
                f'<span class="price">{rng.randrange(10**4) / 100:.2f} EUR</span>\n</div>\n'
            )
    return "".join(parts).encode()


def manual() -> bytes:
    """HTML as pydoc writes it."""
    writer = pydoc.HTMLDoc()
    return "".join(writer.page(module.__name__, writer.docmodule(module)) for module in MODULES).encode()


def answers() -> bytes:
    """JSON as an interface returns it."""
    return json.dumps(records()).encode()


CONTENTS: dict[str, Callable[[], bytes]] = {
    "text": text,
    "HTML, a manual": manual,
    "HTML, a catalogue": pages,
    "JSON": answers,
    "noise": lambda: random.Random(1).randbytes(2 * MEGABYTE),
}


def downloads(seeds: int = SEEDS) -> None:
    print("1 MB down, share of the link's rate, median of seeds" + "".join(f"{mode:>8}" for mode in MODES))
    for link, spec in LINKS.items():
        for name, make in CONTENTS.items():
            content = make()
            figures = [
                statistics.median(download(spec, content, mode, seed=seed) for seed in range(1, seeds + 1))
                for mode in MODES
            ]
            print(f"  {link:8} {name:41}" + "".join(f"{figure:8.2f}" for figure in figures), flush=True)


def download(spec: str, content: bytes, mode: str, *, seed: int) -> float:
    """Payload bits of a megabyte a second of waiting, over the link's rate."""
    link = parse(spec)
    pair = Pair(link, seed=seed, compression=mode)
    pair.run_until_connected(CONNECT_LIMIT)
    bulk = Bulk(pair, is_download=True, total=MEGABYTE, rng=Content(content))
    pair.applications.append(bulk)
    while (took := bulk.time_of(MEGABYTE - 2000)) is None:
        pair.run(1.0)
        if pair.now > 1000:
            return float("nan")
    return MEGABYTE * 8 / took / float(link.rate_bps or 1)


def kernels(seeds: int = 1) -> None:
    """The same with real kernels and daemons, in `auto` alone; needs root, and a machine with nothing else to do."""
    for link, spec in LINKS.items():
        for name, make in CONTENTS.items():
            shares = [real_download(spec, make(), seed=seed) for seed in range(1, seeds + 1)]
            print(f"  {link:8} {name:24} real kernels" + "".join(f"{share:8.2f}" for share in shares), flush=True)


SERVE = """
import pathlib, socket, sys
with socket.create_server(("", 5001)) as listener:
    connection = listener.accept()[0]
    connection.sendall(pathlib.Path(sys.argv[1]).read_bytes())
    connection.recv(1)
"""
FETCH = """
import hashlib, socket, sys, time
start, digest, left = time.monotonic(), hashlib.sha256(), int(sys.argv[2])
with socket.create_connection((sys.argv[1], 5001)) as connection:
    while left and (piece := connection.recv(65536)):
        digest.update(piece)
        left -= len(piece)
    print(time.monotonic() - start, digest.hexdigest(), flush=True)
"""


def real_download(spec: str, content: bytes, *, seed: int) -> float:
    link = parse(spec)
    with tempfile.TemporaryDirectory(prefix="ghostbench") as name, NamespacePair("bench") as pair:
        folder = pathlib.Path(name)
        (folder / "content").write_bytes(content[:MEGABYTE])
        pair.impaired(link, seed=seed)
        start_tunnel(pair, Interruption(), folder, (sys.executable, str(ROOT / "ghosttunnel.py")))
        pair.spawn("b", sys.executable, "-c", SERVE, folder / "content", log=folder / "serve.log")
        time.sleep(1.0)
        size = str(min(len(content), MEGABYTE))
        fetched = pair.run("a", sys.executable, "-c", FETCH, INNER_SERVER, size, timeout=600)
    took, digest = fetched.stdout.split()
    assert digest == hashlib.sha256(content[:MEGABYTE]).hexdigest(), "what arrived is not what was sent"
    return MEGABYTE * 8 / float(took) / float(link.rate_bps or 1)


def acknowledgements() -> None:
    """What a download's pure acknowledgements take inside the datagrams, and the headers of its segments."""
    sizes: list[int] = []
    frame = Composer.prompt_frame

    def count(self: Composer, prompt_id: int, record: bytes, *, is_near: bool) -> bytes:
        sizes.append(len(frame(self, prompt_id, record, is_near=is_near)))
        return frame(self, prompt_id, record, is_near=is_near)

    for mode in MODES:
        sizes.clear()
        Composer.prompt_frame = count  # type: ignore[method-assign]
        try:
            pair = Pair(parse("rate=10mbit,delay=50ms"), seed=1, compression=mode)
            pair.run_until_connected(CONNECT_LIMIT)
            pair.applications.append(Bulk(pair, is_download=True, total=5 * MEGABYTE))
            pair.run(10.0)
        finally:
            Composer.prompt_frame = frame  # type: ignore[method-assign]
        print(f"a pure acknowledgement of 40 bytes in the datagram, {mode:8}{sum(sizes) / len(sizes):9.2f} bytes")


class Keys:
    """A key each 0.2 s, 36 bytes as ssh seals it; the echo carries the acknowledgement, which is acknowledged."""

    def __init__(self, pair: Pair) -> None:
        assert pair.address is not None
        self._near, self._far = (pair.address, 50_000), (GATEWAY, 22)
        self._up, self._down = Codec(self._near, self._far), Codec(self._far, self._near)
        self._next = pair.now
        self._count = 0
        self._rng = random.Random(1)
        self.inner_sizes: list[int] = []

    def next_time(self) -> float | None:
        return self._next if self._count < KEYS else None

    def wake(self, pair: Pair) -> None:
        self._next += KEY_INTERVAL
        self._send(pair, self._up, self._count, self._count, self._rng.randbytes(36), from_server=False)
        self._count += 1

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        segment = (self._down if at_server else self._up).decode(packet)
        if segment is None or not segment.size:
            return
        number = segment.sequence // 36
        if at_server:
            self._send(pair, self._down, number, number + 1, self._rng.randbytes(36), from_server=True)
        else:
            self._send(pair, self._up, number + 1, number + 1, b"", from_server=False)

    def _send(self, pair: Pair, codec: Codec, number: int, acked: int, payload: bytes, *, from_server: bool) -> None:
        packet = codec.encode(sequence=number * 36, acknowledgement=acked * 36, flags=ACK, payload=payload)
        self.inner_sizes.append(len(packet))
        pair.send(packet, from_server=from_server)


def keys() -> None:
    for profile in ("noise", "thin"):
        for mode in MODES:
            pair = Pair(parse("rate=1mbit,delay=50ms"), seed=1, compression=mode, profile=profile)
            pair.run_until_connected(CONNECT_LIMIT)
            pair.run(2.0)
            session = Keys(pair)
            before = wire_bytes(pair)
            pair.applications.append(session)
            pair.run(KEYS * KEY_INTERVAL)
            taken = wire_bytes(pair) - before
            wireguard = sum(WIREGUARD + -(-size // 16) * 16 for size in session.inner_sizes)
            print(f"keystrokes, {profile:6}{mode:8} {taken:8} bytes, WireGuard {wireguard}: {taken / wireguard:5.2f}")


def wire_bytes(pair: Pair) -> int:
    """Both directions so far, with the headers around each datagram."""
    return sum(link.stats.in_bytes for link in (pair.up, pair.down))


def idle() -> None:
    for profile in ("noise", "thin"):
        pair = Pair(parse("rate=10mbit,delay=50ms"), seed=1, profile=profile)
        pair.run_until_connected(CONNECT_LIMIT)
        before = wire_bytes(pair)
        pair.run(DAY)
        print(f"an idle day, {profile:6} {(wire_bytes(pair) - before) / 1e6:5.2f} MB")


def names() -> None:
    """Questions and answers of DNS for names of the text's words, with and without the dictionary."""
    rng, words = (
        random.Random(1),
        [word for word in text().decode().lower().split() if word.isalpha() and len(word) < 20],
    )
    messages = []
    for _ in range(300):
        host, suffix, extension = rng.choice(words), rng.choice(("com", "net", "org", "de", "io")), rng.random() < 0.5
        labels = (rng.choice(("www", "api", "cdn", "mail", "img")), host + rng.choice(words)[:6], suffix)
        name = b"".join(bytes((len(label),)) + label.encode() for label in labels) + b"\0"
        kind, count = rng.choice(((1, 4), (28, 16))), rng.randrange(1, 5)
        records = [
            b"\xc0\x0c" + struct.pack(">HHIH", kind[0], 1, rng.randrange(20, 600), kind[1]) + rng.randbytes(kind[1])
            for _ in range(count)
        ]
        tail = (b"\0\0\x29\x04\xd0" + bytes(6)) * extension
        for flags, answers in ((0x0100, []), (0x8180, records)):
            head = struct.pack(">HHHHHH", rng.randrange(1 << 16), flags, 1, len(answers), 0, extension)
            messages.append(head + name + struct.pack(">HH", kind[0], 1) + b"".join(answers) + tail)
    for kind_ in (Kind.NONE, Kind.DNS):
        compressor, sent = PacketCompressor(), 0
        for message in messages:
            body = compressor.compress(message, Shrinkage(), kind_)
            sent += min(len(message), len(message) if body is None else len(pad(body, kind=kind_)))
        print(f"messages of DNS, dictionary {kind_.name:5} {sent / sum(map(len, messages)):5.2f} of their bytes")


def cpu() -> None:
    """Microseconds to compose a datagram of a flow of noise and to take it apart, least of many rounds."""
    here, there = IPv4Address("10.77.0.2"), IPv4Address("10.77.0.1")
    rng = random.Random(1)
    run = [
        packets.tcp(
            (here, 1), (there, 2), sequence=number * 1344, acknowledgement=1, flags=ACK, payload=rng.randbytes(1344)
        )
        for number in range(1000)
    ]
    parsed = inner.parse(run[0])
    assert parsed is not None
    modes = {
        "off": Agreement(),
        "headers": Agreement(headers=True),
        "auto": Agreement(headers=True, zstd=True, streams=8),
    }
    cpu_of_trains(run, parsed, modes)
    for rate in (1e6, 4e6):
        best = dict.fromkeys(modes, (math.inf, math.inf))
        ends = {mode: (Composer(agreement), Receiver(agreement)) for mode, agreement in modes.items()}
        for turn, mode in enumerate([*modes] * 15):  # in turns: a busy machine is busy for all of them
            composer, receiver = ends[mode]
            first = turn // len(modes) * len(run)
            payloads = []
            began = time.perf_counter()
            for number, packet in enumerate(run):
                composer.add(packet, parsed, rate=rate, prompt_id=number, now=0.0)
                payloads.append(composer.compose(1389))
            took = time.perf_counter() - began
            symbols = [frames.Symbol(number, payload) for number, payload in enumerate(payloads, first)]
            began = time.perf_counter()
            for symbol in symbols:
                receiver.on_symbol(symbol, 0.0)
                receiver.take_packets()
            best[mode] = min(best[mode][0], took), min(best[mode][1], time.perf_counter() - began)
        for mode, (out, back) in best.items():
            figures = f"{out / len(run) * 1e6:6.2f} us out, {back / len(run) * 1e6:6.2f} us in"
            print(f"a full datagram of noise at {rate * 8e-6:3.0f} Mbit/s, {mode:8} {figures}")


def cpu_of_trains(run: list[bytes], parsed: inner.Inner, modes: dict[str, Agreement]) -> None:
    """The same where the kernel hands over 40 segments at a time, at 8 Mbit/s."""
    best = dict.fromkeys(modes, math.inf)
    composers = {mode: Composer(agreement) for mode, agreement in modes.items()}
    sequence = 0
    for mode in [*modes] * 15:
        trains = []
        for first in range(0, len(run), 40):
            head = bytearray(run[0][:40])
            head[24:28] = sequence.to_bytes(4, "big")
            payload = b"".join(packet[40:] for packet in run[first : first + 40])
            train = Train.of(SuperPacket(bytes(head) + payload, 1344))
            assert train is not None
            trains.append(train)
            sequence = sequence + len(payload) & 0xFFFFFFFF
        composer, count = composers[mode], 0
        began = time.perf_counter()
        for train in trains:
            composer.add_train(train, parsed, rate=1e6, now=0.0)
            while composer.has_data:
                count += bool(composer.compose(1389))
        best[mode] = min(best[mode], (time.perf_counter() - began) / count)
    for mode, seconds in best.items():
        print(f"a full datagram of noise at   8 Mbit/s, {mode:8} {seconds * 1e6:6.2f} us out, in trains of 40")


CASES = {
    "downloads": downloads,
    "kernels": kernels,
    "acks": acknowledgements,
    "keys": keys,
    "idle": idle,
    "names": names,
    "cpu": cpu,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="which ones (default: all but kernels)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each download (default: %(default)s)")
    arguments = parser.parse_args()
    for case in arguments.cases or [case for case in CASES if case != "kernels"]:
        downloads(arguments.seeds) if case == "downloads" else CASES[case]()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A bad link between two network namespaces, in a process of its own: `python -m ghost.runtime.link NS_A NS_B
IFNAME`.

It holds a TUN device IFNAME in each namespace and carries IP packets from one to the other through two links
of ghost.chaos, so that real kernels and real tunnels meet a bad network on any machine; many kernels have no
netem. A stands behind a NAT whose ports change where the link from A has a `rebind`.

Flow: wait for packets, a command or the next delivery -> read packets into their link -> write what is due.
Speaks on standard output: `ready`, then one line per command read from standard input:

    ab SPEC | ba SPEC | both SPEC    replace the description of a direction    -> ok, or error: CAUSE
    stats                            counters of both directions               -> one line of JSON
    quit                             end                                       -> nothing

It ends at the end of its standard input, so it never outlives the process that started it; its devices end
with it. Plain select and blocking commands, no gevent: nothing else runs here, and a delivery should be late
by microseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import gc
import json
import os
import random
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import BinaryIO

from ghost.chaos.host import Nat, rebindings
from ghost.chaos.link import Link
from ghost.chaos.profiles import resolve
from ghost.chaos.spec import LinkSpec
from ghost.errors import GhostError, HostError
from ghost.runtime.tun import Tun, open_tun

CLONE_NEWNET = 0x40000000  # linux/sched.h
PR_SET_TIMERSLACK = 29  # linux/prctl.h; the default of 50 us would be added to every delivery

PACKET_LIMIT = 65_535
BATCH = 64
"""Packets read from one side before deliveries get their turn: bounds how late a flood makes them."""

PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, PACKET_LIMIT, 101)  # link type 101: raw IP

DIRECTIONS = {"ab": (0,), "ba": (1,), "both": (0, 1)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ghost.runtime.link", description="Join two namespaces by a bad link.")
    parser.add_argument("namespace_a")
    parser.add_argument("namespace_b")
    parser.add_argument("device")
    parser.add_argument("--ab", default="delay=0s", help="the link from A to B: a description or a profile")
    parser.add_argument("--ba", default="delay=0s", help="the link from B to A")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pcap", help="write what is delivered to this file")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        try:
            specs = (resolve(options.ab), resolve(options.ba))
            devices = (
                open_tun_in(options.namespace_a, options.device),
                open_tun_in(options.namespace_b, options.device),
            )
            capture = stack.enter_context(open(options.pcap, "wb")) if options.pcap else None
        except (GhostError, OSError) as error:
            print(error, file=sys.stderr)
            return error.exit_code if isinstance(error, GhostError) else HostError.exit_code
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, lambda *_: sys.exit(0))
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
        # Nothing here makes reference cycles, and a collection would show as jitter.
        gc.disable()
        print("ready", flush=True)
        Bridge(devices, specs, options.seed, capture).run()
    return 0


class Bridge:
    """Carries packets between the two devices until it is told to quit; owns the loop and the command
    lines."""

    def __init__(
        self, devices: tuple[Tun, Tun], specs: tuple[LinkSpec, LinkSpec], seed: int, capture: BinaryIO | None
    ) -> None:
        rng, now = random.Random(seed), time.monotonic()
        self._devices = devices
        self._links = (Link(specs[0], rng, now), Link(specs[1], rng, now))
        self._nat = Nat()
        self._refused = [0, 0]
        self._capture = capture
        self._commands = b""
        self._quits = False
        if capture:
            capture.write(PCAP_HEADER)

    def run(self) -> None:
        (a, b), (ab, ba) = self._devices, self._links
        stdin = sys.stdin.fileno()
        watched = [a, b, stdin]  # devices and numbers alike have a fileno for select
        while not self._quits:
            due = [at for at in (ab.next_delivery(), ba.next_delivery()) if at is not None]
            wait = max(0.0, min(due) - time.monotonic()) if due else None
            readable, _, _ = select.select(watched, [], [], wait)
            if a in readable:
                self._read(a, ab, self._outward)
            if b in readable:
                self._read(b, ba, bytes)
            if due or readable:
                self._write(0, b)
                self._write(1, a)
            if stdin in readable:
                self._hear(os.read(stdin, 4096))

    def _read(self, device: Tun, link: Link, translate: Callable[[bytes], bytes]) -> None:
        now = time.monotonic()
        with contextlib.suppress(BlockingIOError):
            for _ in range(BATCH):
                packet = device.read(PACKET_LIMIT)
                assert isinstance(packet, bytes)  # without offloads there is nothing else
                link.send(translate(packet), now, overhead=0)

    def _outward(self, packet: bytes) -> bytes:
        return self._nat.outward(packet, self._generation())

    def _generation(self) -> int:
        ab = self._links[0]
        return rebindings(ab.spec, since=ab.since, now=time.monotonic())

    def _write(self, direction: int, device: Tun) -> None:
        for packet in self._links[direction].deliver(time.monotonic()):
            if direction:
                translated = self._nat.inward(packet, self._generation())
                if translated is None:
                    continue
                packet = translated
            try:
                device.write(packet)
            except OSError:  # the device is down, or corruption made it no IP packet
                self._refused[direction] += 1
                continue
            if self._capture:
                seconds, nanoseconds = divmod(time.time_ns(), 10**9)
                self._capture.write(struct.pack("<IIII", seconds, nanoseconds // 1000, len(packet), len(packet)))
                self._capture.write(packet)

    def _hear(self, data: bytes) -> None:
        if not data:
            self._quits = True
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            answer = self._obey(line.decode(errors="replace").strip())
            if answer:
                print(answer, flush=True)

    def _obey(self, line: str) -> str | None:
        """Carry out one command and return its answer."""
        command, _, text = line.partition(" ")
        if command == "quit":
            self._quits = True
            return None
        if command == "stats":
            if self._capture:
                self._capture.flush()
            return json.dumps(
                {
                    name: dataclasses.asdict(link.stats) | {"refused": refused}
                    for name, link, refused in zip(("ab", "ba"), self._links, self._refused, strict=True)
                }
            )
        if command not in DIRECTIONS:
            return f"error: {command!r} is not a command: use ab, ba, both, stats or quit"
        try:
            spec = resolve(text)
        except GhostError as error:
            return f"error: {error}"
        for direction in DIRECTIONS[command]:
            self._links[direction].change(spec, time.monotonic())
        return "ok"


def open_tun_in(namespace: str, device: str) -> Tun:
    """A new TUN device in a named namespace; this process stays in its own.

    HostError where the namespace or the device cannot be had.
    """
    try:
        there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    except OSError as error:
        raise HostError(f"no network namespace {namespace}: make it with: ip netns add {namespace}") from error
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        _enter(there)  # a device belongs to the namespace in which it is opened
        return open_tun(device)
    except PermissionError as error:
        raise HostError("entering a network namespace needs root: run it with sudo") from error
    finally:
        _enter(home)
        os.close(home)
        os.close(there)


def _enter(namespace: int) -> None:
    if hasattr(os, "setns"):  # Python 3.12
        os.setns(namespace, CLONE_NEWNET)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    sys.exit(main())

"""A laboratory on one machine: two network namespaces, a link between them, and processes that run inside.

         namespace a                                          namespace b
    +-------------------+                                +-------------------+
    | wan 198.18.0.1/30 |----- bad link or plain veth ---| wan 198.18.0.2/30 |
    +-------------------+                                +-------------------+

Used by `ghosttunnel demo` and the namespace tests. Rules: every command goes through `_command`, every wait
has a limit, and whatever was made is removed on the way out, also after an exception. Names carry this
process's id: runs side by side do not meet, and what a killed run left behind is found by its dead id and
removed by the next one. The addresses are of 198.18.0.0/15, set aside for tests of networks (RFC 2544).
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from ghost.chaos.spec import LinkSpec
from ghost.errors import ConfigError, HostError
from ghost.runtime.entry import module_command

Side = Literal["a", "b"]

ADDRESSES: dict[Side, str] = {"a": "198.18.0.1", "b": "198.18.0.2"}
DEVICE = "wan"
MTU = 1500

COMMAND_LIMIT = 10.0
"""Seconds for one `ip` command; they take milliseconds, unless the machine is swamped."""

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL: a tunnel undoes its routes and devices meanwhile."""

_NAME = re.compile(r"ghostlab-(\d+)-.*")
_REGISTERED = Path("/run/netns")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_counter = itertools.count()


def require_root_and_tun() -> None:
    """HostError with cause and cure where namespaces and TUN devices cannot be made."""
    if os.geteuid() != 0:
        raise HostError("network namespaces need root: run it again with sudo")
    if not os.path.exists("/dev/net/tun"):
        raise HostError("/dev/net/tun is missing: load the tun module, or give the container --device=/dev/net/tun")
    try:
        _command("ip", "netns", "list")
    except FileNotFoundError:
        raise HostError("the ip command is missing: install the package iproute2") from None


class NamespacePair:
    """Two namespaces with loopback up; `impaired` or `veth` joins them. A context manager: leaving it removes
    all."""

    def __init__(self, tag: str = "pair") -> None:
        self.namespaces: dict[Side, str] = {
            side: f"ghostlab-{os.getpid()}-{next(_counter)}-{tag}-{side}" for side in ADDRESSES
        }
        self.link: LinkHandle | None = None
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> NamespacePair:
        require_root_and_tun()
        remove_leftovers()
        try:
            for name in self.namespaces.values():
                _command("ip", "netns", "add", name)
                _command("ip", "-n", name, "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes in the namespaces, latest first, and remove the namespaces; twice does no
        harm."""
        for process in reversed(self._processes):
            end(process)
        self._processes.clear()
        if self.link is not None:
            self.link.close()
            self.link = None
        for name in self.namespaces.values():
            _remove(name)

    def impaired(
        self, ab: LinkSpec | str, ba: LinkSpec | str | None = None, *, seed: int = 1, pcap: Path | None = None
    ) -> LinkHandle:
        """Join the two by a bad link, the same both ways unless `ba` is given; returns the handle that steers
        it."""
        self.link = LinkHandle(self.namespaces, str(ab), str(ab if ba is None else ba), seed=seed, pcap=pcap)
        self._address()
        return self.link

    def veth(self) -> None:
        """Join the two by a plain virtual cable: no impairment, as fast as the kernel goes."""
        a, b = self.namespaces.values()
        _command("ip", "link", "add", DEVICE, "netns", a, "type", "veth", "peer", "name", DEVICE, "netns", b)
        self._address()

    def run(
        self, side: Side, *argv: str | Path, timeout: float, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and return its output and exit code; subprocess.TimeoutExpired after
        `timeout`."""
        return _command(*self._inside(side, argv), timeout=timeout, environment=environment, check=False)

    def spawn(
        self,
        side: Side,
        *argv: str | Path,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command inside, in a process group of its own, until it ends or this pair is closed.

        Both outputs go to `log`, or, without one, standard output is a pipe to be read and errors are
        discarded.
        """
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(open(log, "wb")) if log is not None else None
            process = _start(
                self._inside(side, argv),
                stdin=subprocess.DEVNULL,
                stdout=output or subprocess.PIPE,
                stderr=subprocess.STDOUT if output else subprocess.DEVNULL,
                environment=environment,
            )
        self._processes.append(process)
        return process

    def _inside(self, side: Side, argv: tuple[str | Path, ...]) -> list[str]:
        return ["ip", "netns", "exec", self.namespaces[side], *map(str, argv)]

    def _address(self) -> None:
        for side, name in self.namespaces.items():
            # Without link-local IPv6 the kernel sends nothing of its own, and a seed meets the same packets again.
            _command("ip", "-n", name, "link", "set", DEVICE, "mtu", str(MTU), "addrgenmode", "none")
            _command("ip", "-n", name, "addr", "add", f"{ADDRESSES[side]}/30", "dev", DEVICE)
            _command("ip", "-n", name, "link", "set", DEVICE, "up")


class LinkHandle:
    """The process of ghost.runtime.link as its parent sees it."""

    def __init__(
        self, namespaces: Mapping[Side, str], ab: str, ba: str, *, seed: int, pcap: Path | None = None
    ) -> None:
        argv = [*module_command("ghost.runtime.link"), namespaces["a"], namespaces["b"], DEVICE]
        argv += ["--ab", ab, "--ba", ba, "--seed", str(seed)]
        if pcap is not None:
            argv += ["--pcap", str(pcap)]
        self.process = _start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._answers = LineReader(self.process)
        if self._answers.next_line(COMMAND_LIMIT) != "ready":
            end(self.process)
            assert self.process.stderr is not None
            complaint = self.process.stderr.read().decode(errors="replace").strip()
            self.close()
            raise HostError(complaint or "the link process did not start in time: the machine may be overloaded")

    def change(self, direction: Literal["ab", "ba", "both"], spec: LinkSpec | str) -> None:
        """Replace the description of a direction now; ConfigError if it is not one."""
        answer = self._ask(f"{direction} {spec}")
        if answer != "ok":
            raise ConfigError(answer.removeprefix("error: "))

    def stats(self) -> dict[str, dict[str, int]]:
        """Counters of the directions `ab` and `ba`: the fields of ghost.chaos.link.LinkStats, and
        `refused`."""
        counters: dict[str, dict[str, int]] = json.loads(self._ask("stats"))
        return counters

    def close(self) -> None:
        end(self.process)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        answer = self._answers.next_line(COMMAND_LIMIT)
        if answer is None:
            raise HostError(f"the link process does not answer to {line.split()[0]!r}: it ended or hangs")
        return answer


class LineReader:
    """Lines from a process's standard output, each with a limit on the wait for it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._descriptor = process.stdout.fileno()
        self._buffer = b""

    def next_line(self, timeout: float) -> str | None:
        """The next line without its end, or None if none comes in time or the output has ended."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            readable, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._descriptor, 65_536) if readable else b""
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process group started here: SIGTERM, SIGKILL after a grace, and wait for it."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal_number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def remove_leftovers() -> None:
    """Remove the namespaces, and end what runs in them, whose maker was killed before it could."""
    for path in _REGISTERED.glob("ghostlab-*"):
        match = _NAME.fullmatch(path.name)
        if match and not os.path.exists(f"/proc/{match[1]}"):
            _remove(path.name)


def _remove(name: str) -> None:
    if not (_REGISTERED / name).exists():
        return
    # Only what was started inside is there: the name is ours alone.
    for pid in _command("ip", "netns", "pids", name, check=False).stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _command("ip", "netns", "del", name, check=False)


def _command(
    *argv: str,
    timeout: float = COMMAND_LIMIT,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end in a group of its own; HostError with its complaint if it fails and `check`
    is set."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    if check and process.returncode != 0:
        raise HostError(f"{' '.join(argv)}: {errors.strip() or f'exit code {process.returncode}'}")
    return subprocess.CompletedProcess(argv, process.returncode, output, errors)


def _start(
    argv: list[str], *, stdin: Any, stdout: Any, stderr: Any, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        bufsize=0,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=_die_with_parent,
        env={**os.environ, **(environment or {})},
    )


def _die_with_parent() -> None:
    """In the child: ask the kernel for SIGTERM when the parent dies, however it dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

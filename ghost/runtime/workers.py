"""Several processes for one server: how they are started, what passes between them, and that they end together.

They are forked before there is an event loop and share nothing but sockets:

    inboxes   a pair of datagram sockets for each process: one end is its own, into the other all of them write. It
              carries what arrived at the wrong process (ghost.tunnel.siblings), and when full it loses, like a network.
    orders    a stream between the first process and each other: a line of JSON each way. The others end when theirs is
              closed, so that a first process that is killed takes all with it.
    reports   a pipe from each other process to the first: its log. Its end is the process's end, which is that of the
              server: what is left of one would be clients that wait for nobody.

The first process is an ordinary server and does all that is done once: keys, device, firewall, control socket.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from gevent import socket as cooperative
from gevent.event import Event
from gevent.hub import get_hub
from gevent.lock import RLock
from gevent.monkey import get_original

from ghost.errors import GhostError
from ghost.runtime.clock import now
from ghost.runtime.driver import BATCH, Driver
from ghost.runtime.supervisor import Supervisor
from ghost.runtime.tun import Tun
from ghost.runtime.udp import Udp
from ghost.tunnel.server import ServerEndpoint

log = logging.getLogger(__name__)

_READABLE = 1
_INBOX_SIZE = 4 << 20  # of which the kernel counts about half as its own: a thousand full datagrams
_LARGEST_MESSAGE = 1 << 17  # a super-packet, or a run of 64 datagrams
_SO_SNDBUFFORCE = 32  # asm-generic/socket.h
_PATIENCE = 10.0  # seconds for an answer: whoever takes longer hangs
_GRACE = 5.0  # seconds between being told to end and being killed

_fork: Callable[[], int] = get_original("os", "fork")
_socketpair: Callable[..., tuple[socket.socket, socket.socket]] = get_original("socket", "socketpair")

Answer = dict[str, Any]
Hear = Callable[[bytes, str], None]
"""Is given what a process has reported, a line at a time, and the process's name."""
Orders = Mapping[str, Callable[[dict[str, Any]], Answer]]


class Inbox:
    """A process's own inbox, and its way into the others'."""

    def __init__(self, index: int, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
        self._own = pairs[index][0]
        self._others = [far for _, far in pairs]
        self._buffer = bytearray(_LARGEST_MESSAGE)
        self._view = memoryview(self._buffer)
        self.errors: Counter[str] = Counter()

    def fileno(self) -> int:
        return self._own.fileno()

    def receive(self) -> bytes | None:
        """One message, None when there is none."""
        try:
            return bytes(self._view[: self._own.recv_into(self._buffer)])
        except BlockingIOError:
            return None

    def send(self, to: int, message: bytes) -> None:
        try:
            self._others[to].send(message)
        except OSError as error:
            self.errors[error.strerror or "unknown"] += 1


class SharingDriver(Driver):
    """A driver among several: it also carries messages between its server endpoint and the others'."""

    def __init__(
        self, endpoint: ServerEndpoint, tun: Tun, udp: Udp, on_event: Callable[[object], None], inbox: Inbox
    ) -> None:
        super().__init__(endpoint, tun, udp, on_event)
        self._server = endpoint
        self._inbox = inbox

    def start(self, supervisor: Supervisor) -> None:
        super().start(supervisor)
        supervisor.spawn("inbox", self._carry_across)

    def snapshot(self) -> dict[str, Any]:
        return super().snapshot() | {"inbox_errors": dict(self._inbox.errors)}

    def _carry_across(self) -> None:
        hub = get_hub()
        watcher = hub.loop.io(self._inbox.fileno(), _READABLE)
        while True:
            hub.wait(watcher)
            messages: list[bytes] = []
            while len(messages) < BATCH and (message := self._inbox.receive()) is not None:
                messages.append(message)
            at = now()
            for message in messages:
                self._server.receive_message(message, at)
            self._flush(at)

    def _flush(self, at: float) -> None:
        super()._flush(at)
        for to, message in self._server.messages_to_send():
            self._inbox.send(to, message)


class Station:
    """What a further process was born with: its index, its inbox, and its line to the first one."""

    def __init__(self, index: int, inbox: Inbox, orders: socket.socket, reports: int) -> None:
        self.index = index
        self.inbox = inbox
        self._orders = orders
        self._reports = reports

    def report(self, line: bytes) -> None:
        with contextlib.suppress(OSError):  # the pipe is full, or nobody is left to read
            os.write(self._reports, line)

    def obey(self, orders: Orders) -> None:
        """Carries out what the first process orders, and returns when that is gone."""
        connection = cooperative.socket(fileno=self._orders.detach())
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                try:
                    answer = orders[request["order"]](request)
                except GhostError as error:
                    answer = {"error": str(error)}
                connection.sendall(json.dumps(answer).encode() + b"\n")


class _Worker:
    """A further process, as the first one knows it."""

    def __init__(self, index: int, pid: int, orders: socket.socket, reports: int, hear: Hear) -> None:
        self.index = index
        self.pid = pid
        self.has_ended = Event()
        self._orders = cooperative.socket(fileno=orders.detach())
        self._orders.settimeout(_PATIENCE)
        self._answers = self._orders.makefile("rb")
        self._reports = reports
        self._hear = hear
        self._turn = RLock()
        gevent.spawn(self._read_reports)

    def demand(self, order: dict[str, Any]) -> Answer:
        try:
            with self._turn:
                self._orders.sendall(json.dumps(order).encode() + b"\n")
                line = self._answers.readline()
        except OSError:
            line = b""
        if not line:
            raise GhostError(f"worker {self.index} (pid {self.pid}) does not answer: start the server again")
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise GhostError(f"worker {self.index}: {answer['error']}")
        return answer

    def _read_reports(self) -> None:
        """Logs what it logs, until it ends, and after this process's greenlets have been stopped."""
        unread = b""
        hub = get_hub()
        watcher = hub.loop.io(self._reports, _READABLE)
        os.set_blocking(self._reports, False)
        while not self.has_ended.is_set():
            hub.wait(watcher)
            piece = os.read(self._reports, 1 << 16)
            *lines, unread = (unread + piece).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):  # the pipe had no room for all of it
                    self._hear(line, f"worker {self.index}")
            if not piece:
                self.has_ended.set()

    def dismiss(self) -> None:
        self._answers.close()
        self._orders.close()


class Crew:
    """The further processes of a server, seen from the first one; it may have none, and then does nothing."""

    def __init__(self, count: int, work: Callable[[Station], None], hear: Hear) -> None:
        """Forks `count` - 1 processes that do `work`, and passes on what they report to `hear`.

        There must not be an event loop yet.
        """
        pairs = [_inbox() for _ in range(count)] if count > 1 else []
        self.count = count
        self.inbox = Inbox(0, pairs) if pairs else None
        self._is_closing = False
        born: list[tuple[int, int, socket.socket, int]] = []
        for index in range(1, count):
            ordering, obeying = _socketpair()
            reading, writing = os.pipe()
            pid = _fork()
            if pid == 0:
                for _, _, others, reports in born:  # a copy of theirs would keep them alive
                    others.close()
                    os.close(reports)
                ordering.close()
                os.close(reading)
                os.set_blocking(writing, False)
                _be_worker(Station(index, Inbox(index, pairs), obeying, writing), work)
            obeying.close()
            os.close(writing)
            born.append((index, pid, ordering, reading))
        self._workers = [_Worker(*one, hear) for one in born]

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """This process and the others, in the order of their indices."""
        return [os.getpid(), *(worker.pid for worker in self._workers)]

    def start(self, supervisor: Supervisor, **facts: Any) -> None:
        """Sets them to work; from here on the end of one is the end of all."""
        for worker in self._workers:
            supervisor.spawn("worker", self._watch, supervisor, worker)
        self.tell({"order": "start", **facts})

    def tell(self, order: dict[str, Any]) -> list[Answer]:
        """Gives an order to each and returns their answers; GhostError when one refuses or does not answer."""
        return [worker.demand(order) for worker in self._workers]

    def merged(self, own: dict[str, Any]) -> dict[str, Any]:
        """A snapshot of this process with what the others count and whom they serve."""
        if not self._workers:
            return own
        snapshots = [own, *(answer["snapshot"] for answer in self.tell({"order": "snapshot"}))]
        summed = {
            key: dict(sum((Counter(snapshot[key]) for snapshot in snapshots), Counter()))
            for key in ("dropped", "udp_errors", "tun_errors", "inbox_errors")
        }
        peers = [peer | {"worker": index} for index, one in enumerate(snapshots) for peer in one["peers"]]
        handed_over = sum(snapshot["handed_over"] for snapshot in snapshots)
        return own | summed | {"peers": peers, "workers": list(map(str, self.pids)), "handed_over": handed_over}

    def close(self) -> None:
        """Lets them end in good order, or ends them; again does no harm."""
        self._is_closing = True
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.dismiss()
        deadline = time.monotonic() + _GRACE
        for worker in workers:
            if not worker.has_ended.wait(max(0.0, deadline - time.monotonic())):
                os.kill(worker.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # gevent collects children too
                os.waitpid(worker.pid, 0)

    def _watch(self, supervisor: Supervisor, worker: _Worker) -> None:
        worker.has_ended.wait()
        if not self._is_closing:
            supervisor.fail(
                GhostError(f"worker {worker.index} (pid {worker.pid}) has ended, so the server ends: start it again")
            )


ALONE = Crew(1, lambda station: None, lambda line, source: None)
"""That of whoever is one process."""


def _inbox() -> tuple[socket.socket, socket.socket]:
    pair = _socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in pair:
        end.setblocking(False)
    for option in (_SO_SNDBUFFORCE, socket.SO_SNDBUF):
        with contextlib.suppress(OSError):
            pair[1].setsockopt(socket.SOL_SOCKET, option, _INBOX_SIZE)
            break
    return pair


def _be_worker(station: Station, work: Callable[[Station], None]) -> None:
    """The life of a forked process: it never returns, and no signal but SIGKILL ends it before the first one does."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # a terminal and systemd send them to all
            signal.signal(number, signal.SIG_IGN)
        work(station)
        code = 0
    except GhostError as error:
        log.error("%s", error)
        code = error.exit_code
    except BaseException as error:
        log.error("internal error: %s: %s", type(error).__name__, error, exc_info=True)
    finally:
        os._exit(code)

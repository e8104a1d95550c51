"""The control socket: one JSON object a line, question and answer.

    {"request": "status"}   ->  {"version": 1, "ok": true, "status": {...}}
    {"request": "stats"}    ->  such a line each second, until the asker leaves
    {"request": "nonsense"} ->  {"version": 1, "ok": false, "error": "..."}

A connection may ask any number of times. Root and the user that runs the daemon may ask everything. A group, if one is
named, may reach the socket too and ask what only watches; everybody else is kept out by the file's mode. Who asks is
the kernel's word (SO_PEERCRED). Patience is bounded all the same: clients, line length and idle time. A socket file
that a killed process left behind is replaced: whoever makes one holds the lock of the state directory, so nobody can be
listening on it.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import gevent
from gevent import socket as cooperative

from ghost.errors import GhostError, HostError
from ghost.runtime.asking import VERSION, check_length
from ghost.runtime.supervisor import Supervisor

Answer = dict[str, Any]
Handler = Callable[[dict[str, Any]], "Answer | Iterator[Answer]"]
"""From the request's object to the answer's own keys, or to a stream of them; GhostError refuses."""

WATCHING = frozenset({"status", "stats", "peers", "log"})
"""Requests that change nothing and tell no secret: what the group may ask."""

_MAX_CLIENTS = 16
_MAX_REQUEST = 4096
_IDLE_TIMEOUT = 60.0
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid of struct ucred


class ControlServer:
    """Answers requests through a table of handlers, by the request's name."""

    def __init__(self, path: Path, handlers: dict[str, Handler], *, group: str | None = None) -> None:
        self._path = path
        self._handlers = handlers
        self._clients = 0
        self._folder: tuple[int, int] | None = None  # mode and group of the directory before it was opened to a group
        self._listener = self._listen(group)

    def start(self, supervisor: Supervisor) -> None:
        supervisor.spawn("control", self._accept, supervisor)

    def close(self) -> None:
        self._listener.close()
        self._path.unlink(missing_ok=True)
        if self._folder is not None:
            mode, group = self._folder
            with contextlib.suppress(OSError):
                os.chown(self._path.parent, -1, group)
                os.chmod(self._path.parent, mode)

    def _listen(self, group: str | None) -> cooperative.socket:
        check_length(self._path)
        self._path.unlink(missing_ok=True)
        listener = cooperative.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # the file must never exist with a wider mode
        try:
            listener.bind(str(self._path))
        except OSError as error:
            raise HostError(f"cannot make {self._path} ({error.strerror}): choose another --state-dir") from error
        finally:
            os.umask(before)
        if group is not None:
            self._admit(group)
        listener.listen(_MAX_CLIENTS)
        return listener

    def _admit(self, group: str) -> None:
        """Lets members of the group connect, and pass through the directory without seeing what else is in it."""
        folder = self._path.parent
        try:
            number = grp.getgrnam(group).gr_gid
            found = folder.stat()
            mode = stat.S_IMODE(found.st_mode)
            os.chown(folder, -1, number)
            os.chmod(folder, mode | stat.S_IXGRP)
            self._folder = mode, found.st_gid
            os.chown(self._path, -1, number)
            os.chmod(self._path, 0o660)
        except KeyError:
            raise HostError(f"no group {group} on this host: `groupadd {group}`, or drop --control-group") from None
        except OSError as error:
            raise HostError(f"cannot give {self._path} to the group {group} ({error.strerror}): run as root") from error

    def _accept(self, supervisor: Supervisor) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # out of descriptors: the tunnel goes on, the control socket recovers by itself
                gevent.sleep(0.5)
                continue
            if self._clients >= _MAX_CLIENTS:
                connection.close()
            else:
                self._clients += 1
                supervisor.spawn("control client", self._serve, connection)

    def _serve(self, connection: cooperative.socket) -> None:
        connection.settimeout(_IDLE_TIMEOUT)
        try:
            with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
                is_trusted = _is_trusted(connection)
                while line := lines.readline(_MAX_REQUEST):
                    if len(line) == _MAX_REQUEST:
                        return
                    for answer in self._answers(line, is_trusted):
                        connection.sendall(json.dumps(answer).encode() + b"\n")
        finally:
            self._clients -= 1

    def _answers(self, line: bytes, is_trusted: bool) -> Iterator[Answer]:
        try:
            request = json.loads(line)
            name = request["request"]
            handler = self._handlers[name]
        except (ValueError, TypeError, RecursionError):
            yield _refusal('a request is one JSON object a line, like {"request": "status"}')
            return
        except KeyError:
            yield _refusal(f"unknown request; known are {', '.join(sorted(self._handlers))}")
            return
        if not is_trusted and name not in WATCHING:
            yield _refusal(f"{name} is for root and the user that runs the daemon: ask with sudo")
            return
        try:
            answer = handler(request)
            answers: Iterable[Answer] = (answer,) if isinstance(answer, dict) else answer
            for one in answers:
                yield {"version": VERSION, "ok": True} | one
        except GhostError as error:
            yield _refusal(str(error))


def _is_trusted(connection: cooperative.socket) -> bool:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(credentials)
    return user in (0, os.geteuid())


def _refusal(message: str) -> Answer:
    return {"version": VERSION, "ok": False, "error": message}

"""The asking end of the control socket: `status`, the dashboard and scripts of this program.

It imports nothing of gevent, so that what only asks starts at once. A `Conversation` keeps one connection for many
questions and makes a new one by itself after the daemon restarted; the question that met the end of the old one fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

from ghost.errors import GhostError, HostError, NoDaemonError

SOCKET_NAME = "control.sock"
VERSION = 1

_MAX_RESPONSE = 4 << 20
_MAX_PATH = 107  # sockaddr_un.sun_path less its end


class Conversation:
    """Questions to the daemon behind one socket file, one after another."""

    def __init__(self, path: Path, *, timeout: float = 5.0) -> None:
        self._path = path
        self._timeout = timeout
        self._connection: socket.socket | None = None
        self._lines: Any = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The daemon's answer, which may be a refusal. Raises NoDaemonError when no daemon of this version answers."""
        check_length(self._path)
        where = self._path.parent
        try:
            if self._connection is None:
                self._connect()
            assert self._connection is not None
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            line = self._lines.readline(_MAX_RESPONSE)
        except PermissionError as error:
            self.close()
            raise NoDaemonError(f"no permission for {self._path}: run it with sudo, or see --control-group") from error
        except TimeoutError as error:
            self.close()
            raise NoDaemonError(f"ghosttunnel in {where} does not answer: see its log, restart it") from error
        except OSError as error:
            self.close()
            raise NoDaemonError(
                f"no ghosttunnel runs in {where}: start one, or name its directory with --state-dir"
            ) from error
        try:
            return understood(line, self._path)
        except NoDaemonError:
            self.close()
            raise

    def demand(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer of a daemon that does what it is asked; raises GhostError with its reason when it refuses."""
        answer = self.ask(request)
        if not answer.get("ok"):
            raise GhostError(str(answer.get("error")))
        return answer

    def close(self) -> None:
        for end in (self._lines, self._connection):
            with contextlib.suppress(OSError):
                if end is not None:
                    end.close()
        self._lines = self._connection = None

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        self._connection, self._lines = connection, connection.makefile("rb")


class Subscription:
    """The lines of a stream as they come, without ever waiting for them; it begins anew after the daemon restarted."""

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self._path = path
        self._request = json.dumps(request).encode() + b"\n"
        self._connection: socket.socket | None = None
        self._unread = b""

    def fileno(self) -> int | None:
        """Readable when `poll` has something to say; None while there is no connection."""
        return None if self._connection is None else self._connection.fileno()

    def poll(self) -> list[dict[str, Any]]:
        """The answers that have come since the last call. Raises NoDaemonError when there is nobody to listen to."""
        try:
            if self._connection is None:
                self._connect()
            assert self._connection is not None
            while True:
                piece = self._connection.recv(1 << 16)
                if not piece or len(self._unread) > _MAX_RESPONSE:
                    raise ConnectionResetError
                self._unread += piece
        except BlockingIOError:
            pass
        except OSError as error:
            self.close()
            raise NoDaemonError(f"no ghosttunnel answers in {self._path.parent}: {error.strerror or error}") from error
        *lines, self._unread = self._unread.split(b"\n")
        answers = [understood(line, self._path) for line in lines]
        return [answer for answer in answers if answer.get("ok")]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._unread = None, b""

    def _connect(self) -> None:
        check_length(self._path)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(str(self._path))
            connection.sendall(self._request)
        except OSError:
            connection.close()
            raise
        self._connection = connection


def ask(path: Path, request: dict[str, Any], *, timeout: float = 5.0) -> dict[str, Any]:
    """The answer to one question; see Conversation.ask."""
    with contextlib.closing(Conversation(path, timeout=timeout)) as conversation:
        return conversation.ask(request)


def demand(path: Path, request: dict[str, Any], *, timeout: float = 5.0) -> dict[str, Any]:
    """What one question was answered with; see Conversation.demand."""
    with contextlib.closing(Conversation(path, timeout=timeout)) as conversation:
        return conversation.demand(request)


def understood(line: bytes, path: Path) -> dict[str, Any]:
    """The answer in a line from the daemon at `path`. Raises NoDaemonError when it is none of our version."""
    where = path.parent
    try:
        answer: dict[str, Any] = json.loads(line)
        version = answer["version"]
    except (ValueError, TypeError, KeyError) as error:
        raise NoDaemonError(f"ghosttunnel in {where} hung up: see its log, restart it") from error
    if version != VERSION:
        raise NoDaemonError(
            f"ghosttunnel in {where} speaks version {version} of the control socket and this program version "
            f"{VERSION}: restart the daemon from this program"
        )
    return answer


def check_length(path: Path) -> None:
    """Raises HostError for a path that no UNIX socket can have."""
    if len(os.fsencode(path)) > _MAX_PATH:
        raise HostError(f"{path} is too long for a UNIX socket (limit {_MAX_PATH} bytes): choose a shorter --state-dir")

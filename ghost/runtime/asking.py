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
        return self._understood(line)

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

    def _understood(self, line: bytes) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(line)
            version = answer["version"]
        except (ValueError, TypeError, KeyError) as error:
            self.close()
            raise NoDaemonError(f"ghosttunnel in {self._path.parent} hung up: see its log, restart it") from error
        if version != VERSION:
            self.close()
            raise NoDaemonError(
                f"ghosttunnel in {self._path.parent} speaks version {version} of the control socket and this program "
                f"version {VERSION}: restart the daemon from this program"
            )
        return answer


def ask(path: Path, request: dict[str, Any], *, timeout: float = 5.0) -> dict[str, Any]:
    """The answer to one question; see Conversation.ask."""
    with contextlib.closing(Conversation(path, timeout=timeout)) as conversation:
        return conversation.ask(request)


def demand(path: Path, request: dict[str, Any], *, timeout: float = 5.0) -> dict[str, Any]:
    """What one question was answered with; see Conversation.demand."""
    with contextlib.closing(Conversation(path, timeout=timeout)) as conversation:
        return conversation.demand(request)


def check_length(path: Path) -> None:
    """Raises HostError for a path that no UNIX socket can have."""
    if len(os.fsencode(path)) > _MAX_PATH:
        raise HostError(f"{path} is too long for a UNIX socket (limit {_MAX_PATH} bytes): choose a shorter --state-dir")

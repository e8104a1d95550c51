"""The control socket: one JSON object a line, question and answer.

    {"request": "status"}  ->  {"version": 1, "ok": true, "status": {...}}
    {"request": "nonsense"} -> {"version": 1, "ok": false, "error": "..."}

A connection may ask any number of times. Only the owner of the state directory can reach the socket (mode 0600), and
even so its patience is bounded: clients, line length and idle time. A socket file that a killed process left behind
is replaced: whoever makes one holds the lock of the state directory, so nobody can be listening on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent import socket as cooperative

from ghost.errors import ConfigError, HostError, NoDaemonError
from ghost.runtime.supervisor import Supervisor

SOCKET_NAME = "control.sock"
VERSION = 1
Handler = Callable[[dict[str, Any]], dict[str, Any]]

_MAX_CLIENTS = 16
_MAX_REQUEST = 4096
_MAX_RESPONSE = 4 << 20
_IDLE_TIMEOUT = 60.0
_MAX_PATH = 107  # sockaddr_un.sun_path less its end


class ControlServer:
    """Answers requests through a table of handlers, each from the request's object to the answer's own keys."""

    def __init__(self, path: Path, handlers: dict[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._clients = 0
        self._listener = self._listen()

    def start(self, supervisor: Supervisor) -> None:
        supervisor.spawn("control", self._accept, supervisor)

    def close(self) -> None:
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _listen(self) -> cooperative.socket:
        _check_length(self._path)
        self._path.unlink(missing_ok=True)
        listener = cooperative.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # the file must never exist with a wider mode
        try:
            listener.bind(str(self._path))
        except OSError as error:
            raise HostError(f"cannot make {self._path} ({error.strerror}): choose another --state-dir") from error
        finally:
            os.umask(before)
        listener.listen(_MAX_CLIENTS)
        return listener

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
                while line := lines.readline(_MAX_REQUEST):
                    if len(line) == _MAX_REQUEST:
                        return
                    connection.sendall(json.dumps(self._answer(line)).encode() + b"\n")
        finally:
            self._clients -= 1

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            name = request["request"]
            handler = self._handlers[name]
        except (ValueError, TypeError, RecursionError):
            return _refusal('a request is one JSON object a line, like {"request": "status"}')
        except KeyError:
            return _refusal(f"unknown request; known are {', '.join(sorted(self._handlers))}")
        try:
            return {"version": VERSION, "ok": True} | handler(request)
        except ConfigError as error:
            return _refusal(str(error))


def ask(path: Path, request: dict[str, Any], *, timeout: float = 5.0) -> dict[str, Any]:
    """The daemon's answer to one request. Raises NoDaemonError when no daemon answers, or refuses."""
    _check_length(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline(_MAX_RESPONSE)
        except PermissionError as error:
            raise NoDaemonError(f"no permission for {path}: run it with sudo") from error
        except TimeoutError as error:
            raise NoDaemonError(f"ghosttunnel in {path.parent} does not answer: see its log, restart it") from error
        except OSError as error:
            raise NoDaemonError(
                f"no ghosttunnel runs in {path.parent}: start one, or name its directory with --state-dir"
            ) from error
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise NoDaemonError(f"ghosttunnel in {path.parent} hung up: see its log, restart it") from error
    return answer


def _refusal(message: str) -> dict[str, Any]:
    return {"version": VERSION, "ok": False, "error": message}


def _check_length(path: Path) -> None:
    if len(os.fsencode(path)) > _MAX_PATH:
        raise HostError(f"{path} is too long for a UNIX socket (limit {_MAX_PATH} bytes): choose a shorter --state-dir")

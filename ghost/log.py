"""The log: lines a person can read, on standard error, without keys, invites or payload in them.

The same lines as JSON objects for machines, and the last few hundred in memory for whoever asks the control socket.
What repeats itself is shown a few times a minute, and counted after that: a log that scrolls tells nothing.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

_KEPT = 500
_REPEATS = 3
_PERIOD = 60.0  # seconds
_VARIABLE = re.compile(r":\d+|\d+(\.\d+)?(?= s\b)")  # ports and waiting times do not make a message another one
_REMEMBERED = 1000


class Ring(logging.Handler):
    """The last lines, each with a number that grows by one."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self._lines.append({"number": self.count, **_facts(record)})

    def since(self, number: int) -> list[dict[str, Any]]:
        """Lines with a greater number, the oldest first."""
        return [line for line in self._lines if line["number"] > number]


class Repetition(logging.Filter):
    """Lets the same message through a few times a minute; the next one after that says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, list[float]] = {}  # message: start of its period, times seen in it

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        key = _VARIABLE.sub("", message)
        start, count = self._seen.get(key, (record.created, 0))
        if record.created - start >= _PERIOD:
            if count > _REPEATS:
                record.msg = f"{message} ({count - _REPEATS} more like this were left out)"
                record.args = None
            start, count = record.created, 0
        if len(self._seen) >= _REMEMBERED and key not in self._seen:
            self._seen.clear()
        self._seen[key] = [start, count + 1]
        return count < _REPEATS


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = _facts(record)
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json.dumps(facts)


class Relay(logging.Handler):
    """Hands every record to `send` as a line of JSON, for another process to `relayed`."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        facts = _facts(record)
        if record.exc_info:
            facts["message"] += "\n" + logging.Formatter().formatException(record.exc_info)
        self._send(json.dumps(facts).encode() + b"\n")


def relay(level: str, send: Callable[[bytes], object]) -> None:
    """Like `set_up`, where another process has the log."""
    root = logging.getLogger("ghost")
    root.handlers[:] = [Relay(send)]
    root.setLevel(level.upper())
    root.propagate = False


def relayed(line: bytes, source: str) -> None:
    """Logs what came through a `Relay`, under the name of where it came from."""
    facts = json.loads(line)
    logging.getLogger("ghost").log(logging.getLevelName(facts["level"].upper()), "%s: %s", source, facts["message"])


RING = Ring()
"""One for the process, as the log itself is."""


def set_up(level: str, shape: str = "text") -> None:
    """Begins the log, or changes its level and shape while it runs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Json()
        if shape == "json"
        else logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
    )
    root = logging.getLogger("ghost")
    for listener in (handler, RING):
        # One filter object would count each message twice.
        listener.filters[:] = [] if level == "debug" else [Repetition()]  # whoever debugs wants all of it
    root.handlers[:] = [handler, RING]
    root.setLevel(level.upper())
    root.propagate = False


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return {
        "time": f"{moment}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "message": record.getMessage(),
    }

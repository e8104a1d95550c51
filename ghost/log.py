"""The log: lines a person can read, on standard error, without keys, invites or payload in them."""

from __future__ import annotations

import logging
import sys

LEVELS = ("debug", "info", "warning", "error")


def set_up(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S"))
    root = logging.getLogger("ghost")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False

"""What systemd wants to hear of a service: that it is ready, what it does, that it is alive (sd_notify(3)).

One datagram to the socket that the environment names; without one, nothing. The watchdog is fed by a greenlet: when the
event loop hangs, so does it, and systemd starts the daemon anew.
"""

from __future__ import annotations

import contextlib
import os
import socket

import gevent

from ghost.runtime.entry import is_frozen
from ghost.runtime.supervisor import Supervisor


def notify(**facts: str) -> None:
    """Tells facts such as READY="1" or STATUS="one sentence"; a service manager that does not listen is no error."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    text = "\n".join(f"{name}={value}" for name, value in facts.items())
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        # An @ stands for the zero byte of an abstract address.
        sender.sendto(text.encode(), address.replace("@", "\0", 1))


def watch(supervisor: Supervisor) -> None:
    """Says twice in each period of systemd's watchdog, if there is one for this process, that the event loop runs."""
    period = os.environ.get("WATCHDOG_USEC", "")
    owner = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    ours = (os.getpid(), os.getppid()) if is_frozen() else (os.getpid(),)  # the binary's own start waits for its Python
    if period.isdigit() and int(period) and owner in map(str, ours):
        supervisor.spawn("watchdog", _feed, int(period) / 2e6)


def _feed(interval: float) -> None:
    while True:
        notify(WATCHDOG="1")
        gevent.sleep(interval)

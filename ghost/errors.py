"""Every error that GhostTunnel raises on purpose, and whose fault it is.

A local fault ends the command: its message is one line with the cause and the cure, and its class carries the
exit code that docs/operations.md lists. A peer's fault never ends anything: it is counted by its reason and the
datagram is dropped without an answer. Anything else that escapes is a bug.
"""

from __future__ import annotations


class GhostError(Exception):
    """Something went wrong that the user can do something about."""

    exit_code = 1


class ConfigError(GhostError):
    """An option, environment variable, config key or invite that cannot be used."""

    exit_code = 2


class HostError(GhostError):
    """This host lacks something (root, /dev/net/tun, a free port) or refused a change."""

    exit_code = 3


class NoDaemonError(GhostError):
    """No running tunnel answers on the control socket."""

    exit_code = 4


class RefusedError(GhostError):
    """The server knows this invite and will not serve it: used, expired, no address left, or another version."""

    exit_code = 5


class UnreachableError(GhostError):
    """Nothing answered: wrong address, closed port, stopped server, or an invite of another server."""

    exit_code = 6


class Bug(GhostError):
    """An invariant of our own does not hold."""

    exit_code = 70


class PeerError(Exception):
    """Bytes from the network that are not acceptable; `reason` is the counter's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

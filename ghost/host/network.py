"""Addresses and routes: the TUN device's own, and a client's way of sending everything through it.

The full tunnel leaves the main routing table alone, so there is nothing to restore and nothing to go stale when the
host changes networks. Three rules, in order, and a table of our own:

    7700  to SERVER, UDP, its port    -> main         the tunnel's own datagrams, by whatever gateway is current
    7701  main, without its default   -> main         LAN and other specific routes stay as they are
    7702  everything else             -> table 7700   default via the TUN device

Rule 7700 is narrow on purpose: nothing but the tunnel itself goes outside to the server's address, whoever chose that
address. A reply passes strict reverse-path filtering because the filter follows the same rule. The tunnel carries
IPv4; IPv6 would leak around it, so the same rules send IPv6 to an unreachable route, and programs fall back to IPv4
at once. After a kill -9 the device is gone and IPv4 takes the main table's default route again; IPv6 stays
unreachable until the next start undoes it.

Pairs of half-default routes (0.0.0.0/1, 128.0.0.0/1) with a host route to the server do less: the host route names a
gateway that is wrong after the next change of network, and the tunnel then swallows its own datagrams.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Interface, ip_address
from pathlib import Path

from ghost.host.changes import Changes

TABLE = "7700"
_ENDPOINT_PRIORITY, _SPECIFIC_PRIORITY, _TUNNEL_PRIORITY = "7700", "7701", "7702"
_DEVICE_CURE = "run it with sudo, and check that iproute2 is installed"
_ROUTE_CURE = "use --no-default-route, or install the full iproute2 (OpenWrt: ip-full)"

Endpoint = tuple[str, int]


def bring_up(changes: Changes, tun: str, address: IPv4Interface, mtu: int) -> None:
    """Gives the device its address and starts it. All of it vanishes with the device, so nothing is journalled."""
    changes.apply(("ip", "link", "set", "dev", tun, "mtu", str(mtu)), cure=_DEVICE_CURE)
    changes.apply(("ip", "-4", "address", "flush", "dev", tun), cure=_DEVICE_CURE)
    changes.apply(("ip", "-4", "address", "add", str(address), "dev", tun), cure=_DEVICE_CURE)
    changes.apply(("ip", "link", "set", "dev", tun, "up"), cure=_DEVICE_CURE)


class FullTunnel:
    """The rules above. Endpoints first (`permit`), then the default route (`route`), once the device is up."""

    def __init__(self, changes: Changes, tun: str, *, has_ipv6: bool | None = None) -> None:
        self._changes = changes
        self._tun = tun
        self._families = ["-4"]
        if Path("/proc/net/if_inet6").exists() if has_ipv6 is None else has_ipv6:
            self._families.append("-6")
        self._permitted: dict[Endpoint, tuple[str, ...]] = {}
        self._is_routed = False

    def permit(self, endpoints: Iterable[Endpoint]) -> None:
        """Lets the tunnel's datagrams to exactly these endpoints out."""
        wanted = set(endpoints)
        for endpoint in sorted(wanted - self._permitted.keys()):
            rule = _endpoint_rule(*endpoint)
            undo = _ip_rule("del", rule)
            self._changes.apply(_ip_rule("add", rule), undo, cure=_ROUTE_CURE)
            self._permitted[endpoint] = undo
        for endpoint in sorted(self._permitted.keys() - wanted):
            self._changes.revert(self._permitted.pop(endpoint))

    def route(self) -> None:
        """Sends everything else through the device. Again after `bring_up`: a device that loses its address loses
        its routes."""
        # The table is filled before a rule points to it, and the route, unlike the rules, dies with the device.
        self._changes.apply(
            ("ip", "-4", "route", "replace", "default", "dev", self._tun, "table", TABLE), cure=_ROUTE_CURE
        )
        if self._is_routed:
            return
        self._is_routed = True
        if "-6" in self._families:
            unreachable = ("unreachable", "default", "table", TABLE)
            self._changes.apply(
                ("ip", "-6", "route", "add", *unreachable),
                ("ip", "-6", "route", "del", *unreachable),
                cure=_ROUTE_CURE,
            )
        for family in self._families:
            for rule in (
                (family, "priority", _SPECIFIC_PRIORITY, "table", "main", "suppress_prefixlength", "0"),
                (family, "priority", _TUNNEL_PRIORITY, "table", TABLE),
            ):
                self._changes.apply(_ip_rule("add", rule), _ip_rule("del", rule), cure=_ROUTE_CURE)


def _endpoint_rule(host: str, port: int) -> tuple[str, ...]:
    version = ip_address(host).version
    prefix = 32 if version == 4 else 128
    return (
        f"-{version}", "priority", _ENDPOINT_PRIORITY, "to", f"{host.partition('%')[0]}/{prefix}",
        "ipproto", "udp", "dport", str(port), "table", "main",
    )  # fmt: skip


def _ip_rule(verb: str, rule: tuple[str, ...]) -> tuple[str, ...]:
    family, *selector = rule
    return ("ip", family, "rule", verb, *selector)

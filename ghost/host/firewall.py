"""The firewall's two jobs: a server's address translation, and a client's kill switch.

Both live in nftables tables of our own, named after the device, so that they touch nobody's rules and one command
removes them. Translation falls back to iptables; the kill switch does not, because a chain among others' chains
cannot promise that nothing leaves.

The kill switch stays while the tunnel reconnects, and fails closed: a process that is killed leaves it behind, and
the next `ghosttunnel client` on the same state directory removes it, or `nft delete table inet ghosttunnel_TUN`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, ip_address

from ghost.errors import HostError
from ghost.host.changes import Changes
from ghost.host.network import Endpoint

_FORWARD_SWITCH = "/proc/sys/net/ipv4/ip_forward"
_NAT_CURE = "use --no-nat, or run it where the firewall may be changed"
_KILL_CURE = "run it without --kill-switch, or on a kernel with nftables"

Which = Callable[[str], str | None]


def enable_nat(changes: Changes, tun: str, subnet: IPv4Network, which: Which = shutil.which) -> None:
    """Lets clients reach what the server reaches. Raises HostError when forwarding or translation cannot be had."""
    if changes.query(("cat", _FORWARD_SWITCH)).strip() != "1":
        changes.apply(
            ("sh", "-c", f"echo 1 >{_FORWARD_SWITCH}"),
            ("sh", "-c", f"echo 0 >{_FORWARD_SWITCH}"),
            cure="run it as root, in a container with --sysctl net.ipv4.ip_forward=1",
        )
    if which("nft"):
        table = _table(tun)
        script = (
            f"{_new_table('ip', table)}; "
            f"add chain ip {table} postrouting {{ type nat hook postrouting priority 100; }}; "
            f'add rule ip {table} postrouting ip saddr {subnet} oifname != "{tun}" masquerade'
        )
        changes.apply(("nft", script), ("nft", "delete", "table", "ip", table), cure=_NAT_CURE)
    elif which("iptables"):
        rule = ("POSTROUTING", "-s", str(subnet), "!", "-o", tun, "-j", "MASQUERADE")
        _iptables(changes, "-A", ("-t", "nat"), rule)
    else:
        raise HostError("neither nft nor iptables is installed: install the package nftables")
    # ufw and Docker drop what is forwarded unless told otherwise; accepting it in a table of ours would not count.
    if which("iptables") and "-P FORWARD DROP" in changes.query(("iptables", "-S", "FORWARD")):
        for direction in ("-i", "-o"):
            _iptables(changes, "-I", (), ("FORWARD", direction, tun, "-j", "ACCEPT"))


def _iptables(changes: Changes, verb: str, table: tuple[str, ...], rule: tuple[str, ...]) -> None:
    changes.apply(("iptables", *table, verb, *rule), ("iptables", *table, "-D", *rule), cure=_NAT_CURE)


class KillSwitch:
    """Drops whatever leaves outside the tunnel, IPv6 included, except what keeps the tunnel itself alive."""

    def __init__(self, changes: Changes, tun: str, which: Which = shutil.which) -> None:
        if not which("nft"):
            raise HostError("the kill switch needs the program nft: install the package nftables")
        self._changes = changes
        self._tun = tun
        self._table = _table(tun)
        self._permitted: set[Endpoint] = set()
        self._is_closed = False

    def close(self) -> None:
        """From here on nothing leaves but the tunnel, its datagrams, and what gives this host its addresses."""
        if self._is_closed:
            return
        table, tun = self._table, self._tun
        script = "; ".join(
            [
                _new_table("inet", table),
                f"add set inet {table} server4 {{ type ipv4_addr . inet_service; }}",
                f"add set inet {table} server6 {{ type ipv6_addr . inet_service; }}",
                f"add chain inet {table} output {{ type filter hook output priority 0; policy drop; }}",
                f'add rule inet {table} output oifname {{ "lo", "{tun}" }} accept',
                f"add rule inet {table} output ip daddr . udp dport @server4 accept",
                f"add rule inet {table} output ip6 daddr . udp dport @server6 accept",
                f"add rule inet {table} output udp sport 68 udp dport 67 accept",
                f"add rule inet {table} output udp sport 546 udp dport 547 accept",
                f"add rule inet {table} output icmpv6 type "
                "{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept",
                f"add chain inet {table} forward {{ type filter hook forward priority 0; policy drop; }}",
                f'add rule inet {table} forward oifname "{tun}" accept',
                f'add rule inet {table} forward iifname "{tun}" accept',
            ]
        )
        self._changes.apply(("nft", script), ("nft", "delete", "table", "inet", table), cure=_KILL_CURE)
        self._is_closed = True

    def permit(self, endpoints: Iterable[Endpoint]) -> None:
        """Lets the tunnel's datagrams to exactly these endpoints out. Closes the switch first if it is open."""
        self.close()
        wanted = set(endpoints)
        for verb, changed in (("add", wanted - self._permitted), ("delete", self._permitted - wanted)):
            for host, port in sorted(changed):
                name = f"server{ip_address(host).version}"
                element = f"{{ {host.partition('%')[0]} . {port} }}"
                # Vanishes with the table, so it needs no undo of its own.
                self._changes.apply(("nft", verb, "element", "inet", self._table, name, element), cure=_KILL_CURE)
        self._permitted = wanted


def _table(tun: str) -> str:
    return f"ghosttunnel_{tun}"


def _new_table(family: str, table: str) -> str:
    """Statements that make an empty table. Whoever holds the device owns the name: a table that is there already was
    left by a process that was killed on a state directory that is gone."""
    return f"add table {family} {table}; delete table {family} {table}; add table {family} {table}"

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from ghost.errors import HostError
from ghost.host.changes import Argv, Changes, Outcome
from ghost.host.firewall import KillSwitch, enable_nat

SUBNET = IPv4Network("10.77.0.0/24")
NAT_SCRIPT = (
    "nft add table ip ghosttunnel_ghosts; delete table ip ghosttunnel_ghosts; add table ip ghosttunnel_ghosts; "
    "add chain ip ghosttunnel_ghosts postrouting { type nat hook postrouting priority 100; }; "
    'add rule ip ghosttunnel_ghosts postrouting ip saddr 10.77.0.0/24 oifname != "ghosts" masquerade'
)


class Host:
    """A host on paper, with answers to questions."""

    def __init__(self, forwards: bool = False, forward_policy: str = "ACCEPT", programs: tuple[str, ...] = ("nft",)):
        self.ran: list[str] = []
        self.programs = programs
        self.answers = {
            "cat /proc/sys/net/ipv4/ip_forward": "1\n" if forwards else "0\n",
            "iptables -S FORWARD": f"-P FORWARD {forward_policy}\n",
        }

    def __call__(self, argv: Argv) -> Outcome:
        command = " ".join(argv)
        if command in self.answers:
            return Outcome(self.answers[command])
        self.ran.append(command)
        return Outcome("")

    def read_json(self, name: str) -> None:
        return None

    def write_json(self, name: str, value: object) -> None: ...

    def remove(self, name: str) -> None: ...

    def which(self, program: str) -> str | None:
        return f"/sbin/{program}" if program in self.programs else None


def test_translation_is_a_table_of_its_own_and_is_undone() -> None:
    host = Host()
    changes = Changes(host, host)
    enable_nat(changes, "ghosts", SUBNET, host.which)
    changes.undo_all()
    assert host.ran == [
        "sh -c echo 1 >/proc/sys/net/ipv4/ip_forward",
        NAT_SCRIPT,
        "nft delete table ip ghosttunnel_ghosts",
        "sh -c echo 0 >/proc/sys/net/ipv4/ip_forward",
    ]


def test_a_host_that_forwards_already_goes_on_forwarding_afterwards() -> None:
    host = Host(forwards=True)
    changes = Changes(host, host)
    enable_nat(changes, "ghosts", SUBNET, host.which)
    changes.undo_all()
    assert host.ran == [NAT_SCRIPT, "nft delete table ip ghosttunnel_ghosts"]


def test_without_nft_iptables_translates() -> None:
    host = Host(forwards=True, programs=("iptables",))
    changes = Changes(host, host)
    enable_nat(changes, "ghosts", SUBNET, host.which)
    changes.undo_all()
    assert host.ran == [
        "iptables -t nat -A POSTROUTING -s 10.77.0.0/24 ! -o ghosts -j MASQUERADE",
        "iptables -t nat -D POSTROUTING -s 10.77.0.0/24 ! -o ghosts -j MASQUERADE",
    ]


def test_a_firewall_that_drops_what_is_forwarded_is_opened_for_the_tunnel() -> None:
    host = Host(forwards=True, forward_policy="DROP", programs=("nft", "iptables"))
    changes = Changes(host, host)
    enable_nat(changes, "ghosts", SUBNET, host.which)
    changes.undo_all()
    assert host.ran == [
        NAT_SCRIPT,
        "iptables -I FORWARD -i ghosts -j ACCEPT",
        "iptables -I FORWARD -o ghosts -j ACCEPT",
        "iptables -D FORWARD -o ghosts -j ACCEPT",
        "iptables -D FORWARD -i ghosts -j ACCEPT",
        "nft delete table ip ghosttunnel_ghosts",
    ]


def test_without_any_firewall_program_the_cure_is_named() -> None:
    host = Host(programs=())
    with pytest.raises(HostError, match="install the package nftables"):
        enable_nat(Changes(host, host), "ghosts", SUBNET, host.which)
    with pytest.raises(HostError, match="install the package nftables"):
        KillSwitch(Changes(host, host), "ghostc", host.which)


def test_the_kill_switch_drops_first_and_then_lets_the_server_through() -> None:
    host = Host()
    changes = Changes(host, host)
    switch = KillSwitch(changes, "ghostc", host.which)
    switch.permit([("198.18.0.2", 8000), ("2001:db8::2", 443)])
    closing, *permits = host.ran
    assert closing.startswith("nft add table inet ghosttunnel_ghostc; delete table inet ghosttunnel_ghostc; ")
    assert "hook output priority 0; policy drop;" in closing
    assert "hook forward priority 0; policy drop;" in closing
    assert permits == [
        "nft add element inet ghosttunnel_ghostc server4 { 198.18.0.2 . 8000 }",
        "nft add element inet ghosttunnel_ghostc server6 { 2001:db8::2 . 443 }",
    ]
    switch.permit([("198.18.0.3", 8000), ("2001:db8::2", 443)])
    assert host.ran[3:] == [
        "nft add element inet ghosttunnel_ghostc server4 { 198.18.0.3 . 8000 }",
        "nft delete element inet ghosttunnel_ghostc server4 { 198.18.0.2 . 8000 }",
    ]
    changes.undo_all()
    assert host.ran[5:] == ["nft delete table inet ghosttunnel_ghostc"]

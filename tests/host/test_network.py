from __future__ import annotations

from ipaddress import IPv4Interface

import pytest

from ghost.host.changes import Argv, Changes, Outcome
from ghost.host.network import FullTunnel, bring_up


class Host:
    """A host on paper: a store and a runner that remember."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def __call__(self, argv: Argv) -> Outcome:
        self.ran.append(" ".join(argv))
        return Outcome("")

    def read_json(self, name: str) -> None:
        return None

    def write_json(self, name: str, value: object) -> None: ...

    def remove(self, name: str) -> None: ...

    def changes(self) -> Changes:
        return Changes(self, self)

    def since(self, count: int) -> list[str]:
        return self.ran[count:]


@pytest.fixture
def host() -> Host:
    return Host()


def test_the_device_is_addressed_and_started(host: Host) -> None:
    bring_up(host.changes(), "ghostc", IPv4Interface("10.77.0.2/24"), 1416)
    assert host.ran == [
        "ip link set dev ghostc mtu 1416",
        "ip -4 address flush dev ghostc",
        "ip -4 address add 10.77.0.2/24 dev ghostc",
        "ip link set dev ghostc up",
    ]


def test_a_full_tunnel_is_rules_beside_the_main_table_and_undone_in_reverse(host: Host) -> None:
    changes = host.changes()
    tunnel = FullTunnel(changes, "ghostc", has_ipv6=True)
    tunnel.permit([("198.18.0.2", 8000)])
    tunnel.route()
    assert host.ran == [
        "ip -4 rule add priority 7700 to 198.18.0.2/32 ipproto udp dport 8000 table main",
        "ip -4 route replace default dev ghostc table 7700",
        "ip -6 route add unreachable default table 7700",
        "ip -4 rule add priority 7701 table main suppress_prefixlength 0",
        "ip -4 rule add priority 7702 table 7700",
        "ip -6 rule add priority 7701 table main suppress_prefixlength 0",
        "ip -6 rule add priority 7702 table 7700",
    ]
    changes.undo_all()
    assert host.since(7) == [
        "ip -6 rule del priority 7702 table 7700",
        "ip -6 rule del priority 7701 table main suppress_prefixlength 0",
        "ip -4 rule del priority 7702 table 7700",
        "ip -4 rule del priority 7701 table main suppress_prefixlength 0",
        "ip -6 route del unreachable default table 7700",
        "ip -4 rule del priority 7700 to 198.18.0.2/32 ipproto udp dport 8000 table main",
    ]


def test_without_ipv6_nothing_is_asked_of_it(host: Host) -> None:
    tunnel = FullTunnel(host.changes(), "ghostc", has_ipv6=False)
    tunnel.route()
    assert not [line for line in host.ran if "-6" in line]


def test_a_device_that_got_a_new_address_gets_its_route_again_and_no_second_rule(host: Host) -> None:
    tunnel = FullTunnel(host.changes(), "ghostc", has_ipv6=True)
    tunnel.route()
    count = len(host.ran)
    tunnel.route()
    assert host.since(count) == ["ip -4 route replace default dev ghostc table 7700"]


def test_a_server_that_moved_is_followed(host: Host) -> None:
    tunnel = FullTunnel(host.changes(), "ghostc", has_ipv6=True)
    tunnel.permit([("198.18.0.2", 8000), ("2001:db8::2", 8000)])
    count = len(host.ran)
    tunnel.permit([("198.18.0.2", 8000), ("198.18.0.3", 443)])
    assert host.since(count) == [
        "ip -4 rule add priority 7700 to 198.18.0.3/32 ipproto udp dport 443 table main",
        "ip -6 rule del priority 7700 to 2001:db8::2/128 ipproto udp dport 8000 table main",
    ]

from __future__ import annotations

from ghost.commands import peers, reload
from ghost.commands.status import report

STATUS = {
    "role": "server",
    "state": "listening",
    "refusal": None,
    "uptime_s": 93784.0,
    "inner_address": "10.77.0.1/24",
    "dropped": {"foreign": 3, "unauthentic": 0},
    "udp_errors": {},
    "device": "ghosts",
    "totals": {"sent_bytes": 1536},
    "peers": [
        {
            "name": "laptop",
            "address": "10.77.0.2",
            "endpoint": ["2001:db8::1", 4000],
            "pacing_rate_bps": 2_500_000.0,
            "rtt_ms": 12.345,
            "loss": 0.3,
            "sent_bytes": 1536,
            "received_bytes": 100,
            "last_contact_s": 4.21,
        }
    ],
}


def test_a_report_is_blocks_with_units_the_important_first() -> None:
    assert report(STATUS) == [
        "interface: ghosts",
        "  role: server, listening",
        "  inner address: 10.77.0.1/24",
        "  uptime: 1 d 2 h",
        "  dropped: foreign 3",
        "",
        "peer: laptop",
        "  endpoint: [2001:db8::1]:4000",
        "  address: 10.77.0.2",
        "  last contact: 4.2 s ago",
        "  transfer: 100 B received, 1.5 KiB sent",
        "  rtt: 12.3 ms",
        "  loss: 30.0 %",
        "  pacing rate: 2.5 Mbit/s",
    ]


def test_on_a_terminal_the_heads_of_blocks_are_bold() -> None:
    bold = report(STATUS, is_bold=True)
    assert bold[0] == "\x1b[1minterface: ghosts\x1b[0m"
    assert bold[1] == report(STATUS)[1]


def test_peers_that_are_here_come_first() -> None:
    lines = peers.report(
        {
            "peers": [
                {"name": "phone", "address": "10.77.0.3", "is_connected": False, "endpoint": None,
                 "last_seen_s": 7200.0, "public_key": "ab" * 32},
                {"name": "laptop", "address": "10.77.0.2", "is_connected": True, "endpoint": "198.18.0.1:4000",
                 "last_seen_s": 4.2, "public_key": "cd" * 32},
            ],
            "invites": [{"name": "tablet", "expires_in_s": 3600}],
        }
    )  # fmt: skip
    assert lines == [
        "laptop  10.77.0.2  connected from 198.18.0.1:4000, last seen 4.2 s ago  cdcdcdcdcdcdcdcd",
        "phone  10.77.0.3  not connected, last seen 2 h ago  abababababababab",
        "open invite for tablet, expires in 1 h",
    ]


def test_a_reload_is_told_by_when_it_counts() -> None:
    answer = {"applied": ["log-level"], "next_connection": [], "needs_restart": ["subnet", "no-nat"]}
    assert reload.report(answer) == ["in force now: log-level", "in force after a restart: subnet, no-nat"]
    assert reload.report({}) == ["nothing changed"]

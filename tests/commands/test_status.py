from __future__ import annotations

import pytest

from ghost.commands.status import report

STATUS = {
    "role": "server",
    "state": "listening",
    "inner_address": "10.77.0.1/24",
    "uptime_s": 93784.0,
    "refusal": None,
    "dropped": {"foreign": 3, "unauthentic": 0},
    "udp_errors": {},
    "peers": [
        {
            "name": "laptop",
            "address": "10.77.0.2",
            "endpoint": ["2001:db8::1", 4000],
            "rtt_ms": 12.345,
            "loss": 0.3,
            "sent_bytes": 1536,
            "pacing_rate_bps": 2_500_000.0,
        }
    ],
}


def test_a_report_is_blocks_with_units() -> None:
    assert report(STATUS) == [
        "server: listening",
        "  inner address: 10.77.0.1/24",
        "  uptime: 1 d 2 h",
        "  dropped: foreign 3",
        "",
        "peer: laptop",
        "  address: 10.77.0.2",
        "  endpoint: [2001:db8::1]:4000",
        "  rtt: 12.3 ms",
        "  loss: 30.0 %",
        "  sent: 1.5 KiB",
        "  pacing rate: 2.5 Mbit/s",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min"), (61, "1 min 1 s"), (7200, "2 h")]
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert report({"role": "client", "state": "connected", "uptime_s": seconds})[1] == f"  uptime: {text}"

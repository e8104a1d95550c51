from __future__ import annotations

from typing import Any

import pytest

from ghost.units import duration, labelled


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min"), (61, "1 min 1 s"), (7200, "2 h")]
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("key", "value", "label", "text"),
    [
        ("rtt_ms", 12.345, "rtt", "12.3 ms"),
        ("loss", 0.3, "loss", "30.0 %"),
        ("sent_bytes", 1536, "sent", "1.5 KiB"),
        ("pacing_rate_bps", 2_500_000, "pacing rate", "2.5 Mbit/s"),
        ("uptime_s", 61.0, "uptime", "1 min 1 s"),
        ("dropped", {"foreign": 3, "truncated": 0}, "dropped", "foreign 3"),
        ("dropped", {"foreign": 0}, "dropped", "none"),
        ("endpoint", ["2001:db8::1", 4000], "endpoint", "[2001:db8::1]:4000"),
        ("symbols", 5, "symbols", "5"),
    ],
)
def test_a_field_is_labelled_with_its_unit(key: str, value: Any, label: str, text: str) -> None:
    assert labelled(key, value) == (label, text)

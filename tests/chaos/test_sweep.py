"""Several values of one key: spread as one would want them, and refused with a cure."""

from __future__ import annotations

import pytest

from ghost.chaos.spec import parse
from ghost.chaos.sweep import parse_sweep
from ghost.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("loss=0..50%", ["0%", "10%", "20%", "30%", "40%", "50%"]),
        ("loss = 10% .. 30% / 3", ["10%", "20%", "30%"]),
        ("delay=10ms..100ms/4", ["10ms", "21.54ms", "46.42ms", "100ms"]),
        ("rate=64kbit..4.096mbit/4", ["64kbit", "256kbit", "1.024mbit", "4.096mbit"]),
        ("burst=1..4/4", ["1", "2", "3", "4"]),
        ("freeze-packets=10..20/3", ["10", "15", "20"]),
        ("blackout=1s..3s/3", ["1s", "2s", "3s"]),
    ],
)
def test_values_are_spread_evenly_or_by_equal_ratios(text: str, names: list[str]) -> None:
    sweep = parse_sweep(text)
    assert [sweep.name(value) for value in sweep.values] == names


def test_each_value_is_put_into_the_rest_of_the_link() -> None:
    sweep = parse_sweep("loss=0..40%/3")
    base = parse("rate=1mbit,loss=3%")
    assert [sweep.put(base, value) for value in sweep.values] == [
        parse("rate=1mbit"), parse("rate=1mbit,loss=20%"), parse("rate=1mbit,loss=40%"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("los=0..50%", "did you mean loss=30%?"),
        ("loss=50%", "write KEY=FROM..TO"),
        ("loss=0..130%", "130% is out of range for loss: give 0% to 100%"),
        ("loss=0..50", "cannot read loss=50: give a number and its unit (%)"),
        ("delay=-5..5ms", "-5ms is out of range for delay"),
        ("loss=0..50%/1", "give 2 to 100"),
        ("loss=5%..5%", "begins where it ends"),
    ],
)
def test_refusal_says_how_it_is_written(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_sweep(text)
    assert told in str(refusal.value)

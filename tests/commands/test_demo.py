"""What the demo says about what it measured; the measuring itself is in tests/namespaces/test_demo.py."""

from __future__ import annotations

from dataclasses import replace

from ghost.chaos.profiles import resolve
from ghost.commands.demo import Result, is_promise_kept, table, verdict
from ghost.commands.demo_stage import Echoes

HOSTILE, CLEAN = resolve("hostile-30"), resolve("clean")
OUTSIDE = Result(
    seconds=10.0,
    received=125_000,
    connected=2.15,
    is_intact=True,
    pings=Echoes(50, [0.1, 0.101, 0.3]),
    wire_bytes=200_000,
)
INSIDE = replace(OUTSIDE, received=6_250_000, connected=0.2, pings=Echoes(50, [0.1] * 50), wire_bytes=12_500_000)


def row(lines: list[str], name: str) -> list[str]:
    return next(line for line in lines if line.startswith(name)).removeprefix(name).split()


def test_table_puts_both_results_side_by_side() -> None:
    lines = table(OUTSIDE, INSIDE)
    assert row(lines, "goodput") == ["0.10", "Mbit/s", "5.00", "Mbit/s"]
    assert row(lines, "SHA-256 of the stream") == ["matches", "matches"]
    assert row(lines, "pings lost") == ["94%", "0%"]
    assert row(lines, "ping, median") == ["101", "ms", "100", "ms"]
    assert row(lines, "bytes on the wire per byte") == ["1.60", "2.00"]


def test_table_survives_a_link_that_carried_nothing() -> None:
    dead = Result(10.0, 0, None, False, Echoes(50, []), 3000)
    lines = table(dead, INSIDE)
    assert row(lines, "connected after") == ["never", "0.20", "s"]
    assert row(lines, "ping, median") == ["-", "100", "ms"]
    assert row(lines, "SHA-256 of the stream") == ["-", "matches"]
    assert is_promise_kept(HOSTILE, dead, INSIDE)
    assert "The plain connection carried nothing" in verdict(HOSTILE, dead, INSIDE)


def test_on_a_bad_link_the_promise_is_a_stream_that_is_intact_and_faster() -> None:
    assert is_promise_kept(HOSTILE, OUTSIDE, INSIDE)
    assert "50.0 times as much" in verdict(HOSTILE, OUTSIDE, INSIDE)

    assert not is_promise_kept(HOSTILE, INSIDE, OUTSIDE)
    assert "carried 2% of the plain connection's bytes, and should carry more" in verdict(HOSTILE, INSIDE, OUTSIDE)

    damaged = replace(INSIDE, is_intact=False)
    assert not is_promise_kept(HOSTILE, OUTSIDE, damaged)
    assert "failed" in verdict(HOSTILE, OUTSIDE, damaged)
    assert row(table(OUTSIDE, damaged), "SHA-256 of the stream") == ["matches", "DIFFERS"]


def test_on_a_clean_link_the_promise_is_to_keep_most_of_the_plain_connection() -> None:
    kept = replace(INSIDE, received=int(0.9 * INSIDE.received))
    assert is_promise_kept(CLEAN, INSIDE, kept)
    assert "carried 90% of the plain connection's bytes, on a link" in verdict(CLEAN, INSIDE, kept)
    assert not is_promise_kept(HOSTILE, INSIDE, kept)

    slow = replace(INSIDE, received=int(0.8 * INSIDE.received))
    assert not is_promise_kept(CLEAN, INSIDE, slow)
    assert "carried 80% of the plain connection's bytes, and should carry 85% at least" in verdict(CLEAN, INSIDE, slow)

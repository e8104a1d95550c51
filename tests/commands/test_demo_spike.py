"""What `demo --spike` says about what it measured; the measuring itself is in tests/namespaces/test_demo.py."""

from __future__ import annotations

from dataclasses import replace

from ghost.commands.demo_spike import LOSSES, Step, promises, table
from ghost.commands.demo_stage import Echoes, Report

SECONDS = 2 * len(LOSSES)
LAST = Report(10.0, 5_000_000, is_last=True, connected=0.1, is_intact=True)


def steps(rates_bps: tuple[float, ...] = (4e6, 3e6), sent: int = 40, lost: int = 0) -> list[Step]:
    return [Step(loss, list(rates_bps), Echoes(sent, [0.1] * (sent - lost))) for loss in LOSSES]


def broken(kept: dict[str, bool]) -> list[str]:
    return [text for text, is_kept in kept.items() if not is_kept]


def test_each_step_has_a_row() -> None:
    lines = table([*steps(lost=1)[:3], Step(0.3)])
    assert lines[2].split() == ["30%", "3.50", "Mbit/s", "1", "of", "40", "100", "ms"]
    assert lines[4].split() == ["30%", "0.00", "Mbit/s", "0", "of", "0", "-"], "a step that was never reached"


def test_all_promises_are_kept_by_a_good_run() -> None:
    kept = promises(steps(), LAST, SECONDS)
    assert broken(kept) == []
    assert "it went on in each of 10 seconds, the slowest carried 3.00 Mbit/s" in kept


def test_a_second_without_a_byte_breaks_the_first() -> None:
    assert broken(promises(steps((4e6, 0.0)), LAST, SECONDS)) == ["nothing arrived in 5 of 10 seconds"]


def test_seconds_that_a_broken_connection_never_saw_count_as_silent() -> None:
    cut = [*steps()[:2], *(Step(loss) for loss in LOSSES[2:])]
    assert broken(promises(cut, replace(LAST, seconds=4.2), SECONDS)) == ["nothing arrived in 6 of 10 seconds"]


def test_a_damaged_stream_breaks_the_second() -> None:
    [text] = broken(promises(steps(), replace(LAST, is_intact=False), SECONDS))
    assert "NOT what was sent" in text


def test_a_few_lost_pings_are_forgiven_and_many_are_not() -> None:
    assert broken(promises(steps(sent=50, lost=1), LAST, SECONDS)) == []
    assert broken(promises(steps(sent=50, lost=2), LAST, SECONDS)) == ["10 of 250 pings were lost, 2% may be"]
    assert len(broken(promises(steps(sent=0), LAST, SECONDS))) == 1

"""What `demo --spike` says about what it measured; the measuring itself is in tests/namespaces/test_demo.py."""

from __future__ import annotations

import pytest

from ghost.commands.demo_board import SILENCE, Lines, Second
from ghost.commands.demo_spike import LOSSES, Step, chart, lengths, promises, seconds_between, table
from ghost.commands.demo_stage import Echoes, Report

EACH = 5
SECONDS = sum(lengths(EACH))
ROUND_TRIP = 0.1
LAST = Report(float(SECONDS), 5_000_000, is_last=True, connected=0.1, is_intact=True)


def steps(
    rate_bps: float = 4e6, sent: int = 40, lost: int = 0, ping: float = 0.11, back: float | None = 0.5
) -> list[Step]:
    made, time = [], 0.0
    for loss, length in zip(LOSSES, lengths(EACH), strict=True):
        step = Step(loss, began=time, first_news=0.2)
        for _ in range(length):
            time += 1
            step.seconds.append(Second(time, loss, 0.0 if loss == SILENCE else rate_bps, 1))
        step.echoes = Echoes(sent, [] if loss == SILENCE else [ping] * (sent - lost))
        made.append(step)
    made[LOSSES.index(SILENCE) + 1].first_news = back
    return made


def broken(kept: dict[str, bool]) -> list[str]:
    return [text for text, is_kept in kept.items() if not is_kept]


def judged(made: list[Step], last: Report = LAST) -> list[str]:
    return broken(promises(made, last, SECONDS, ROUND_TRIP))


def test_each_step_has_a_row() -> None:
    lines = table([*steps(lost=1)[:4], Step(0.3)])
    assert lines[2].split() == ["30%", "4.00", "Mbit/s", "1", "of", "40", "110", "ms"]
    assert lines[4].split() == ["silence", "0.00", "Mbit/s", "40", "of", "40", "-"]
    assert lines[5].split() == ["30%", "0.00", "Mbit/s", "0", "of", "0", "-"], "a step that was never reached"


def test_a_second_is_told_once_when_it_has_passed() -> None:
    assert seconds_between(Report(0.0, 0), Report(0.99, 500), 0.0) == []
    assert seconds_between(Report(0.0, 0), Report(1.25, 1250), 0.0) == [Second(1.25, 0.0, 8000.0, 1250)]
    assert seconds_between(Report(1.25, 1250), Report(1.5, 2000), 0.0) == []


def test_seconds_that_a_late_report_tells_of_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    passed = seconds_between(Report(0.0, 0), Report(2.75, 2750), 0.3)
    assert passed == [Second(1.0, 0.3, 8000.0, 1000), Second(2.75, 0.3, 8000.0, 2750)]
    for second in passed:
        Lines(1e6).show(second)
    assert [line[:16] for line in capsys.readouterr().out.splitlines()] == ["  1 s  loss  30%", "  2 s  loss  30%"]


def test_the_chart_has_a_column_a_second_and_the_loss_under_it() -> None:
    seconds = [Second(1.0, 0.0, 4e6, 1), Second(2.0, 0.5, 2e6, 1), Second(3.0, 1.0, 0.0, 1), Second(4.0, 0.1, 1e3, 1)]
    assert chart(seconds, 4e6) == ["goodput  █▄ ▁", "loss      ▄█▁"]


def test_all_promises_are_kept_by_a_good_run() -> None:
    kept = promises(steps(), LAST, SECONDS, ROUND_TRIP)
    assert broken(kept) == []
    assert "it went on in each second with a link, the slowest carried 4.00 Mbit/s" in kept
    assert "it came back 0.5 s after the silence, 3 s may pass" in kept


@pytest.mark.parametrize("step", [0, 2, 5])
def test_a_second_without_a_byte_breaks_the_first(step: int) -> None:
    made = steps()
    made[step].seconds[-1] = Second(made[step].seconds[-1].time, LOSSES[step], 0.0, 1)
    assert judged(made) == [f"nothing arrived in 1 of {SECONDS} seconds"]


def test_a_second_without_a_byte_right_after_the_silence_breaks_nothing() -> None:
    made = steps()
    after = LOSSES.index(SILENCE) + 1
    made[after].seconds[0] = Second(made[after].seconds[0].time, LOSSES[after], 0.0, 1)
    assert judged(made) == []


def test_seconds_that_a_broken_connection_never_saw_count_as_silent() -> None:
    assert judged(steps(), Report(SECONDS - 6.2, 5, is_last=True, is_intact=True)) == [
        f"nothing arrived in 6 of {SECONDS} seconds"
    ]


def test_a_damaged_stream_breaks_the_second() -> None:
    [text] = judged(steps(), Report(float(SECONDS), 5, is_last=True, is_intact=False))
    assert "NOT what was sent" in text


def test_a_few_lost_pings_are_forgiven_and_many_are_not() -> None:
    assert judged(steps(sent=50, lost=1)) == []
    assert judged(steps(sent=50, lost=2)) == ["10 of 250 pings were lost, 2% may be"]


def test_a_median_that_is_too_long_breaks_the_fourth() -> None:
    made = steps()
    made[2].echoes = Echoes(40, [0.25] * 40)
    assert judged(made) == ["the median ping of the worst step took 250 ms, 200 ms may be"]


@pytest.mark.parametrize(
    ("back", "told"),
    [(3.4, "it came back 3.4 s after the silence, 3 s may pass"), (None, "it never came back after the silence")],
)
def test_a_return_that_takes_too_long_breaks_the_last(back: float | None, told: str) -> None:
    assert told in judged(steps(back=back))

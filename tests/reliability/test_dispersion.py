"""A thin path shows in how far apart it delivers a record and its copy; a fast, noisy or lossy one shows nothing."""

from __future__ import annotations

import random

import pytest

from ghost.reliability.dispersion import LEAST_PAIRS, LEAST_SPREAD, PAIRS, TOLD_INTERVAL, Dispersion

SIZE = 131  # bytes of a ping on the path
INTERVAL = 0.05


def heard(gaps: list[float], *, start: float = 0.0) -> list[int]:
    """What is told where each prompt comes with one copy, so many seconds later."""
    dispersion, told, number = Dispersion(), [], 0
    for prompt_id, gap in enumerate(gaps):
        for now in (start + prompt_id * INTERVAL, start + prompt_id * INTERVAL + gap):
            dispersion.on_prompt(prompt_id, packet_number=number, size=SIZE, now=now)
            number += 1
            rate = dispersion.rate_to_tell(now)
            told += [] if rate is None else [rate]
    return told


@pytest.mark.parametrize("rate", [2_000, 8_000, 32_000])
def test_a_thin_path_is_told_of_at_its_rate_within_a_few_pings(rate: int) -> None:
    assert heard([SIZE / rate] * LEAST_PAIRS) == [pytest.approx(rate, rel=0.001)]


def test_it_is_told_once_a_second() -> None:
    assert len(heard([0.01] * 100)) == pytest.approx(100 * INTERVAL / TOLD_INTERVAL, abs=1)


def test_one_close_pair_among_the_last_ones_is_enough_to_say_nothing() -> None:
    rng = random.Random(1)
    busy = [rng.choice((LEAST_SPREAD / 4, LEAST_SPREAD * 3)) for _ in range(400)]
    told = heard(busy)
    assert len(told) <= 400 * 2**-LEAST_PAIRS / 4
    assert heard([LEAST_SPREAD * 0.9] * 100) == []


def test_the_closest_pair_is_the_paths_rate() -> None:
    assert heard([0.02, 0.01, 0.03, 0.015] * (LEAST_PAIRS // 4)) == [pytest.approx(SIZE / 0.01, rel=0.01)]
    assert PAIRS >= LEAST_PAIRS


def test_what_did_not_leave_together_is_no_pair() -> None:
    dispersion = Dispersion()
    for number in range(0, 60, 3):  # another prompt each, then a copy with a packet lost before it
        dispersion.on_prompt(number, packet_number=number, size=SIZE, now=number * 0.02)
        dispersion.on_prompt(number, packet_number=number + 2, size=SIZE, now=number * 0.02 + 0.01)
        assert dispersion.rate_to_tell(number * 0.02 + 0.01) is None

"""The queue ahead shows in one-way delays; jitter, drift and a queue that grows evenly are told from each other."""

from __future__ import annotations

import random

import pytest

from ghost.reliability.delay import BASE_WINDOW, QueueDelay

STEP = 0.010  # seconds between samples
ROUND_TRIP = 0.100
PATH = 0.050
CLOCK_OFFSET = 1234.5  # of the receiver's clock


def feed(
    delay: QueueDelay,
    queues: list[float],
    *,
    now: float = 0.0,
    grain: float = 0.001,
    step: float = STEP,
    drift: float = 0.0,
    round_trips: list[float] | None = None,
) -> float:
    """One sample for each of `queues`, `step` apart; returns the time after the last."""
    for index, queue in enumerate(queues):
        one_way = CLOCK_OFFSET + drift * now + PATH + queue
        round_trip = round_trips[index] if round_trips else 2 * PATH + queue
        delay.update(one_way, round_trip, grain=grain, round_trip_time=ROUND_TRIP, now=now)
        now += step
    return now


def test_the_queue_is_what_a_delay_exceeds_the_least_by_whatever_the_clocks_say() -> None:
    delay = QueueDelay()
    feed(delay, [0.0] * 10 + [0.020] * 10)
    assert delay.queue == pytest.approx(0.020)


def test_a_single_late_sample_is_no_queue() -> None:
    delay = QueueDelay()
    feed(delay, [0.0] * 20 + [0.030])
    assert delay.queue == pytest.approx(0.0)


def test_a_queue_that_grows_evenly_is_no_jitter() -> None:
    delay = QueueDelay()
    feed(delay, [0.002 * index for index in range(200)])
    assert delay.jitter < 0.000_1
    assert not delay.is_noisy
    assert delay.queue == pytest.approx(0.002 * 197), "the median of the last five"


@pytest.mark.parametrize("growth", [0.0, 0.002])
def test_jitter_shows_beside_a_trend_as_well(growth: float) -> None:
    delay, rng = QueueDelay(), random.Random(1)
    feed(delay, [growth * index + rng.uniform(0, 0.010) for index in range(200)])
    assert 0.002 < delay.jitter < 0.006, "two even draws differ by a third of their range"
    assert delay.is_noisy


def test_a_first_jump_is_soon_forgotten() -> None:
    delay = QueueDelay()
    feed(delay, [0.0] + [0.020] * 40)
    assert delay.jitter < 0.002


@pytest.mark.parametrize(("grain", "is_noisy"), [(0.001, True), (0.008, False)])
def test_waiting_for_single_packets_of_a_thin_link_is_no_noise(grain: float, is_noisy: bool) -> None:
    delay, rng = QueueDelay(), random.Random(1)
    feed(delay, [rng.uniform(0, 0.010) for _ in range(200)], grain=grain)
    assert delay.is_noisy is is_noisy


def test_under_noise_the_least_of_a_round_trip_is_the_queue() -> None:
    delay, rng = QueueDelay(), random.Random(1)
    now = feed(delay, [rng.uniform(0, 0.040) for _ in range(500)], step=0.001)
    assert delay.is_noisy
    assert delay.queue < 0.005
    feed(delay, [0.100 + rng.uniform(0, 0.040) for _ in range(100)], step=0.001, now=now)
    assert 0.100 <= delay.queue < 0.105


def test_a_drifting_clock_makes_no_queue_that_the_round_trip_does_not_show() -> None:
    delay = QueueDelay()
    feed(delay, [0.0] * 400, step=0.1, drift=0.001)
    assert delay.queue == pytest.approx(0.0)


def test_a_longer_path_is_the_base_after_a_minute() -> None:
    delay = QueueDelay()
    now = feed(delay, [0.0] * 10)
    now = feed(delay, [0.030] * 100, now=now, step=0.1)
    assert delay.queue == pytest.approx(0.030)
    feed(delay, [0.030] * int((BASE_WINDOW + 10) / 0.1), now=now, step=0.1)
    assert delay.queue == pytest.approx(0.0)

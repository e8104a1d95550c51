"""The estimate of loss finds the path's and follows it, and tells bursts from independent losses."""

from __future__ import annotations

import random

import pytest

from ghost.reliability.loss import SentPacket
from ghost.reliability.lossrate import YOUNG, LossRate


def packet(number: int) -> SentPacket:
    return SentPacket(
        number=number, time=0.0, size=1000, sent_bytes=0, sources=0, repairs=0,
        symbol=None, prompts=(), is_app_limited=False,
    )  # fmt: skip


def feed(estimate: LossRate, losses: list[bool]) -> None:
    for number, is_lost in enumerate(losses):
        estimate.update([] if is_lost else [packet(number)], [packet(number)] if is_lost else [])


def bursts(rng: random.Random, count: int, *, loss: float, length: float) -> list[bool]:
    """A Gilbert-Elliott channel that loses everything while it is bad."""
    losses, is_bad = [], False
    for _ in range(count):
        chance = 1 - 1 / length if is_bad else loss / (1 - loss) / length
        is_bad = rng.random() < chance
        losses.append(is_bad)
    return losses


def test_a_clean_path_soon_shows_as_clean() -> None:
    estimate = LossRate()
    feed(estimate, [False] * 200)
    assert estimate.rate < 0.005
    assert estimate.burst == 1.0


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.3, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_rate_of_random_loss(seed: int, loss: float) -> None:
    rng, estimate = random.Random(seed), LossRate()
    feed(estimate, [rng.random() < loss for _ in range(2000)])
    assert estimate.rate == pytest.approx(loss, abs=0.08), f"seed {seed}"
    assert estimate.burst <= 2.5


def test_it_follows_a_change_within_a_thousand_packets() -> None:
    rng, estimate = random.Random(1), LossRate()
    feed(estimate, [rng.random() < 0.3 for _ in range(2000)])
    feed(estimate, [False] * 1000)
    assert estimate.rate < 0.02


def test_a_first_loss_is_not_taken_for_a_total_one() -> None:
    estimate = LossRate()
    before = estimate.rate
    feed(estimate, [True])
    assert before < estimate.rate < before + 0.15


@pytest.mark.parametrize("seed", range(3))
def test_it_tells_bursts_from_independent_losses(seed: int) -> None:
    estimate = LossRate()
    feed(estimate, bursts(random.Random(seed), 20_000, loss=0.1, length=8))
    assert estimate.burst == pytest.approx(8, rel=0.5), f"seed {seed}"


def test_losses_that_were_none_are_taken_back() -> None:
    rng, estimate = random.Random(2), LossRate()
    feed(estimate, [rng.random() < 0.3 for _ in range(1000)])
    before = estimate.rate
    estimate.forgive(10)
    assert before - 0.06 < estimate.rate < before - 0.02
    estimate.forgive(1000)
    assert estimate.rate == 0.0


def test_thin_traffic_soon_forgets_what_was_assumed_but_not_what_was_lost() -> None:
    estimate = LossRate()
    assert estimate.sparse == estimate.rate
    feed(estimate, [False] * 15)
    assert estimate.sparse < 0.002 < estimate.rate
    feed(estimate, [True])
    assert estimate.sparse == estimate.rate > 0.05


def test_arrivals_together_are_the_same_to_the_last_bit_as_one_by_one() -> None:
    rng = random.Random(3)
    alone, together = LossRate(), LossRate()
    for number in range(300):
        count = rng.choice((1, 5, 64))
        lost = [packet(number)] if rng.random() < 0.3 else []
        for _ in range(count):
            alone.update([packet(number)], [])
        alone.update([], lost)
        together.update([packet(number)] * count, lost)
        assert (together.rate, together.measured) == (alone.rate, alone.measured)


def test_caution_asks_for_more_than_was_seen_while_little_was() -> None:
    estimate = LossRate()
    feed(estimate, [False] * 8)
    assert estimate.cautious == 0.0, "nothing is lost"
    feed(estimate, [True, False] * 4)
    assert estimate.rate + 0.05 < estimate.cautious < 0.5
    feed(estimate, [True, False] * (YOUNG // 2))
    assert estimate.cautious == 0.0

"""The span rate is the bottleneck's, however much of what was sent is lost on the way."""

from __future__ import annotations

import random

import pytest

from ghost.reliability.loss import SentPacket
from ghost.reliability.span import SpanRate

SIZE = 1000
BOTTLENECK = 1e6  # bytes a second


def packet(number: int) -> SentPacket:
    return SentPacket(
        number=number, time=0.0, size=SIZE, sent_bytes=SIZE * (number + 1), sources=0, repairs=0,
        symbol=None, prompts=(), is_app_limited=False,
    )  # fmt: skip


@pytest.mark.parametrize("loss", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(3))
def test_loss_behind_the_bottleneck_does_not_bias_it(seed: int, loss: float) -> None:
    rng, span = random.Random(seed), SpanRate()
    rates = [
        span.update(packet(number), arrived=number * SIZE / BOTTLENECK, window=0.1)
        for number in range(1000)
        if rng.random() >= loss
    ]
    measured = [rate for rate in rates if rate is not None]
    assert len(measured) > 100
    assert measured == pytest.approx([BOTTLENECK] * len(measured))


def test_it_says_nothing_before_a_window_has_passed() -> None:
    span = SpanRate()
    assert [span.update(packet(number), arrived=number * 0.01, window=0.1) for number in range(10)] == [None] * 10
    assert span.update(packet(10), arrived=0.1, window=0.1) is not None
    span.forget()
    assert span.update(packet(11), arrived=0.11, window=0.1) is None


def test_late_and_reordered_news_is_left_out() -> None:
    span = SpanRate()
    for number in range(20):
        span.update(packet(number), arrived=number * 0.01, window=0.1)
    assert span.update(packet(5), arrived=0.2, window=0.1) is None
    assert span.update(packet(21), arrived=0.1, window=0.1) is None
    assert span.update(packet(22), arrived=0.22, window=0.1) == pytest.approx(SIZE / 0.01)

"""The span rate is the bottleneck's, however much of what was sent is lost on the way."""

from __future__ import annotations

import random

import pytest

from ghost.reliability.loss import SentPacket
from ghost.reliability.span import SpanRate

SIZE = 1000
BOTTLENECK = 1e6  # bytes a second
GAP = SIZE / BOTTLENECK
WINDOW = 0.1


def packet(number: int, *, gap: float = GAP, is_app_limited: bool = False) -> SentPacket:
    return SentPacket(
        number=number, time=number * gap, size=SIZE, sent_bytes=SIZE * (number + 1), sources=0, repairs=0,
        symbol=None, prompts=(), is_app_limited=is_app_limited,
    )  # fmt: skip


@pytest.mark.parametrize("loss", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(3))
def test_loss_behind_the_bottleneck_does_not_bias_it(seed: int, loss: float) -> None:
    rng, span = random.Random(seed), SpanRate()
    measured = [
        span.rate
        for number in range(1000)
        if rng.random() >= loss and span.update(packet(number), arrived=5 + number * GAP, acked_bytes=0, window=WINDOW)
    ]
    assert len(measured) > 100
    assert measured == pytest.approx([BOTTLENECK] * len(measured)), f"seed {seed}"


def test_a_sender_faster_than_the_bottleneck_does_not_bias_it_either() -> None:
    span = SpanRate()
    for number in range(1000):
        span.update(packet(number, gap=GAP / 2), arrived=5 + number * GAP, acked_bytes=0, window=WINDOW)
    assert span.rate == pytest.approx(BOTTLENECK)
    assert span.stretch == pytest.approx(1.0), "packets take twice as long to arrive as to leave: a queue grows"


def test_it_says_nothing_before_a_window_has_passed() -> None:
    span = SpanRate()
    assert not any(
        span.update(packet(number), arrived=number * 0.01, acked_bytes=0, window=WINDOW) for number in range(10)
    )
    assert span.update(packet(10), arrived=0.1, acked_bytes=0, window=WINDOW)
    span.forget()
    assert not span.update(packet(11), arrived=0.11, acked_bytes=0, window=WINDOW)


def test_late_and_reordered_news_is_left_out() -> None:
    span = SpanRate()
    for number in range(20):
        span.update(packet(number), arrived=number * 0.01, acked_bytes=0, window=WINDOW)
    assert not span.update(packet(5), arrived=0.2, acked_bytes=0, window=WINDOW)
    assert not span.update(packet(21), arrived=0.1, acked_bytes=0, window=WINDOW)
    assert span.update(packet(22), arrived=0.22, acked_bytes=0, window=WINDOW)
    assert span.rate == pytest.approx(SIZE / 0.01)


def test_a_silence_is_no_measure_of_the_paths_rate() -> None:
    span, silence = SpanRate(), 3 * WINDOW
    rates = []
    for number in range(400):
        late = silence if number >= 200 else 0.0
        if span.update(packet(number), arrived=5 + number * GAP + late, acked_bytes=0, window=WINDOW):
            rates.append(span.rate)
    assert len(rates) > 50
    assert rates == pytest.approx([BOTTLENECK] * len(rates))


def test_what_is_delivered_is_measured_beside_it() -> None:
    span = SpanRate()
    acked = 0
    for number in range(0, 1000, 2):  # every other packet is lost
        acked += SIZE
        span.update(packet(number), arrived=5 + number * GAP, acked_bytes=acked, window=WINDOW)
    assert span.rate == pytest.approx(BOTTLENECK)
    assert span.delivered == pytest.approx(BOTTLENECK / 2)


def test_a_pause_of_the_sender_is_not_taken_for_a_slow_path() -> None:
    span, pause = SpanRate(), 0.5
    for number in range(400):
        late = pause if number >= 200 else 0.0
        sent = packet(number, is_app_limited=number == 199)
        sent.time += late
        if span.update(sent, arrived=5 + number * GAP + late, acked_bytes=0, window=WINDOW):
            assert span.rate == pytest.approx(BOTTLENECK, rel=0.02)


def test_a_step_is_no_silence_where_the_next_packet_was_sent_right_behind() -> None:
    """A path far thinner than was assumed takes longer for a packet than the window that was assumed for it."""
    span, step = SpanRate(), 3 * WINDOW
    for number in range(6):
        span.update(packet(number), arrived=number * step, acked_bytes=0, window=WINDOW, longest_step=2 * step)
    assert span.rate == pytest.approx(SIZE / step)
    span.forget()
    for number in range(6, 12):
        late = packet(number, gap=step)
        assert not span.update(late, arrived=number * step, acked_bytes=0, window=WINDOW, longest_step=2 * step)

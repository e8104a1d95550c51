"""Datagrams leave at the rate, in small bursts at the most, and urgent ones borrow a little."""

from __future__ import annotations

import itertools

import pytest

from ghost.reliability.pacing import (
    BURST_SECONDS,
    GATHER_SECONDS,
    GATHER_SECONDS_LOSSY,
    LEAST_BURST,
    URGENT_SECONDS,
    Pacer,
)

SIZE = 1480
TOLERANCE = 1e-6


def drain(pacer: Pacer, *, until: float, is_urgent: bool = False) -> list[float]:
    """When datagrams leave if there is always one to send and the timer is exact."""
    times, now = [], 0.0
    while now <= until:
        if pacer.may_send_urgent(now) if is_urgent else pacer.may_send(now):
            pacer.on_sent(SIZE)
            times.append(now)
        else:
            due = pacer.next_urgent_time() if is_urgent else pacer.next_time()
            assert due > now, "a pacer that asks for the same instant again hangs its driver"
            now = due
    return times


@pytest.mark.parametrize("rate", [8_000.0, 1.25e6, 12.5e6])
@pytest.mark.parametrize("is_urgent", [False, True])
def test_in_the_long_run_the_rate_is_kept(rate: float, is_urgent: bool) -> None:
    seconds = 2000 * SIZE / rate
    sent = len(drain(Pacer(rate, 0.0), until=seconds, is_urgent=is_urgent)) * SIZE
    burst = max(LEAST_BURST, rate * BURST_SECONDS) + max(2 * LEAST_BURST, rate * URGENT_SECONDS)
    gathering = rate * GATHER_SECONDS  # for those that have not left by the end
    assert rate * seconds - SIZE - gathering <= sent <= rate * seconds + burst + SIZE


@pytest.mark.parametrize("rate", [8_000.0, 1.25e6, 12.5e6])
def test_after_a_long_rest_only_a_small_burst_leaves_at_once(rate: float) -> None:
    pacer = Pacer(rate, 0.0)
    assert pacer.may_send(3600.0)
    sent = 0
    while pacer.may_send(3600.0):
        pacer.on_sent(SIZE)
        sent += SIZE
    assert sent <= max(LEAST_BURST, rate * BURST_SECONDS) + SIZE


def test_the_next_time_is_when_sending_is_allowed_and_not_before() -> None:
    pacer = Pacer(1e5, 0.0)
    while pacer.may_send(0.0):
        pacer.on_sent(SIZE)
    due = pacer.next_time()
    assert not pacer.may_send(due - 1e-4)
    assert pacer.may_send(due + TOLERANCE)


def test_urgent_datagrams_borrow_and_the_others_wait_until_it_is_paid_back() -> None:
    pacer = Pacer(1e5, 0.0)
    while pacer.may_send(0.0):
        pacer.on_sent(SIZE)
    borrowed = 0
    while pacer.may_send_urgent(0.0):
        pacer.on_sent(SIZE)
        borrowed += SIZE
    assert 0 < borrowed <= max(2 * LEAST_BURST, 1e5 * URGENT_SECONDS) + SIZE
    due = pacer.next_urgent_time()
    assert 0 < due < pacer.next_time()
    assert pacer.may_send_urgent(due + TOLERANCE)
    assert not pacer.may_send(due + TOLERANCE)


def test_what_leaves_whatever_was_borrowed_does_not_keep_the_others_waiting_for_ever() -> None:
    pacer = Pacer(1e5, 0.0)
    for _ in range(1000):
        pacer.on_sent(SIZE)
    assert pacer.next_time() < (2 * LEAST_BURST + 2 * SIZE) / 1e5


def test_a_new_rate_counts_from_now_on() -> None:
    pacer = Pacer(1e5, 0.0)
    while pacer.may_send(0.0):
        pacer.on_sent(SIZE)
    slow = pacer.next_time()
    pacer.pace(5e5)
    assert pacer.next_time() == pytest.approx(slow / 5, rel=0.1)


@pytest.mark.parametrize("gather", [GATHER_SECONDS, GATHER_SECONDS_LOSSY])
def test_at_a_high_rate_they_leave_by_the_few_and_nobody_waits_longer_for_that(gather: float) -> None:
    def leave(rate: float) -> list[float]:
        pacer = Pacer(rate, 0.0)
        pacer.pace(rate, gather=gather)
        return drain(pacer, until=1.0)

    times = leave(5e3 / gather)
    turns = sorted(set(times))
    assert len(times) > 2.5 * len(turns)
    assert max(later - earlier for earlier, later in itertools.pairwise(turns)) < gather
    slow = leave(SIZE / 3 / gather)
    assert len(set(slow[2:])) == len(slow[2:])

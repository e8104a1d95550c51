"""What has arrived is told soon enough, often enough, and in a bounded number of bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.constants import PATIENCE
from ghost.reliability.acks import (
    ACK_EVERY,
    LEAST_GAP,
    MAX_ACK_DELAY,
    MAX_BITMAP_BITS,
    MAX_OWED,
    REPEATS,
    AckTracker,
)


def told(tracker: AckTracker) -> set[int]:
    """The packet numbers that an acknowledgement sent now would name."""
    first, bitmap = tracker.state()
    return {first + bit for bit in range(bitmap.bit_length()) if bitmap >> bit & 1}


def receive(tracker: AckTracker, *numbers: int, now: float = 0.0, is_ack_eliciting: bool = True) -> None:
    for number in numbers:
        tracker.on_packet(number, is_ack_eliciting=is_ack_eliciting, now=now)


def test_nothing_received_asks_for_nothing() -> None:
    assert AckTracker().deadline is None


def test_one_packet_is_acknowledged_after_the_longest_delay() -> None:
    tracker = AckTracker()
    receive(tracker, 0, now=5.0)
    assert tracker.deadline == pytest.approx(5.0 + MAX_ACK_DELAY)
    assert told(tracker) == {0}


def test_a_later_packet_does_not_put_off_the_deadline() -> None:
    tracker = AckTracker()
    receive(tracker, 0, now=5.0)
    tracker.on_sent()
    receive(tracker, 1, now=5.0)
    receive(tracker, 2, now=5.0 + LEAST_GAP / 2)
    assert tracker.deadline == pytest.approx(5.0 + MAX_ACK_DELAY)


def test_the_first_two_packets_after_a_pause_are_told_of_at_once() -> None:
    tracker = AckTracker()
    receive(tracker, 0, now=5.0)
    assert tracker.deadline == pytest.approx(5.0 + MAX_ACK_DELAY)
    receive(tracker, 1, now=5.001)
    assert tracker.deadline == 5.001


def test_a_run_of_packets_is_acknowledged_at_its_end() -> None:
    tracker = AckTracker()
    receive(tracker, 0, now=5.0)
    tracker.on_sent()
    receive(tracker, *range(1, ACK_EVERY), now=5.0)
    assert tracker.deadline == pytest.approx(5.0 + MAX_ACK_DELAY)
    receive(tracker, ACK_EVERY, now=5.0)
    assert tracker.deadline == 5.0


def test_a_gap_is_told_at_once() -> None:
    tracker = AckTracker()
    receive(tracker, 0, 2, now=5.0)
    assert tracker.deadline == 5.0
    assert told(tracker) == {0, 2}


def test_acknowledgements_are_not_acknowledged_by_themselves() -> None:
    tracker = AckTracker()
    receive(tracker, *range(100), is_ack_eliciting=False)
    assert tracker.deadline is None
    assert told(tracker) == set(range(100))


def test_sending_settles_the_deadline_and_repeats_what_was_told() -> None:
    tracker = AckTracker()
    receive(tracker, 0, 1)
    tracker.on_sent()
    assert tracker.deadline is None
    receive(tracker, 3)
    assert told(tracker) == {0, 1, 3}


def test_a_late_packet_becomes_the_newest_and_not_the_largest() -> None:
    tracker = AckTracker()
    receive(tracker, 5, now=1.0)
    receive(tracker, 3, now=2.0)
    assert (tracker.largest, tracker.newest, tracker.newest_time) == (5, 3, 2.0)
    assert told(tracker) == {3, 5}


def test_a_packet_that_asks_for_nothing_does_not_become_the_newest() -> None:
    tracker = AckTracker()
    receive(tracker, 5, now=1.0)
    receive(tracker, 6, now=2.0, is_ack_eliciting=False)
    assert (tracker.largest, tracker.newest, tracker.newest_time) == (6, 5, 1.0)


def answers(tracker: AckTracker) -> int:
    """How many acknowledgements leave before none is due any more."""
    count = 0
    while tracker.deadline is not None:
        tracker.on_sent()
        count += 1
        assert count < 100
    return count


@pytest.mark.parametrize(("probes", "expected"), [(0, 1), (1, 1), (3, 3), (MAX_OWED, MAX_OWED), (50, MAX_OWED)])
def test_every_probe_has_an_answer_of_its_own_up_to_a_limit(probes: int, expected: int) -> None:
    tracker = AckTracker()
    receive(tracker, 0, 1, 2, now=5.0)
    for number in range(3, 3 + probes):
        tracker.on_packet(number, is_ack_eliciting=True, is_urgent=True, now=5.0)
    assert not probes or tracker.deadline == 5.0
    assert answers(tracker) == expected
    receive(tracker, 3 + probes)
    assert answers(tracker) == 1, "nothing is owed any more"


def test_answers_to_probes_do_not_use_up_the_memory_of_what_was_told() -> None:
    tracker = AckTracker()
    receive(tracker, 0)
    for number in range(1, 1 + REPEATS):
        for _ in range(MAX_OWED):
            tracker.on_packet(number, is_ack_eliciting=True, is_urgent=True, now=5.0)
        assert answers(tracker) == MAX_OWED
    assert told(tracker) == set(range(1 + REPEATS))


@pytest.mark.parametrize("seed", range(5))
def test_losing_half_of_the_acknowledgements_loses_nothing(seed: int) -> None:
    rng = random.Random(seed)
    tracker, arrived, heard = AckTracker(), set(), set()
    for number in range(5000):
        now = number * 0.001
        if rng.random() < 0.5:
            arrived.add(number)
            receive(tracker, number, now=now)
        if tracker.deadline is not None and tracker.deadline <= now:
            if rng.random() < 0.5:
                heard |= told(tracker)
            tracker.on_sent()
    heard |= told(tracker)
    assert heard == arrived, f"seed {seed}"


@given(st.lists(st.tuples(st.integers(0, 5000), st.booleans()), max_size=200))
def test_what_is_told_is_true_and_bounded_whatever_arrives(steps: list[tuple[int, bool]]) -> None:
    tracker, arrived = AckTracker(), set()
    for jump, is_sent in steps:
        number = tracker.largest + jump - 40
        if number >= 0 and number not in arrived:
            arrived.add(number)
            receive(tracker, number)
            assert tracker.largest in told(tracker)
        assert told(tracker) <= arrived
        assert tracker.state()[1].bit_length() <= MAX_BITMAP_BITS
        if is_sent:
            tracker.on_sent()


def test_a_jump_of_a_billion_packets_costs_no_memory() -> None:
    tracker = AckTracker()
    receive(tracker, 0, 1 << 30, (1 << 30) + 1)
    assert told(tracker) == {1 << 30, (1 << 30) + 1}
    assert tracker.state()[1].bit_length() <= MAX_BITMAP_BITS


def test_a_patient_packet_waits_for_company_until_one_comes_that_does_not() -> None:
    tracker = AckTracker()
    tracker.on_packet(0, is_ack_eliciting=True, is_patient=True, now=5.0)
    tracker.on_packet(1, is_ack_eliciting=True, is_patient=True, now=5.1)
    assert tracker.deadline == pytest.approx(5.0 + PATIENCE)
    receive(tracker, 2, now=5.11)
    assert tracker.deadline is not None
    assert tracker.deadline <= 5.11 + MAX_ACK_DELAY


def test_a_run_says_it_all_where_patient_packets_came_without_a_gap() -> None:
    tracker = AckTracker()
    for number in range(300):
        tracker.on_packet(number, is_ack_eliciting=True, is_patient=True, now=number)
        assert min(number + 1, REPEATS) <= tracker.run() <= min(number + 1, REPEATS + 2)
        tracker.on_sent()


@pytest.mark.parametrize("numbers", [(0, 2), (1,)])
def test_a_gap_wants_more_than_a_run(numbers: tuple[int, ...]) -> None:
    tracker = AckTracker()
    for number in numbers:
        tracker.on_packet(number, is_ack_eliciting=True, is_patient=True, now=0.0)
    assert tracker.run() == 0


def test_what_does_not_wait_wants_more_than_a_run() -> None:
    tracker = AckTracker()
    tracker.on_packet(0, is_ack_eliciting=True, is_patient=True, now=0.0)
    receive(tracker, 1)
    assert tracker.run() == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_run_is_booked_as_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    alone, together = AckTracker(), AckTracker()
    number, now = 0, 0.0
    for _ in range(60):
        number += rng.choice((0, 0, 0, 1, 40))
        count = rng.choice((1, 2, 3, 9, 10, 64))
        for packet in range(number, number + count):
            alone.on_packet(packet, is_ack_eliciting=True, now=now)
        together.on_run(number, count, now)
        number += count
        for name in ("largest", "newest", "newest_time", "deadline"):
            assert getattr(together, name) == getattr(alone, name)
        assert told(together) >= told(alone) or told(alone) >= told(together)  # what lies far back may go earlier
        assert {n for n in told(together) if n > number - 900} == {n for n in told(alone) if n > number - 900}
        if rng.random() < 0.5:
            alone.on_sent()
            together.on_sent()
        now += rng.choice((0.0, 0.001, 0.02))


def patient(tracker: AckTracker, number: int, now: float) -> None:
    tracker.on_packet(number, is_ack_eliciting=True, is_patient=True, now=now)


def test_good_news_that_may_wait_rests_while_a_packet_leaves_often() -> None:
    tracker = AckTracker()
    patient(tracker, 0, now=1.0)
    assert tracker.may_rest(1.0, interval=PATIENCE / 3)
    assert not tracker.may_rest(1.0, interval=PATIENCE / 2), "the next packet might be too late for it"
    patient(tracker, 1, now=1.0 + PATIENCE / 3)
    assert not tracker.may_rest(1.0 + PATIENCE / 2, interval=PATIENCE / 3)


def test_what_is_missing_or_asked_for_soon_does_not_rest() -> None:
    tracker = AckTracker()
    patient(tracker, 0, now=1.0)
    patient(tracker, 2, now=1.0)
    assert not tracker.may_rest(1.0, interval=0.0)
    tracker = AckTracker()
    receive(tracker, 0, now=1.0)
    assert not tracker.may_rest(1.0, interval=0.0)

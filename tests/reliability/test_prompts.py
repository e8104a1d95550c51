"""Prompt records: copies ahead of loss within a budget, nothing stale, nothing for ever."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from ghost.reliability.prompts import (
    BUDGET_SECONDS,
    BUDGET_SHARE,
    BURST_COPIES,
    COPY_GAP,
    COPY_OVERHEAD,
    FIRST_GAP,
    HEAVY_LOSS,
    HEAVY_RESIDUAL,
    LIFETIME,
    MAX_COPIES,
    MAX_IN_FLIGHT,
    MAX_WAITING_BYTES,
    MEASURED_SECONDS,
    MOST_AGAIN,
    RESIDUAL,
    RIDE_OVERHEAD,
    TRUST,
    CarriedRate,
    PromptSender,
    copies_for,
)

SRTT = 0.1
RATE = 1e6  # bytes a second


def sent_between(
    sender: PromptSender, *, start: float, end: float, copies: int, rate: float = RATE, is_spaced: bool = False
) -> list[tuple[float, int]]:
    """(time, prompt id) of everything that leaves, with a driver that wakes when it is asked to."""
    sent, now = [], start
    while now <= end:
        while (record := sender.next_record(now, SRTT)) is not None:
            sender.on_sent(record, now=now, copies=copies, rate=rate, is_spaced=is_spaced)
            sent.append((now, record.prompt_id))
        due = sender.next_time()
        if due is None:
            break
        assert due > now, "a timer for the present hangs its driver"
        now = due
    return sent


def pushed(*records: bytes, now: float = 1.0, stale_key: bytes | None = None) -> PromptSender:
    sender = PromptSender(0.0)
    for record in records:
        sender.push(record, now=now, stale_key=stale_key)
    return sender


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.6])
def test_copies_leave_half_a_percent_to_retransmission(loss: float) -> None:
    copies = copies_for(loss, 1.0)
    residual = HEAVY_RESIDUAL if loss >= HEAVY_LOSS else RESIDUAL
    assert loss**copies <= residual or copies == MAX_COPIES
    assert copies == 2 or loss ** (copies - 1) > residual


def test_a_clean_path_gets_no_copies_and_bursts_get_few() -> None:
    assert copies_for(0.0, 1.0) == 1
    assert copies_for(0.004, 1.0) == 1
    assert copies_for(0.5, 10.0) == BURST_COPIES
    assert copies_for(1.0, 1.0) == MAX_COPIES


def test_records_leave_in_their_order() -> None:
    sender = pushed(b"a", b"b", b"c")
    assert sender.next_time() is not None
    assert [prompt_id for _, prompt_id in sent_between(sender, start=1.0, end=2.0, copies=1)] == [0, 1, 2]
    assert sender.next_time() is None


@pytest.mark.parametrize("is_spaced", [False, True])
def test_copies_are_spaced_in_time_and_counted(is_spaced: bool) -> None:
    sent = sent_between(pushed(b"x" * 100), start=1.0, end=2.0, copies=5, is_spaced=is_spaced)
    assert [prompt_id for _, prompt_id in sent] == [0] * 5
    gaps = [later - time for (time, _), (later, _) in pairwise(sent)]
    assert gaps == pytest.approx([COPY_GAP if is_spaced else FIRST_GAP, *[COPY_GAP] * 3])


def test_a_first_copy_passes_the_later_copies_of_others() -> None:
    sender = pushed(b"a")
    early = sent_between(sender, start=1.0, end=1.0 + 1.5 * FIRST_GAP, copies=3)
    now = 1.0 + FIRST_GAP + COPY_GAP / 2
    sender.push(b"b", now=now, stale_key=None)
    late = sent_between(sender, start=now, end=2.0, copies=3)
    assert [prompt_id for _, prompt_id in early + late] == [0, 0, 1, 1, 0, 1]
    assert [time for time, _ in late] == sorted(time for time, _ in late)


def test_an_acknowledgement_ends_the_copies() -> None:
    sender = pushed(b"x")
    assert len(sent_between(sender, start=1.0, end=1.0 + FIRST_GAP * 1.5, copies=8)) == 2
    sender.on_acked(0)
    assert sent_between(sender, start=1.01, end=2.0, copies=8) == []


def test_where_first_transmissions_take_more_than_the_share_nothing_is_copied() -> None:
    sender, size, rate = PromptSender(0.0), 200, 8_000.0
    sent = 0
    for step in range(1000):
        now = 1.0 + step * 0.02
        sender.push(bytes(size), now=now, stale_key=None)
        sent += len(sent_between(sender, start=now, end=now + 0.019, copies=8, rate=rate))
    extra = (sent - 1000) * (size + RIDE_OVERHEAD)
    assert extra <= 2 * rate * BUDGET_SHARE * BUDGET_SECONDS, "what was saved and what may be owed, once"


def test_a_copy_without_a_datagram_of_its_own_rides_with_the_next_one() -> None:
    sender = pushed(b"a" * 100)
    assert sent_between(sender, start=1.0, end=1.5, copies=3, rate=2000.0) == [(1.0, 0)]
    assert sender.has_riders
    assert sender.next_time() is None, "it never leaves by itself"
    sender.push(b"b" * 100, now=1.05, stale_key=None)
    assert [prompt_id for _, prompt_id in sent_between(sender, start=1.05, end=1.5, copies=1, rate=2000.0)] == [1, 0]
    sender.push(b"c" * 100, now=1.1, stale_key=None)
    assert [prompt_id for _, prompt_id in sent_between(sender, start=1.1, end=1.5, copies=1, rate=2000.0)] == [2]


def test_what_was_lost_before_it_could_ride_is_sent_again() -> None:
    sender = pushed(b"a" * 100)
    sent_between(sender, start=1.0, end=1.1, copies=3, rate=2000.0)
    sender.on_lost(0)
    assert sent_between(sender, start=1.2, end=1.3, copies=1, rate=2000.0) == [(1.2, 0)]


def test_what_arrived_does_not_ride() -> None:
    sender = pushed(b"a" * 100)
    sent_between(sender, start=1.0, end=1.1, copies=3, rate=2000.0)
    sender.on_acked(0)
    sender.push(b"b" * 100, now=1.2, stale_key=None)
    assert [prompt_id for _, prompt_id in sent_between(sender, start=1.2, end=1.5, copies=1, rate=2000.0)] == [1]


def test_first_transmissions_are_paid_from_the_same_share() -> None:
    sender, size, rate = PromptSender(0.0), 60, 16_000.0
    sent = []
    for step in range(400):
        now = 1.0 + step * 0.1
        sender.push(bytes(size), now=now, stale_key=None)
        sent += sent_between(sender, start=now, end=now + 0.09, copies=8, rate=rate)
    bytes_per_second = len(sent) * (size + COPY_OVERHEAD) / 40
    assert 0.7 * rate * BUDGET_SHARE <= bytes_per_second <= 1.2 * rate * BUDGET_SHARE, "some rode for less"
    assert len(sent) > 2 * 400


def test_a_peer_that_says_how_thin_the_path_is_bounds_copies_until_it_is_trusted_again() -> None:
    carried = CarriedRate()
    carried.on_pace(8_000, 5.0)
    assert carried.rate == 8_000
    carried.update(has_queue=False, sent=0, arrived=0, loss=0.0, now=5.0 + TRUST[0] * 0.9)
    assert carried.rate == 8_000
    carried.update(has_queue=False, sent=0, arrived=0, loss=0.0, now=5.0 + TRUST[0] * 1.1)
    assert carried.rate == 16_000


def test_a_path_that_never_carries_more_is_tried_less_and_less_often() -> None:
    carried, now, tries = CarriedRate(), 0.0, []
    carried.on_pace(8_000, now)
    while now < 1000:
        now += 1
        carried.update(has_queue=False, sent=0, arrived=0, loss=0.0, now=now)
        if carried.rate > 8_000:
            tries.append(now)
            carried.on_pace(8_000, now)
    assert tries[1] - tries[0] < tries[2] - tries[1]
    assert tries[-1] - tries[-2] == pytest.approx(TRUST[1], abs=2)
    carried.on_pace(100_000, now)
    carried.update(has_queue=False, sent=0, arrived=0, loss=0.0, now=now + TRUST[0] + 1)
    assert carried.rate == 200_000, "one that does is tried again soon"


def test_a_lost_record_is_sent_again_only_when_no_copy_is_under_way() -> None:
    sender = pushed(b"x")
    assert len(sent_between(sender, start=1.0, end=1.1, copies=2)) == 2
    sender.on_lost(0)
    assert sent_between(sender, start=1.2, end=1.3, copies=1) == []
    sender.on_lost(0)
    assert sent_between(sender, start=1.2, end=1.3, copies=1) == [(1.2, 0)]


def test_a_record_past_its_time_is_not_sent_again() -> None:
    sender = pushed(b"x", now=1.0)
    assert len(sent_between(sender, start=1.0, end=1.0, copies=1)) == 1
    sender.on_lost(0)
    too_late = 1.0 + LIFETIME + 4 * SRTT + 0.01
    assert sent_between(sender, start=too_late, end=too_late + 1, copies=1) == []
    assert sender.next_time() is None


def test_a_newer_record_makes_the_older_one_worthless() -> None:
    sender = pushed(b"ack 1", stale_key=b"flow")
    assert len(sent_between(sender, start=1.0, end=1.1, copies=5)) == 1
    sender.push(b"ack 2", now=1.2, stale_key=b"flow")
    assert [prompt_id for _, prompt_id in sent_between(sender, start=1.2, end=1.3, copies=5)] == [1]
    sender.on_lost(0)
    assert sent_between(sender, start=1.4, end=1.5, copies=5) == []
    sender.on_lost(1)
    assert [prompt_id for _, prompt_id in sent_between(sender, start=1.4, end=1.5, copies=5)] == [1]


def test_other_flows_records_stay_worth_sending() -> None:
    sender = pushed(b"ack 1", stale_key=b"one flow")
    sent_between(sender, start=1.0, end=1.1, copies=1)
    sender.push(b"ack 1", now=1.2, stale_key=b"another flow")
    sent_between(sender, start=1.2, end=1.3, copies=1)
    sender.on_lost(0)
    assert [prompt_id for _, prompt_id in sent_between(sender, start=1.4, end=1.5, copies=1)] == [0]


def test_a_record_that_did_not_fit_keeps_its_place() -> None:
    sender = pushed(b"a", b"b")
    record = sender.next_record(1.0, SRTT)
    assert record is not None
    sender.put_back(record)
    assert [prompt_id for _, prompt_id in sent_between(sender, start=1.0, end=1.1, copies=1)] == [0, 1]


def test_what_waits_and_what_is_in_flight_is_bounded() -> None:
    sender, size = PromptSender(0.0), 1200
    for _ in range(1000):
        sender.push(bytes(size), now=1.0, stale_key=None)
    waiting = math.floor(MAX_WAITING_BYTES / size)
    assert sender.dropped == 1000 - waiting
    assert len(sent_between(sender, start=1.0, end=1.1, copies=1)) == waiting
    for step in range(2 * MAX_IN_FLIGHT):
        sender.push(b"x", now=1.2, stale_key=None)
        sent_between(sender, start=1.2 + step * 1e-6, end=1.2 + step * 1e-6, copies=1)
    assert sender.dropped == 1000 - waiting + waiting + MAX_IN_FLIGHT


def test_what_is_held_leaves_when_its_time_has_come() -> None:
    sender = PromptSender(now=0.0)
    sender.push(b"ack", now=1.0, stale_key=b"flow", hold=0.15)
    sender.push(b"newer", now=1.1, stale_key=b"flow", hold=0.15)
    assert sender.next_time() == pytest.approx(1.15), "the first one's time, or they could wait for ever"
    record = sender.next_record(1.15, SRTT)
    assert record is not None
    assert record.data == b"newer"
    assert sender.next_record(1.15, SRTT) is None


def test_what_is_held_leaves_with_whatever_leaves() -> None:
    sender = PromptSender(now=0.0)
    sender.push(b"ack", now=1.0, stale_key=b"flow", hold=0.15)
    assert sender.has_held
    sender.push(b"query", now=1.0, stale_key=None)
    assert sender.next_time() == 1.0
    left = [record.data for _ in range(2) if (record := sender.next_record(1.0, SRTT)) is not None]
    assert left == [b"query", b"ack"]
    assert not sender.has_held


def test_what_is_held_never_leaves_when_its_flow_says_more() -> None:
    sender = PromptSender(now=0.0)
    sender.push(b"ack", now=1.0, stale_key=b"flow", hold=0.15)
    sender.supersede(b"other")
    assert sender.has_held
    sender.supersede(b"flow")
    assert sender.next_time() is None
    assert sender.next_record(2.0, SRTT) is None


def test_what_is_held_gives_way_to_one_in_a_hurry() -> None:
    sender = PromptSender(now=0.0)
    sender.push(b"ack", now=1.0, stale_key=b"flow", hold=0.15)
    sender.push(b"gap", now=1.0, stale_key=b"flow")
    left = [record.data for _ in range(2) if (record := sender.next_record(1.0, SRTT)) is not None]
    assert left == [b"gap"]


def test_a_queue_of_prompts_alone_tells_what_the_path_carries() -> None:
    carried = CarriedRate()
    for step in range(11):
        carried.update(has_queue=step > 0, sent=3200 * step, arrived=800 * step, loss=0.2, now=1 + 0.1 * step)
    assert carried.rate == pytest.approx(800 / 0.1 / 0.8)
    carried.update(has_queue=False, sent=36_000, arrived=9000, loss=0.2, now=2.5)
    assert carried.rate == pytest.approx(10_000), "an empty queue says nothing yet"
    carried.update(has_queue=False, sent=36_000, arrived=9000, loss=0.2, now=2.6 + TRUST[0])
    assert carried.rate == pytest.approx(20_000)


def test_somebody_elses_queue_says_nothing_of_the_path() -> None:
    carried = CarriedRate()
    for step in range(100):
        carried.update(has_queue=True, sent=1000 * step, arrived=800 * step, loss=0.2, now=step * 0.1)
    assert carried.rate == math.inf


def test_without_a_queue_nothing_is_known() -> None:
    carried = CarriedRate()
    for step in range(100):
        carried.update(has_queue=step % 3 == 0, sent=2 * step, arrived=step, loss=0.0, now=step * 0.1)
    assert carried.rate == math.inf


def test_what_a_path_carries_bounds_its_copies_whatever_its_rate_is_guessed_at() -> None:
    sender, size = PromptSender(0.0), 100
    for step in range(2):
        sender.carried.update(
            has_queue=True, sent=8000 * step, arrived=4000 * step, loss=0.0, now=step * MEASURED_SECONDS
        )
    sent = []
    for step in range(1000):
        now = 1.0 + step * 0.02
        sender.push(bytes(size), now=now, stale_key=None)
        sent += sent_between(sender, start=now, end=now + 0.019, copies=8)
    copies = (len(sent) - 1000) * (size + COPY_OVERHEAD)
    assert 0 < copies <= 8000 * BUDGET_SHARE * (20 + BUDGET_SECONDS) + RATE * BUDGET_SHARE * BUDGET_SECONDS


def test_after_a_move_what_is_under_way_goes_once_more_in_its_order_and_before_the_rest() -> None:
    sender = pushed(b"a", b"b", b"c")
    sent_between(sender, start=1.0, end=1.01, copies=1)
    sender.on_acked(1)
    sender.push(b"d", now=1.1, stale_key=None)
    sender.on_path_change()
    assert [prompt_id for _, prompt_id in sent_between(sender, start=1.1, end=1.2, copies=1)] == [0, 2, 3]
    sender.on_path_change()
    sender.on_path_change()
    assert [prompt_id for _, prompt_id in sent_between(sender, start=1.2, end=1.3, copies=1)] == [0, 2, 3]


def test_after_a_move_only_the_newest_of_many_go_again() -> None:
    sender = pushed(*[b"x"] * 200)
    sent_between(sender, start=1.0, end=1.01, copies=1)
    sender.on_path_change()
    again = [prompt_id for _, prompt_id in sent_between(sender, start=1.1, end=1.2, copies=1)]
    assert again == list(range(200 - MOST_AGAIN, 200))

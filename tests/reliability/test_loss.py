"""Which packets are lost, told as stories; time in round trips of 100 ms."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from ghost.reliability.loss import (
    BEHIND_MOST,
    CALM,
    LATENESS_MEMORY,
    MAX_PACKET_THRESHOLD,
    PACKET_THRESHOLD,
    TIME_THRESHOLD,
    AckOutcome,
    LossDetector,
    SentPacket,
)

SRTT = 0.100
SIZE = 1000


def send(detector: LossDetector, *numbers: int, time: float = 0.0) -> None:
    for number in numbers:
        detector.on_sent(
            SentPacket(
                number=number, time=time, size=SIZE, sent_bytes=SIZE * (number + 1), sources=0, repairs=0,
                symbol=number, prompts=(), is_app_limited=False,
            )
        )  # fmt: skip


def ack(
    detector: LossDetector,
    numbers: Iterable[int],
    *,
    newest: int | None = None,
    loss: float = 1.0,
    burst: float = 1.0,
    now: float = SRTT,
) -> AckOutcome:
    """Without `newest` the last of `numbers` arrived last; the path may lose anything, so that nothing overtakes."""
    numbers = list(numbers)
    first, newest = min(numbers), numbers[-1] if newest is None else newest
    bitmap = sum(1 << (number - first) for number in numbers)
    return detector.on_ack(first, bitmap, newest=newest, loss=loss, burst=burst, now=now, srtt=SRTT)


def ids(packets: Iterable[SentPacket]) -> list[int]:
    return [packet.number for packet in packets]


def test_what_is_acknowledged_leaves_the_path() -> None:
    detector = LossDetector()
    send(detector, 0, 1, 2)
    assert detector.bytes_in_flight == 3 * SIZE
    outcome = ack(detector, [0, 2])
    assert (ids(outcome.acked), ids(outcome.lost), outcome.spurious) == ([0, 2], [], 0)
    assert outcome.reference is not None
    assert outcome.reference.number == detector.reference == 2
    assert detector.bytes_in_flight == SIZE
    assert len(detector) == 1


def test_an_acknowledgement_told_again_changes_nothing() -> None:
    detector = LossDetector()
    send(detector, 0, 1)
    ack(detector, [0, 1])
    outcome = ack(detector, [0, 1])
    assert (outcome.acked, outcome.lost, outcome.reference, outcome.spurious) == ([], [], None, 0)


def test_a_packet_overtaken_by_the_threshold_is_lost() -> None:
    detector = LossDetector()
    send(detector, *range(10))
    assert ids(ack(detector, [PACKET_THRESHOLD - 1]).lost) == []
    assert ids(ack(detector, [PACKET_THRESHOLD]).lost) == [0]
    assert ids(ack(detector, [9]).lost) == [1, 4, 5, 6]


def test_a_packet_overtaken_by_one_waits_for_nine_eighths_of_a_round_trip() -> None:
    detector = LossDetector()
    send(detector, 0, 1, time=1.0)
    assert ids(ack(detector, [1], now=1.0 + SRTT).lost) == []
    due = detector.next_loss_time(SRTT)
    assert due == pytest.approx(1.0 + TIME_THRESHOLD * SRTT)
    assert due is not None
    assert detector.on_timeout(now=due - 0.001, srtt=SRTT) == []
    assert ids(detector.on_timeout(now=due, srtt=SRTT)) == [0]
    assert detector.bytes_in_flight == 0


def test_a_tail_without_any_acknowledgement_is_never_declared_lost() -> None:
    detector = LossDetector()
    send(detector, 0, 1, 2)
    assert detector.next_loss_time(SRTT) is None
    assert detector.on_timeout(now=60.0, srtt=SRTT) == []
    assert len(detector) == 3


def test_a_lost_packet_that_turns_up_raises_the_threshold_to_the_reordering_seen() -> None:
    detector = LossDetector()
    send(detector, *range(40))
    assert ids(ack(detector, [10]).lost) == list(range(8))
    outcome = ack(detector, [10, 0, 11])
    assert (ids(outcome.acked), outcome.spurious) == ([11], 1)
    assert detector.threshold == 12
    assert ids(ack(detector, [18]).lost) == []
    outcome = ack(detector, [18, 8, 9, *range(12, 18)], newest=17)
    assert (ids(outcome.acked), outcome.lost, outcome.spurious) == ([8, 9, *range(12, 18)], [], 0)


def test_the_threshold_falls_again_where_nothing_turns_up() -> None:
    detector = LossDetector()
    send(detector, *range(400))
    ack(detector, [10])
    ack(detector, [10, 0, 11])
    thresholds = []
    for newest in range(11 + CALM, 11 + 20 * CALM, CALM):
        ack(detector, range(newest - CALM + 1, newest + 1))
        thresholds.append(detector.threshold)
    assert thresholds == [*range(11, PACKET_THRESHOLD, -1), *[PACKET_THRESHOLD] * 11]


def test_an_overtaking_packet_is_acknowledged_and_says_nothing_of_those_before_it() -> None:
    detector = LossDetector()
    send(detector, *range(100))
    ack(detector, range(10), loss=0.0)
    outcome = ack(detector, [*range(10), 50], loss=0.0)
    assert (ids(outcome.acked), outcome.lost, outcome.reference) == ([50], [], None)
    assert (detector.reference, detector.next_loss_time(SRTT)) == (9, None)
    assert detector.on_timeout(now=60.0, srtt=SRTT) == []
    outcome = ack(detector, [50, *range(10, 20)], loss=0.0)
    assert (ids(outcome.acked), outcome.lost, detector.reference) == (list(range(10, 20)), [], 19)


def test_a_run_of_losses_on_a_path_that_loses_in_runs_is_no_overtaking() -> None:
    for burst, reference in ((1.0, 9), (8.0, 18)):
        detector = LossDetector()
        send(detector, *range(100))
        ack(detector, range(10), loss=0.1)
        ack(detector, [*range(10), 18], loss=0.1, burst=burst)
        assert detector.reference == reference


def test_one_behind_as_many_gaps_as_the_path_loses_overtakes_nothing() -> None:
    detector = LossDetector()
    send(detector, *range(100))
    ack(detector, range(10), loss=0.3)
    assert ids(ack(detector, range(13, 20), loss=0.3).lost) == [10, 11, 12]
    assert detector.reference == 19


def test_overtaking_for_longer_than_a_round_trip_is_a_path_that_began_to_lose() -> None:
    detector = LossDetector()
    send(detector, *range(100), time=1.0)
    ack(detector, range(10), loss=0.0, now=1.0)
    for number in range(20, 70, 10):
        assert ack(detector, [number], loss=0.0, now=1.0 + (number - 20) / 50 * SRTT).lost == []
    lost = ids(ack(detector, [70], loss=0.0, now=1.001 + SRTT).lost)
    assert (detector.reference, lost) == (70, [n for n in range(10, 68) if n not in (20, 30, 40, 50, 60)])


def test_a_reference_that_was_early_itself_is_given_up_when_others_keep_arriving_below_it() -> None:
    detector = LossDetector()
    send(detector, *range(100))
    ack(detector, range(10))
    ack(detector, [50])
    for number in range(10, 9 + BEHIND_MOST):
        assert ack(detector, [50, number]).reference is None
    assert detector.reference == 50
    outcome = ack(detector, [50, 9 + BEHIND_MOST])
    assert outcome.reference is not None
    assert outcome.reference.number == detector.reference == 9 + BEHIND_MOST
    assert outcome.spurious == 1


def test_stragglers_one_at_a_time_do_not_move_the_reference_back() -> None:
    detector = LossDetector()
    send(detector, *range(100))
    ack(detector, [50])
    for number in range(10, 20):
        assert ack(detector, [51 + number, number]).reference is None
        assert ack(detector, [52 + number]).reference is not None
        assert detector.reference == 52 + number


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_lateness_is_the_share_of_those_awaited_that_turn_up(share: float) -> None:
    """Of each ten packets the ninth is overtaken by the tenth; it comes late, or never."""
    detector, is_late = LossDetector(), False
    count = 20 * LATENESS_MEMORY
    for ten in range(count):
        first = 10 * ten
        send(detector, *range(first, first + 10))
        before = [first - 2] if is_late else []
        ack(detector, [*before, *range(first, first + 8), first + 9])
        is_late = ten % 2 < 2 * share
    assert detector.lateness == pytest.approx(share, abs=2 / LATENESS_MEMORY)


@pytest.mark.parametrize("newest", [-5, 3, 900, 1 << 40])
def test_a_newest_packet_that_does_not_await_its_fate_is_no_reference(newest: int) -> None:
    detector = LossDetector()
    send(detector, *range(10))
    ack(detector, range(4))
    outcome = ack(detector, range(4, 8), newest=newest)
    assert (ids(outcome.acked), outcome.lost, outcome.reference) == ([4, 5, 6, 7], [], None)
    assert detector.reference == 3


def test_the_threshold_has_a_limit() -> None:
    detector = LossDetector()
    send(detector, *range(1000))
    ack(detector, [998])
    assert ack(detector, [998, 0, 999]).spurious == 1
    assert detector.threshold == MAX_PACKET_THRESHOLD


def test_numbers_never_sent_are_ignored() -> None:
    detector = LossDetector()
    send(detector, 5)
    outcome = ack(detector, [3, 5, 900])
    assert (ids(outcome.acked), outcome.reference) == ([5], None)
    assert detector.reference == -1


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_every_packet_ends_acknowledged_or_lost_exactly_once(seed: int, loss: float) -> None:
    """A path that loses and reorders, acknowledgements that repeat themselves and get lost as well."""
    rng = random.Random(seed)
    count = 2000
    detector, fates, spurious = LossDetector(), [], 0
    arrivals = sorted((n + rng.expovariate(0.3), n) for n in range(count) if n == count - 1 or rng.random() > loss)
    arrived: list[int] = []
    for now in range(count + 200):
        if now < count:
            send(detector, now, time=now * 0.001)
        while arrivals and arrivals[0][0] <= now:
            arrived.append(arrivals.pop(0)[1])
        if arrived and ((now % 10 == 0 and rng.random() > loss) or now == count + 199):
            outcome = ack(detector, arrived[-500:], loss=loss, now=now * 0.001)
            fates += ids(outcome.acked) + ids(outcome.lost)
            spurious += outcome.spurious
        fates += ids(detector.on_timeout(now=now * 0.001, srtt=0.020))
    send(detector, count, time=count * 0.001)  # a probe, for the tail
    outcome = ack(detector, [*arrived[-500:], count])
    fates += ids(outcome.acked) + ids(outcome.lost)
    fates += ids(detector.on_timeout(now=1e6, srtt=0.020))
    assert sorted(fates) == list(range(count + 1)), f"seed {seed}, loss {loss}"
    assert (detector.bytes_in_flight, len(detector)) == (0, 0)
    assert spurious, "this path should reorder enough to fool the detector now and then"

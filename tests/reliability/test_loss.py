"""Which packets are lost, told as stories; time in round trips of 100 ms."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from ghost.reliability.loss import (
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


def ack(detector: LossDetector, numbers: Iterable[int], *, now: float = SRTT) -> AckOutcome:
    numbers = list(numbers)
    first = min(numbers)
    return detector.on_ack(first, sum(1 << (number - first) for number in numbers), now=now, srtt=SRTT)


def ids(packets: Iterable[SentPacket]) -> list[int]:
    return [packet.number for packet in packets]


def test_what_is_acknowledged_leaves_the_path() -> None:
    detector = LossDetector()
    send(detector, 0, 1, 2)
    assert detector.bytes_in_flight == 3 * SIZE
    outcome = ack(detector, [0, 2])
    assert (ids(outcome.acked), ids(outcome.lost), outcome.spurious) == ([0, 2], [], 0)
    assert outcome.largest is not None
    assert outcome.largest.number == 2
    assert detector.bytes_in_flight == SIZE
    assert len(detector) == 1


def test_an_acknowledgement_told_again_changes_nothing() -> None:
    detector = LossDetector()
    send(detector, 0, 1)
    ack(detector, [0, 1])
    outcome = ack(detector, [0, 1])
    assert (outcome.acked, outcome.lost, outcome.largest, outcome.spurious) == ([], [], None, 0)


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
    outcome = ack(detector, [0, 10])
    assert (outcome.acked, outcome.spurious) == ([], 1)
    assert detector.threshold == 12
    assert ids(ack(detector, [20]).lost) == [8]
    outcome = ack(detector, range(11, 20))
    assert (ids(outcome.acked), outcome.lost) == (list(range(11, 20)), [])


def test_the_threshold_has_a_limit() -> None:
    detector = LossDetector()
    send(detector, *range(1000))
    ack(detector, [999])
    assert ack(detector, [0, 999]).spurious == 1
    assert detector.threshold == MAX_PACKET_THRESHOLD


def test_numbers_never_sent_are_ignored() -> None:
    detector = LossDetector()
    send(detector, 5)
    outcome = ack(detector, [3, 5, 900])
    assert (ids(outcome.acked), outcome.largest) == ([5], None)
    assert detector.largest_acked == 5


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
            outcome = ack(detector, arrived[-500:], now=now * 0.001)
            fates += ids(outcome.acked) + ids(outcome.lost)
            spurious += outcome.spurious
        fates += ids(detector.on_timeout(now=now * 0.001, srtt=0.020))
    fates += ids(detector.on_timeout(now=1e6, srtt=0.020))
    assert sorted(fates) == list(range(count)), f"seed {seed}, loss {loss}"
    assert (detector.bytes_in_flight, len(detector)) == (0, 0)
    assert spurious, "this path should reorder enough to fool the detector now and then"

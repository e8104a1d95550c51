"""Symbols stay until the receiver knows them, and only a lost last transmission makes one missing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.constants import MAX_MEMBERS
from ghost.reliability.receive_window import ReceiveWindow
from ghost.reliability.send_window import MAX_SPAN, MAX_SYMBOLS, SendWindow
from ghost.wire import frames

LOW_BITS = (1 << 24) - 1


def filled(count: int) -> SendWindow:
    """Symbols 0 to count - 1, sent in packets of the same numbers."""
    window = SendWindow()
    for number in range(count):
        window.on_sent(window.add(b"%d" % number), number)
    return window


def members(window: SendWindow, limit: int) -> list[int]:
    first, bitmap = window.members(limit)
    return [first + offset for offset in range(bitmap.bit_length()) if bitmap >> offset & 1]


def test_a_symbol_in_flight_is_not_missing() -> None:
    window = filled(3)
    assert window.next_missing() is None
    assert (window.floor, window.next_id, len(window)) == (0, 3, 3)
    assert window.payload(1) == b"1"


def test_a_lost_symbol_is_missing_until_it_is_sent_again() -> None:
    window = filled(3)
    window.on_lost(2, 2)
    window.on_lost(1, 1)
    assert window.next_missing() == 1
    window.on_sent(1, 3)
    assert window.next_missing() == 2


def test_an_older_transmissions_loss_says_nothing_while_a_later_one_is_under_way() -> None:
    window = filled(1)
    window.on_lost(0, 0)
    window.on_sent(0, 1)
    window.on_lost(0, 0)
    assert window.next_missing() is None
    window.on_lost(0, 1)
    assert window.next_missing() == 0


def test_a_known_symbol_is_forgotten_however_it_became_known() -> None:
    window = filled(4)
    window.on_lost(0, 0)
    window.on_known(0)
    window.on_known(0)
    window.on_report(1, 0b10)  # not 1, not 2, but 3
    assert (window.next_missing(), window.floor, len(window)) == (None, 1, 2)
    window.on_lost(3, 3)
    assert window.next_missing() is None


def test_a_report_of_what_was_never_sent_changes_nothing() -> None:
    window = filled(3)
    window.on_report(4, 0)
    window.on_report(1000, (1 << 100) - 1)
    assert len(window) == 3


def test_bits_beyond_the_newest_symbol_change_nothing() -> None:
    window = filled(3)
    window.on_report(0, (1 << 2040) - 1)
    assert (window.floor, len(window), window.next_id) == (0, 1, 3)
    window.on_sent(window.add(b"3"), 3)
    assert len(window) == 2


def test_it_is_full_when_its_ends_lie_too_far_apart() -> None:
    window = filled(MAX_SYMBOLS)
    assert window.is_full
    window.on_known(1)
    assert window.is_full
    window.on_known(0)
    assert not window.is_full


def test_what_is_not_settled_may_be_on_its_way_and_does_not_count() -> None:
    window = filled(10)
    assert window.unknown_settled == 0
    window.settled = 5
    assert window.unknown_settled == 5
    window.on_known(2)
    window.on_known(7)
    assert window.unknown_settled == 4
    window.settled = 10
    assert window.unknown_settled == 8


def test_what_was_settled_before_the_receiver_learned_everything_does_not_count() -> None:
    window = filled(1000)
    window.settled = 5
    window.on_report(900, 0)
    assert (window.unknown_settled, window.is_codable(1)) == (0, True)
    assert members(window, 3) == [997, 998, 999]


def test_a_repair_covers_what_is_settled_and_missing_and_then_the_newest() -> None:
    window = filled(10)
    window.on_known(1)
    window.settled = 3
    assert members(window, 5) == [0, 2, 7, 8, 9]
    assert members(window, 2) == [0, 2]
    assert members(window, 100) == [0, 2, *range(3, 10)]


def test_a_repair_leaves_out_the_missing_where_there_are_too_many() -> None:
    window = filled(10)
    window.settled = 5
    assert not window.is_codable(4)
    assert members(window, 4) == [6, 7, 8, 9]
    window.settled = 10  # no others
    assert members(window, 4) == [0, 1, 2, 3]


def test_a_repair_reaches_over_all_that_is_under_way() -> None:
    window = filled(3 * MAX_SPAN)
    for symbol_id in range(1, 2 * MAX_SPAN):
        window.on_known(symbol_id)
    window.settled = 2 * MAX_SPAN
    assert members(window, 9) == [0, *range(3 * MAX_SPAN - 8, 3 * MAX_SPAN)]
    window.settled += 1
    assert not window.is_codable(1)
    assert members(window, 1) == [3 * MAX_SPAN - 1]


def test_a_repair_leaves_out_what_it_cannot_say() -> None:
    window = filled(3 * MAX_SPAN)
    for symbol_id in range(0, 2 * MAX_SPAN, 2):
        window.on_known(symbol_id)
    window.settled = MAX_SPAN
    assert window.is_codable(MAX_MEMBERS)
    assert members(window, MAX_MEMBERS) == list(range(1, MAX_SPAN, 2))
    window.settled = 2 * MAX_SPAN
    assert not window.is_codable(MAX_MEMBERS)
    assert members(window, MAX_MEMBERS) == list(range(2 * MAX_SPAN, 3 * MAX_SPAN))
    window.settled = 0  # it arrives out of order, and nobody knows yet
    assert members(window, MAX_MEMBERS) == list(range(2 * MAX_SPAN, 3 * MAX_SPAN))


def test_a_repair_is_over_the_oldest_where_the_newest_have_arrived() -> None:
    window = filled(100)
    for symbol_id in range(60, 100):
        window.on_known(symbol_id)
    window.settled = 30
    assert not window.is_codable(20)
    assert members(window, 20) == list(range(20))


@given(st.integers(1, 4096), st.integers(), st.floats(0, 1), st.integers(0, 4096), st.integers(0, 512))
def test_a_repair_is_always_over_something_that_is_unknown_and_can_say_so(
    count: int, seed: int, known: float, settled: int, limit: int
) -> None:
    window, rng = filled(count), random.Random(seed)
    for symbol_id in range(count):
        if rng.random() < known:
            window.on_known(symbol_id)
    window.settled = min(settled, count)
    if not len(window):
        return
    window.is_codable(limit)
    chosen = members(window, limit)
    assert 1 <= len(chosen) <= max(limit, 1)
    assert all(window.payload(symbol_id) for symbol_id in chosen)
    said = frames.Repair(1, chosen[0], sum(1 << symbol_id - chosen[0] for symbol_id in chosen), b"coded")
    assert frames.decode(frames.encode_repair(said)) == [said]


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 1 << 300)), max_size=30))
def test_no_report_however_wrong_breaks_it(reports: list[tuple[int, int]]) -> None:
    window = filled(300)
    known: set[int] = set()
    for floor, bitmap in reports:
        window.on_report(floor, bitmap)
        assert window.floor <= window.next_id == 300
        left = {symbol_id for symbol_id in range(300) if symbol_id not in known and _holds(window, symbol_id)}
        assert len(left) == len(window)
        known = set(range(300)) - left


def _holds(window: SendWindow, symbol_id: int) -> bool:
    try:
        return bool(window.payload(symbol_id))
    except KeyError:
        return False


@pytest.mark.parametrize("start", [0, (1 << 24) - 700])
@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_a_receiver_over_a_path_that_loses_and_reorders(seed: int, start: int) -> None:
    """Both ends against a model, also across the wrap of the 24-bit ids."""
    rng = random.Random(seed)
    sender, receiver, count = SendWindow(), ReceiveWindow(), start + 1500
    sender.next_id = receiver.floor = start
    sender.on_report(start, 0)
    packet, accepted = start, []
    under_way: list[tuple[int, int]] = []
    while len(accepted) < count - start:
        symbol_id = sender.next_missing()
        if symbol_id is None and sender.next_id < count and not sender.is_full:
            symbol_id = sender.add(b"x")
        if symbol_id is not None:
            sender.on_sent(symbol_id, packet)
            under_way.append((symbol_id, packet))
            packet += 1
        if len(under_way) > 20 or symbol_id is None:
            arriving, number = under_way.pop(rng.randrange(len(under_way)))
            if rng.random() < 0.4:
                sender.on_lost(arriving, number)
            elif (news := receiver.accept(arriving & LOW_BITS)) is not None:
                accepted.append(news)
        if rng.random() < 0.1:
            floor, bitmap = receiver.report()
            sender.on_report(floor & LOW_BITS, bitmap)
    floor, bitmap = receiver.report()
    sender.on_report(floor & LOW_BITS, bitmap)
    assert sorted(accepted) == list(range(start, count)), f"seed {seed}"
    assert (len(sender), sender.next_missing(), receiver.floor) == (0, None, count)

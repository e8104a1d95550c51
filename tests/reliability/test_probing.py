"""A path that does not answer is asked again: soon, then by the second, then seldom."""

from __future__ import annotations

from ghost.reliability import probing
from ghost.reliability.probing import Probing

RATE = 125_000.0  # bytes a second
INTERVAL = 0.2


def unanswered(count: int, rate: float = RATE) -> Probing:
    state = Probing()
    for _ in range(count):
        state.on_timeout(rate=rate, interval=INTERVAL)
    return state


def test_silence_begins_with_the_third_timeout_and_ends_with_an_answer() -> None:
    state = Probing()
    assert [state.on_timeout(rate=RATE, interval=INTERVAL) for _ in range(5)] == [False, False, True, False, False]
    assert state.is_silent
    state.on_answer()
    assert not state.is_silent


def test_lost_probes_are_followed_by_more_of_them_but_few() -> None:
    assert [unanswered(count).owed for count in (1, 2, 3, 4)] == [2, 8, 8, 2]
    assert unanswered(2, rate=1e9).owed == probing.PACKETS[1]


def test_the_intervals_grow_to_a_second_and_after_many_to_twenty() -> None:
    delays = [unanswered(count).delay(INTERVAL) for count in (0, 8, 9, 10, 20, 40, 41)]
    assert delays == [INTERVAL, INTERVAL, 2 * INTERVAL, 4 * INTERVAL, 1.0, 1.0, 20.0]


def test_a_probe_timeout_longer_than_a_second_is_kept() -> None:
    assert unanswered(20).delay(3.0) == 3.0


def test_a_word_from_a_peer_given_up_for_lost_is_answered_with_a_probe() -> None:
    state = unanswered(20)
    state.owed = 0
    state.on_contact()
    assert state.owed == 2
    assert state.delay(INTERVAL) == INTERVAL
    early = unanswered(5)
    early.owed = 0
    early.on_contact()
    assert early.owed == 0

"""Each symbol is handed on once in whatever order they come, and a peer cannot reach far ahead."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.errors import PeerError
from ghost.reliability.receive_window import MAX_REPORT_BITS, ReceiveWindow
from ghost.reliability.send_window import MAX_SYMBOLS


@given(st.lists(st.integers(0, 300), max_size=300))
def test_it_does_what_a_set_would_do(arrivals: list[int]) -> None:
    window, known = ReceiveWindow(), set()
    for symbol_id in arrivals:
        assert window.accept(symbol_id) == (None if symbol_id in known else symbol_id)
        known.add(symbol_id)
        floor, bitmap = window.report()
        assert floor == next(number for number in range(302) if number not in known)
        assert {floor + 1 + bit for bit in range(300) if bitmap >> bit & 1} == {n for n in known if n > floor}


@pytest.mark.parametrize("seed", range(3))
def test_a_shuffled_and_repeated_stream_is_handed_on_once_each(seed: int) -> None:
    rng, window = random.Random(seed), ReceiveWindow()
    arrivals = [number for number in range(20_000) for _ in range(rng.choice([1, 1, 2, 4]))]
    arrivals.sort(key=lambda number: number + rng.randrange(MAX_SYMBOLS))
    accepted = [news for number in arrivals if (news := window.accept(number & 0xFFFFFF)) is not None]
    assert len(arrivals) > 30_000
    assert sorted(accepted) == list(range(20_000)), f"seed {seed}"
    assert window.report() == (20_000, 0)


def test_a_symbol_too_far_ahead_is_refused_and_changes_nothing() -> None:
    window = ReceiveWindow()
    assert window.accept(MAX_SYMBOLS) == MAX_SYMBOLS
    before = window.report()
    for far in (MAX_SYMBOLS + 1, 1 << 20, 1 << 23):
        with pytest.raises(PeerError, match="window"):
            window.accept(far)
    assert window.report() == before
    assert window.floor == 0


def test_a_report_is_bounded_however_full_the_window_is() -> None:
    window = ReceiveWindow()
    for symbol_id in range(1, MAX_SYMBOLS + 1):
        window.accept(symbol_id)
    floor, bitmap = window.report()
    assert floor == 0
    assert bitmap == (1 << MAX_REPORT_BITS) - 1

"""Equations over lost symbols give them back, and no peer can make solving them cost more than its share."""

from __future__ import annotations

import random

import pytest

from ghost.constants import MAX_MEMBERS
from ghost.reliability.decoder import MAX_ROWS, MOST_WORK, WORK_RATE, Decoder
from ghost.reliability.field import combine, unit


def repair(seed: int, symbols: dict[int, bytes]) -> bytes:
    """What a sender would send over these."""
    return combine(list(symbols), [unit(payload) for payload in symbols.values()], seed)


def symbols_of(count: int, rng: random.Random) -> dict[int, bytes]:
    return {symbol_id: rng.randbytes(rng.randrange(1, 60)) for symbol_id in range(count)}


@pytest.mark.parametrize("lost", [1, 5, 200])
def test_as_many_repairs_as_were_lost_bring_everything_back(lost: int) -> None:
    rng = random.Random(lost)
    symbols = symbols_of(250, rng)
    missing = set(rng.sample(list(symbols), lost))
    decoder, solved = Decoder(), {}
    for symbol_id in symbols.keys() - missing:
        decoder.on_symbol(symbol_id, symbols[symbol_id], 0.0)
    seeds = 0
    while len(solved) < lost:
        assert decoder.rank + len(solved) >= seeds - 3, "two in a row depend on others by a chance of 1 in 65000"
        seeds += 1
        solved |= dict(decoder.on_repair(seeds % 256, list(symbols), repair(seeds % 256, symbols), floor=0, now=0.0))
    assert solved == {symbol_id: symbols[symbol_id] for symbol_id in missing}
    assert seeds - lost == decoder.redundant <= 3
    assert decoder.rank == 0


def test_a_symbol_that_comes_after_all_stands_for_the_equation_it_is_missing() -> None:
    symbols = symbols_of(4, random.Random(1))
    decoder = Decoder()
    for seed in (1, 2, 3):
        assert decoder.on_repair(seed, list(symbols), repair(seed, symbols), floor=0, now=0.0) == []
    assert decoder.rank == 3
    assert dict(decoder.on_symbol(2, symbols[2], 0.0)) == {key: symbols[key] for key in (0, 1, 3)}
    assert decoder.on_repair(4, list(symbols), repair(4, symbols), floor=0, now=0.0) == []
    assert (decoder.rank, decoder.redundant) == (0, 1)


def test_what_was_let_go_is_not_asked_for_again() -> None:
    decoder = Decoder()
    assert decoder.on_repair(1, [5, 6], b"anything", floor=6, now=0.0) == []
    assert (decoder.rank, decoder.redundant) == (0, 1)


def test_equations_that_are_meant_to_cost_time_are_dropped_until_there_is_time() -> None:
    rng = random.Random(1)
    decoder = Decoder()

    def accepted(now: float) -> int:
        before = decoder.rank
        for seed in range(MAX_ROWS):
            members = sorted(rng.sample(range(MAX_MEMBERS + 8), MAX_MEMBERS))
            decoder.on_repair(seed, members, rng.randbytes(60), floor=0, now=now)
        return decoder.rank - before

    assert 80 < accepted(0.0) < 120
    assert accepted(0.0) == 0
    assert 0 < accepted(1.0) < 40
    assert accepted(1.0 + MOST_WORK / WORK_RATE) > 20

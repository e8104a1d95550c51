"""Sums and products in GF(256): the fast way gives what the definition gives."""

from __future__ import annotations

from random import Random

import pytest

from ghost.constants import MAX_DATAGRAM, MAX_MEMBERS
from ghost.reliability.field import (
    PRODUCTS,
    coefficient,
    coefficients,
    combine,
    double,
    payload_of,
    scale,
    unit,
    weighted_sum,
)


def by_definition(terms: list[tuple[int, int]]) -> int:
    """Byte by byte, factor by factor."""
    total = 0
    for factor, value in terms:
        for place in range((value.bit_length() + 7) // 8):
            total ^= PRODUCTS[factor][value >> 8 * place & 0xFF] << 8 * place
    return total


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 120, 300])
def test_a_weighted_sum_is_the_sum_of_the_products(count: int) -> None:
    rng = Random(count)
    terms = [(rng.randrange(256), rng.getrandbits(8 * rng.randint(1, 40))) for _ in range(count)]
    assert weighted_sum(terms) == by_definition(terms)


def test_every_factor_counts_among_many() -> None:
    filler = [(1, 0)] * 20
    assert [weighted_sum([*filler, (factor, 0x53)]) for factor in range(256)] == list(PRODUCTS[0x53])


def test_a_doubling_is_a_product_with_two() -> None:
    for size in (0, 1, 2, 100, MAX_DATAGRAM):
        value = int.from_bytes(Random(size).randbytes(size), "little")
        assert double(value) == scale(value, 2)


@pytest.mark.parametrize("count", [1, 2, 100, MAX_MEMBERS])
def test_factors_are_the_same_one_by_one_and_all_at_once(count: int) -> None:
    rng = Random(count)
    ids = sorted(rng.randrange(1 << bits) for bits in rng.choices((8, 24, 32, 40), k=count))
    for seed in (0, 7, 255):
        assert coefficients(seed, ids) == [coefficient(seed, symbol_id) for symbol_id in ids]


def test_a_product_with_the_inverse_is_what_it_was() -> None:
    value = unit(bytes(range(200)))
    assert scale(scale(value, 0x02), 0x8E) == value  # 2 * 0x8E = 1 in this field


@pytest.mark.parametrize("count", [2, 40])
def test_a_repair_is_as_long_as_its_longest_symbol_and_the_others_subtracted_leave_one(count: int) -> None:
    rng = Random(count)
    payloads = {number: rng.randbytes(rng.randint(1, 50)) for number in range(count)}
    payloads[1] = rng.randbytes(60)
    units = [(number, unit(payload)) for number, payload in payloads.items()]
    repair = combine(units, 7)
    assert len(repair) == 62
    others = weighted_sum([(coefficient(7, number), value) for number, value in units if number])
    left = int.from_bytes(repair, "little") ^ others
    inverse = next(factor for factor in range(256) if PRODUCTS[factor][coefficient(7, 0)] == 1)
    assert payload_of(scale(left, inverse)) == payloads[0]

"""Sums and products in GF(256): the fast way gives what the definition gives."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from ghost.constants import MAX_DATAGRAM
from ghost.reliability.field import (
    INVERSES,
    PRODUCTS,
    WIDTH,
    combine,
    double,
    factors,
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


@pytest.mark.parametrize("seed", range(5))
def test_a_weighted_sum_is_the_sum_of_the_products(seed: int) -> None:
    rng = Random(seed)
    sums = [rng.getrandbits(8 * rng.randint(1, 40)) for _ in range(WIDTH)]
    assert weighted_sum(sums) == by_definition(list(enumerate(sums)))


@pytest.mark.parametrize("factor", range(WIDTH))
def test_every_factor_counts_for_itself(factor: int) -> None:
    assert weighted_sum([0x53 if place == factor else 0 for place in range(WIDTH)]) == PRODUCTS[0x53][factor]


def test_a_doubling_is_a_product_with_two() -> None:
    for size in (0, 1, 2, 100, MAX_DATAGRAM):
        value = int.from_bytes(Random(size).randbytes(size), "little")
        assert double(value) == scale(value, 2)


def test_no_factor_is_zero_and_none_is_rare() -> None:
    found = Counter(factors(7, range(5000)))
    assert set(found) == set(range(1, WIDTH))
    assert min(found.values()) > 200


@pytest.mark.parametrize("spacing", [1, 2, 15, 16, 17])
@pytest.mark.parametrize("count", [2, 3, 20, 120])
def test_repairs_in_a_row_rarely_say_the_same_of_what_was_lost(count: int, spacing: int) -> None:
    """Losses in a burst, or at the distance by which the factors of the next seed are shifted."""
    rng, trials = Random(count), 200 // count + 2
    repairs = 0
    for _ in range(trials):
        first, seed = rng.randrange(1 << 20), rng.randrange(256)
        lost = range(first, first + count * spacing, spacing)
        repairs += needed_for(lost, seed)
    assert repairs <= trials * count + max(3, trials // 20)


def needed_for(lost: range, seed: int) -> int:
    """How many repairs from this seed on it takes to solve for these symbols."""
    rows: list[list[int]] = []
    count = 0
    while len(rows) < len(lost):
        row = list(factors((seed + count) % 256, lost))
        count += 1
        for other in rows:
            lead = next(place for place, factor in enumerate(other) if factor)
            product = PRODUCTS[row[lead]]
            row = [mine ^ product[theirs] for mine, theirs in zip(row, other, strict=True)]
        if any(row):
            inverse = INVERSES[next(filter(None, row))]
            rows.append([PRODUCTS[inverse][factor] for factor in row])
    return count


def test_a_product_with_the_inverse_is_what_it_was() -> None:
    value = unit(bytes(range(200)))
    assert scale(scale(value, 0x02), 0x8E) == value  # 2 * 0x8E = 1 in this field


@pytest.mark.parametrize("count", [2, 40])
def test_a_repair_is_as_long_as_its_longest_symbol_and_the_others_subtracted_leave_one(count: int) -> None:
    rng = Random(count)
    payloads = {number: rng.randbytes(rng.randint(1, 50)) for number in range(count)}
    payloads[1] = rng.randbytes(60)
    ids, units = list(payloads), [unit(payload) for payload in payloads.values()]
    repair = combine(ids, units, 7)
    assert len(repair) == 62
    own, *theirs = factors(7, ids)
    left = int.from_bytes(repair, "little") ^ by_definition(list(zip(theirs, units[1:], strict=True)))
    assert payload_of(scale(left, INVERSES[own])) == payloads[0]

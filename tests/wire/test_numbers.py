"""A truncated number comes back whole as long as it lies within half the range of what is expected."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ghost.wire.numbers import counted, expand, stretches

widths = st.integers(1, 64)
positions = st.integers(0, 1 << 70)


@given(bits=widths, near=positions, data=st.data())
def test_a_number_within_half_the_range_comes_back(bits: int, near: int, data: st.DataObject) -> None:
    half = 1 << (bits - 1)
    number = data.draw(st.integers(max(0, near - half + 1), near + half))
    assert expand(number & ((1 << bits) - 1), bits=bits, near=near) == number


@given(bits=widths, near=positions, data=st.data())
def test_the_result_has_the_low_bits_and_is_a_nearest_one(bits: int, near: int, data: st.DataObject) -> None:
    size = 1 << bits
    truncated = data.draw(st.integers(0, size - 1))
    number = expand(truncated, bits=bits, near=near)
    assert number >= 0
    assert number % size == truncated
    below = number - size
    assert abs(number - near) <= abs(number + size - near)
    assert below < 0 or abs(number - near) <= abs(below - near)


def test_near_zero_nothing_is_negative() -> None:
    assert expand(0xFFFF, bits=16, near=0) == 0xFFFF
    assert expand(0xFFFF, bits=16, near=5) == 0xFFFF
    assert expand(0, bits=16, near=0) == 0


def test_a_count_runs_on_over_the_wrap() -> None:
    near = 0
    for number in range(0, 1000, 7):
        assert expand(number & 0xFF, bits=8, near=near) == number
        near = number


def test_the_example_of_rfc_9000_appendix_a_3() -> None:
    assert expand(0x9B32, bits=16, near=0xA82F30EA + 1) == 0xA82F9B32


@given(bitmap=st.integers(0, 1 << 300), base=positions)
def test_stretches_name_every_bit_and_none_besides(bitmap: int, base: int) -> None:
    found = list(stretches(bitmap, base))
    named = [number for start, end in found for number in range(start, end)]
    assert named == [base + bit for bit in range(bitmap.bit_length()) if bitmap >> bit & 1]
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(found))


@given(st.integers(0, 0xFFFF), st.integers(1, 200), st.integers(1, 0x100), st.integers(4, 12))
def test_counted_numbers_are_those_of_a_range(first: int, count: int, step: int, size: int) -> None:
    numbers = range(first, first + count * step, step)
    assert counted(first, count, step=step, size=size) == b"".join(each.to_bytes(size, "big") for each in numbers)


def test_counted_numbers_may_end_with_the_greatest() -> None:
    assert counted(0xFFFFFFFE, 2, size=4) == bytes.fromhex("fffffffe ffffffff")

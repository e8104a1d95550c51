"""The sum by long integers is the sum by words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ghost.compression import checksum


def by_words(data: bytes) -> int:
    """RFC 1071, literally."""
    data += bytes(len(data) & 1)
    total = sum(high << 8 | low for high, low in zip(data[::2], data[1::2], strict=True))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@given(st.binary(max_size=100) | st.integers(380, 1500).flatmap(lambda size: st.binary(min_size=size, max_size=size)))
def test_a_remainder_is_the_sum_of_the_words(data: bytes) -> None:
    assert checksum.remainder(data) % 0xFFFF == by_words(data) % 0xFFFF
    if any(data):
        assert checksum.complement(checksum.remainder(data)) == 0xFFFF - by_words(data)

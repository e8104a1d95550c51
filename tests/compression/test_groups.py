"""A group comes back as it was, and whatever else arrives is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.compression import groups
from ghost.errors import PeerError

MEMBERS = st.lists(
    st.tuples(st.binary(min_size=1, max_size=groups.LONGEST_DELTA), st.integers(1, 0xFFFF)),
    min_size=2,
    max_size=groups.MOST,
)


@given(MEMBERS, st.binary(min_size=1, max_size=100), st.booleans())
def test_what_is_encoded_comes_back(members: list[tuple[bytes, int]], piece: bytes, is_new: bool) -> None:
    assert groups.decode(groups.encode(members, piece, is_new=is_new)) == (members, piece, is_new)


def test_a_further_packet_of_the_same_size_takes_a_byte_and_its_delta() -> None:
    sizes = [len(groups.encode([(b"\0", 1344)] * count, b"piece", is_new=False)) for count in (2, 3, 8)]
    assert sizes[1] - sizes[0] == 2
    assert sizes[2] - sizes[0] == 12


@given(st.binary(max_size=80))
def test_any_bytes_are_a_group_or_refused(body: bytes) -> None:
    with contextlib.suppress(PeerError):
        members, piece, is_new = groups.decode(body)
        assert groups.decode(groups.encode(members, piece, is_new=is_new)) == (members, piece, is_new)


@given(MEMBERS, st.data())
def test_a_group_cut_short_is_refused(members: list[tuple[bytes, int]], data: st.DataObject) -> None:
    whole = groups.encode(members, b"p", is_new=False)
    with pytest.raises(PeerError, match="malformed"):
        groups.decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize("count", [0, 1, groups.MOST + 1, 127])
def test_no_group_is_smaller_or_larger_than_agreed(count: int) -> None:
    with pytest.raises(PeerError, match="malformed"):
        groups.decode(bytes((count,)) + b"\x01\0\x05\0" * count + b"piece")

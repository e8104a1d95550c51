"""Records fill a symbol exactly and come back as they were sent."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.errors import PeerError
from ghost.wire import records
from ghost.wire.records import Encoding, Record

bodies = st.binary(max_size=300)
encodings = st.sampled_from([value for name, value in vars(Encoding).items() if name.isupper()])
ordered = st.builds(
    Record,
    encodings,
    st.booleans(),
    st.booleans(),
    st.integers(0, records.MAX_FLOWS - 1),
    st.integers(0, 0xFFFF),
    bodies,
)
unordered = st.builds(Record, encodings, st.booleans(), st.booleans(), st.just(records.UNORDERED), st.just(0), bodies)
runs = st.lists(ordered | unordered, min_size=1, max_size=records.MAX_RECORDS)


def encode_all(run: list[Record]) -> bytes:
    last = len(run) - 1
    return b"".join(records.encode(record, is_sized=index < last) for index, record in enumerate(run))


@given(runs)
def test_a_run_of_records_comes_back(run: list[Record]) -> None:
    assert records.decode(encode_all(run)) == run


@given(ordered | unordered)
def test_a_head_is_never_longer_than_promised(record: Record) -> None:
    head = len(records.encode(record, is_sized=False)) - len(record.body)
    assert head <= records.RECORD_OVERHEAD
    assert len(records.encode(record, is_sized=True)) == head + records.SIZE_FIELD + len(record.body)


@given(st.binary(max_size=100))
def test_any_bytes_decode_or_are_a_peers_fault(data: bytes) -> None:
    with contextlib.suppress(PeerError):
        assert len(records.decode(data)) <= records.MAX_RECORDS


@given(ordered)
def test_a_sized_record_cut_short_is_malformed(record: Record) -> None:
    whole = records.encode(record, is_sized=True)
    for end in range(1, len(whole)):
        with pytest.raises(PeerError, match="malformed"):
            records.decode(whole[:end])


def test_more_records_than_a_symbol_may_hold_are_malformed() -> None:
    record = records.encode(Record(0, True, True, records.UNORDERED, 0, b""), is_sized=True)
    assert len(records.decode(record * records.MAX_RECORDS)) == records.MAX_RECORDS
    with pytest.raises(PeerError, match="malformed"):
        records.decode(record * (records.MAX_RECORDS + 1))


@pytest.mark.parametrize(("flow", "size"), [(records.UNORDERED, 1), (0x7F, 4), (0x80, 5)])
def test_a_small_flow_id_takes_a_byte_less(flow: int, size: int) -> None:
    assert len(records.encode(Record(0, True, True, flow, 0, b""), is_sized=False)) == size

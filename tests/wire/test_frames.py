"""Frames come back as they were sent, and bytes that are no frames raise PeerError, never anything else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ghost.constants import MAX_MEMBERS, MAX_MEMBERS_SIZE
from ghost.errors import PeerError
from ghost.wire import frames, shorts

DELAY_UNIT = 16e-6  # seconds; frames.Ack.delay travels in these steps
BITMAP = (1 << 255 * 8) - 1

tokens = st.binary(min_size=8, max_size=8)
acks = st.builds(
    frames.Ack,
    first=st.integers(0, (1 << 32) - 1),
    packets=st.integers(1, BITMAP),
    behind=st.integers(0, 0xFFFF),
    received_clock=st.integers(0, (1 << 32) - 1),
    delay=st.integers(0, 0xFFFF).map(lambda steps: (steps + 0.5) * DELAY_UNIT),
    symbol_floor=st.integers(0, (1 << 24) - 1),
    symbols=st.integers(0, BITMAP),
    rank=st.integers(0, 255),
    redundant=st.integers(0, 0xFFFF),
)
brief_acks = st.builds(
    frames.BriefAck,
    largest=st.integers(0, 0xFFFF),
    run=st.integers(1, 255),
    delay=st.integers(0, 0xFFFF).map(lambda steps: (steps + 0.5) * DELAY_UNIT),
    symbol_floor=st.integers(0, 0xFFFF),
)
symbols = st.builds(frames.Symbol, st.integers(0, (1 << 24) - 1), st.binary(min_size=1, max_size=1400))
patient_symbols = st.builds(frames.PatientSymbol, st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=256))
bitmaps = st.integers(0, (1 << 8 * MAX_MEMBERS_SIZE) - 1).map(lambda bitmap: bitmap | 1)
runs = st.lists(st.integers(1, 600), min_size=1, max_size=9).map(
    lambda lengths: sum(((1 << n) - 1) << sum(lengths[:i]) for i, n in enumerate(lengths) if i % 2 == 0)
)
repairs = st.builds(
    frames.Repair,
    st.integers(0, 255),
    st.integers(0, (1 << 24) - 1),
    (bitmaps | runs).filter(lambda members: members.bit_count() <= MAX_MEMBERS),
    st.binary(min_size=3, max_size=300),
)
ids = st.integers(0, 0xFFFF)
prompts = st.builds(frames.Prompt, ids, st.binary(max_size=1199).map(lambda body: b"0" + body))
shorts_ = st.sampled_from(sorted(shorts.SIZES)).flatmap(
    lambda code: st.binary(min_size=shorts.SIZES[code] - 1, max_size=shorts.SIZES[code] - 1).map(
        lambda body: bytes([code]) + body
    )
)
short_prompts = st.builds(frames.NearPrompt, st.integers(0, 0xFF), shorts_)
short_frames = st.one_of(
    st.just(frames.Ping()),
    acks,
    brief_acks,
    prompts,
    short_prompts,
    st.just(frames.Patient()),
    st.builds(frames.Challenge, tokens),
    st.builds(frames.Response, tokens),
    st.builds(frames.Lost, st.integers(0, 255), ids),
    st.builds(frames.Pace, st.integers(0, (1 << 32) - 1)),
    st.builds(frames.Close, st.integers(0, 255)),
)

ENCODERS = {
    frames.Ping: lambda frame: frames.PING,
    frames.Ack: frames.encode_ack,
    frames.BriefAck: frames.encode_brief_ack,
    frames.Symbol: lambda frame: frames.encode_symbol(*frame),
    frames.Prompt: lambda frame: (frames.encode_prompt if frame.prompt_id % 2 else frames.encode_small_prompt)(*frame),
    frames.NearPrompt: lambda frame: frames.encode_near_prompt(*frame),
    frames.Patient: lambda frame: frames.PATIENT,
    frames.Challenge: lambda frame: frames.encode_challenge(frame.token),
    frames.Response: lambda frame: frames.encode_response(frame.token),
    frames.Lost: frames.encode_lost,
    frames.Pace: lambda frame: frames.encode_pace(frame.rate),
    frames.Close: lambda frame: frames.encode_close(frame.reason),
}
ONE_OF_EACH = [
    frames.Ping(),
    frames.Ack(7, 0b1011, 2, 123, 5 * DELAY_UNIT, 9, 0b101, 2, 3),
    frames.BriefAck(0xFFFE, 3, 5 * DELAY_UNIT, 9),
    frames.Prompt(3, b"record"),
    frames.Prompt(2, b"0record"),
    frames.NearPrompt(0x12, b"\x1f" + bytes(shorts.SIZES[0x1F] - 1)),
    frames.Challenge(b"12345678"),
    frames.Response(b"87654321"),
    frames.Close(1),
]


def encode(frame: frames.Frame) -> bytes:
    return ENCODERS[type(frame)](frame)


def comparable(frame: frames.Frame) -> tuple[object, ...]:
    """Its type and fields, a delay in whole steps."""
    if isinstance(frame, (frames.Ack, frames.BriefAck)):
        frame = frame._replace(delay=int(frame.delay / DELAY_UNIT + 0.25))
    return type(frame), *frame


@given(st.lists(short_frames, max_size=6), st.none() | symbols | patient_symbols | repairs, st.integers(0, 50))
def test_a_packet_of_frames_comes_back(
    sent: list[frames.Frame], last: frames.Symbol | frames.PatientSymbol | frames.Repair | None, padding: int
) -> None:
    plaintext = b"".join(map(encode, sent))
    match last:
        case frames.Symbol():
            plaintext += frames.encode_symbol(*last)
        case frames.PatientSymbol():
            plaintext += frames.encode_patient_symbol(*last)
        case frames.Repair():
            plaintext += frames.encode_repair(last)
        case None:
            plaintext += frames.padding(padding)
    expected = [*sent, last] if last is not None else sent
    assert list(map(comparable, frames.decode(plaintext))) == list(map(comparable, expected))


@given(st.binary(max_size=200))
@example(bytes([0x08, 0xFF, 0xFF]))
def test_any_bytes_decode_or_are_a_peers_fault(data: bytes) -> None:
    with contextlib.suppress(PeerError):
        frames.decode(data)


@given(st.lists(short_frames, min_size=1, max_size=3), st.data())
@settings(max_examples=300)
def test_damaged_frames_decode_or_are_a_peers_fault(sent: list[frames.Frame], data: st.DataObject) -> None:
    plaintext = bytearray(b"".join(map(encode, sent)))
    for _ in range(data.draw(st.integers(1, 4))):
        plaintext[data.draw(st.integers(0, len(plaintext) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PeerError):
        frames.decode(bytes(plaintext))


@pytest.mark.parametrize("frame", ONE_OF_EACH[1:], ids=lambda frame: type(frame).__name__)
def test_a_frame_cut_short_is_malformed(frame: frames.Frame) -> None:
    whole = encode(frame)
    for end in range(1, len(whole)):
        with pytest.raises(PeerError, match="malformed"):
            frames.decode(whole[:end])


@pytest.mark.parametrize("kind", range(0x80, 0x100))
def test_an_unknown_frame_that_may_be_skipped_is_skipped(kind: int) -> None:
    unknown = bytes([kind]) + (5).to_bytes(2, "big") + b"hello"
    assert frames.decode(frames.PING + unknown + frames.encode_close(3)) == [frames.Ping(), frames.Close(3)]
    with pytest.raises(PeerError, match="malformed"):
        frames.decode(unknown[:-1])


def test_any_other_unknown_frame_makes_the_packet_malformed() -> None:
    known = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0E, *shorts.SIZES}
    for kind in set(range(0x80)) - known:
        with pytest.raises(PeerError, match="malformed"):
            frames.decode(frames.PING + bytes([kind]) + bytes(40))


def test_a_symbol_or_a_repair_is_the_last_frame_so_a_packet_holds_one() -> None:
    repair = frames.Repair(1, 0, 0b11, b"coded")
    for head in (frames.encode_symbol(1, b"x"), frames.encode_repair(repair)):
        assert len(frames.decode(head + frames.encode_repair(repair))) == 1


def test_a_repair_over_more_symbols_than_allowed_is_malformed() -> None:
    def over(count: int) -> bytes:
        return frames.encode_repair(frames.Repair(1, 0, (1 << count) - 1, b"coded"))

    assert len(frames.decode(over(MAX_MEMBERS))) == 1
    with pytest.raises(PeerError, match="malformed"):
        frames.decode(over(MAX_MEMBERS + 1))


def test_what_lies_far_apart_is_said_by_runs_and_what_is_ragged_by_a_bitmap() -> None:
    def size(members: int) -> int:
        assert frames.is_sayable(members)
        return len(frames.encode_repair(frames.Repair(1, 0, members, b""))) - frames.SYMBOL_OVERHEAD - 2

    assert size(1 | 1 << 700 | ((1 << 300) - 1) << 1000) == 1 + 3 + 1 + 2 + 2  # 1, 699, 1, 299, 300
    assert size(int("01" * 120, 2)) == 30
    assert not frames.is_sayable(int("01" * 121, 2))
    assert not frames.is_sayable(sum(1 << 16 * at for at in range(170)))  # more runs than a byte counts


def test_members_that_are_cut_off_or_not_any_are_malformed() -> None:
    head, coded = bytes([6, 1, 0, 0, 0]), b"coded"
    assert frames.decode(head + bytes([0x82, 3, 0]) + coded) == [frames.Repair(1, 0, 0b111, coded)]
    for members in (b"\x80", b"\x81\x00", b"\x81\xff", b"\x9f" + bytes(31), b"\x9e\x01"):
        with pytest.raises(PeerError, match="malformed"):
            frames.decode(head + members + coded)


def test_padding_hides_whatever_follows() -> None:
    assert frames.decode(frames.PING + frames.padding(1) + b"\x7f garbage") == [frames.Ping()]
    assert frames.decode(b"") == []


@given(acks)
def test_an_acknowledgement_is_bounded(ack: frames.Ack) -> None:
    assert len(frames.encode_ack(ack)) <= 2 * 255 + 21


def test_a_delay_beyond_the_field_is_clamped() -> None:
    ack = frames.Ack(0, 1, 0, 0, 30.0, 0, 0, 0, 0)
    (decoded,) = frames.decode(frames.encode_ack(ack))
    assert isinstance(decoded, frames.Ack)
    assert decoded.delay == pytest.approx(0xFFFF * DELAY_UNIT)


def test_an_acknowledgement_of_nothing_is_malformed() -> None:
    with pytest.raises(PeerError, match="malformed"):
        frames.decode(frames.encode_ack(frames.Ack(0, 0, 0, 0, 0.0, 0, 0, 0, 0)))
    with pytest.raises(PeerError, match="malformed"):
        frames.decode(frames.encode_brief_ack(frames.BriefAck(0, 0, 0.0, 0)))


def test_ids_are_truncated_to_their_fields() -> None:
    assert frames.decode(frames.encode_symbol(0x1234567, b"x")) == [frames.Symbol(0x234567, b"x")]
    assert frames.decode(frames.encode_patient_symbol(0x1234567, b"x")) == [frames.PatientSymbol(0x4567, b"x")]
    assert frames.decode(frames.encode_prompt(0x12345, b"x")) == [frames.Prompt(0x2345, b"x")]
    repair = frames.Repair(1, 0x1000002, 1, b"coded")
    assert frames.decode(frames.encode_repair(repair)) == [frames.Repair(1, 2, 1, b"coded")]


@pytest.mark.parametrize("first_id", [5, 0xFFFFFD, 0x1FFFFFD])
def test_symbols_are_encoded_and_recognised_together_as_one_by_one(first_id: int) -> None:
    payloads = [bytes([at]) * (at + 1) for at in range(6)]
    plaintexts = frames.encode_symbols(first_id, payloads)
    assert plaintexts == [frames.encode_symbol(first_id + at, payload) for at, payload in enumerate(payloads)]
    until_wrap = min(6, 0x1000000 - (first_id & 0xFFFFFF))
    assert frames.symbols_in_order(plaintexts, first_id) == until_wrap
    assert frames.symbols_in_order(plaintexts, first_id + 1) == 0
    plaintexts[1] = plaintexts[1][:4]
    assert frames.symbols_in_order(plaintexts, first_id) == 1
    assert frames.symbols_in_order([], first_id) == 0

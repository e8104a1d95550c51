"""Frames: the typed parts of a packet's plaintext.

A plaintext is a run of frames, each a type byte and a body. SYMBOL, PIECE and REPAIR run to the end of the packet, so
it holds one of them at most: what solving for missing symbols may cost is bounded by the packet.

    PAD       0x00  the rest of the packet means nothing
    PING      0x01  asks for an acknowledgement at once
    ACK       0x02  see Ack
    ACK       0x03  see BriefAck
    SYMBOL    0x04  symbol id: 3 | records, to the end
    SYMBOL    0x05  symbol id: 2 | records, to the end; its acknowledgement may wait
    REPAIR    0x06  seed: 1 | first symbol id: 3 | bitmap size: 1 | bitmap | coded bytes, to the end
    PATIENT   0x07  nothing: the acknowledgement of this packet may wait
    PROMPT    0x08  size of the rest: 2 | prompt id: 2 | one record
    PIECE     0x09  symbol id: 3 | place: 2 | bytes of the symbol, to the end; see Piece
    CHALLENGE 0x0a  token: 8
    RESPONSE  0x0b  token: 8
    CLOSE     0x0c  reason: 1
    PROMPT    0x0e  size of the record: 1 | prompt id: 2 | one record
    PROMPT    0x10-0x2f, 0x40-0x7f  prompt id: 1 | rest of a short prompt whose code is the type; see NearPrompt
    LOST      0x80  size: 2 | what: 1 | number: 2; see Lost
    PACE      0x81  size: 2 | bytes a second: 4; see Pace
    0x80-0xff       size: 2 | body; a receiver that does not know the type skips it

Any other type makes the packet malformed. Frames are named tuples because several are made for every datagram.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from ghost.constants import MAX_MEMBERS, MAX_MEMBERS_SIZE, MAX_SYMBOL
from ghost.errors import PeerError
from ghost.wire import shorts
from ghost.wire.numbers import counted, stretches

SYMBOL_ID_BITS = 24
PROMPT_ID_BITS = 16
PACKET_NUMBER_BITS = 32
BRIEF_BITS = 16
"""Of packet numbers and symbol ids where little is under way."""
CLOCK_BITS = 32

SYMBOL_OVERHEAD = 4  # type and symbol id
SIZE_FIELD = 2
PIECE_OVERHEAD = 6  # type, symbol id and place
PROMPT_OVERHEAD = 5  # type, size and prompt id
TOKEN_SIZE = 8

_PAD, _PING, _ACK, _SYMBOL, _REPAIR, _PROMPT = 0x00, 0x01, 0x02, 0x04, 0x06, 0x08
_BRIEF_ACK, _PATIENT_SYMBOL, _PATIENT, _PIECE = 0x03, 0x05, 0x07, 0x09
_LAST_PIECE = 0x8000
_RUNS = 0x80  # beside the size of a repair's members: they are lengths of runs
_LONG_RUN = 0xFF  # so many, and the run goes on
_CHALLENGE, _RESPONSE, _CLOSE, _SMALL_PROMPT, _SKIPPABLE = 0x0A, 0x0B, 0x0C, 0x0E, 0x80
_LOST, _PACE = 0x80, 0x81
_LOST_BODY = Struct(">BHBH")
_PACE_BODY = Struct(">BHI")

_ACK_HEAD = Struct(">BIHIH")
_ACK_TAIL = Struct(">IBH")
_BRIEF_ACK_BODY = Struct(">BHBHH")
_ACK_DELAY_UNIT = 16e-6
_U16 = Struct(">H")


class Ping(NamedTuple):
    """Nothing but a wish to be acknowledged at once."""


class Ack(NamedTuple):
    """What has arrived.

    first            low 32 bits of a packet number
    packets          bit i set: packet number first + i has arrived; the highest bit is the largest one received
    behind           how far below the largest one the newest is: the ack-eliciting packet that arrived last
    received_clock   receiver's clock when the newest one arrived: microseconds modulo 2**32; None for a BriefAck's
    delay            seconds between that arrival and this frame (16 us steps, at most 1.05 s)
    symbol_floor     low 24 bits of a symbol id below which everything is known
    symbols          bit i set: symbol floor + 1 + i is known (the floor itself is not, or was never sent)
    rank             independent repairs waiting for more, at most 255
    redundant        repairs so far that taught nothing, modulo 2**16
    """

    first: int
    packets: int
    behind: int
    received_clock: int | None
    delay: float
    symbol_floor: int
    symbols: int
    rank: int
    redundant: int


class BriefAck(NamedTuple):
    """What has arrived, where little is under way and nothing is missing: it says nothing of repairs and clocks.

    largest       low 16 bits of the number of the packet that arrived last
    run           so many packets up to that one have arrived, 1 to 255
    delay         as in Ack
    symbol_floor  low 16 bits of a symbol id below which everything is known
    """

    largest: int
    run: int
    delay: float
    symbol_floor: int


class Symbol(NamedTuple):
    """A source symbol: the unit of repair, holding records."""

    symbol_id: int
    payload: bytes


class PatientSymbol(NamedTuple):
    """A new symbol where little is under way: BRIEF_BITS of its id. Its acknowledgement may wait."""

    symbol_id: int
    payload: bytes


class Piece(NamedTuple):
    """Bytes of a symbol from `offset` on, because the whole does not fit the path any more."""

    symbol_id: int
    offset: int
    is_last: bool
    data: bytes


class Repair(NamedTuple):
    """A linear combination over GF(256) of the symbols first_id + i for every bit i of `members` (bit 0 is set).

    `members` takes at most MAX_MEMBERS_SIZE bytes: as a bitmap or, where that is shorter, as the lengths of its runs.
    """

    seed: int
    first_id: int
    members: int
    payload: bytes


class Prompt(NamedTuple):
    """A record, or a short prompt, to be delivered at once; copies carry the same id."""

    prompt_id: int
    record: bytes


class NearPrompt(NamedTuple):
    """A short prompt sent for the first time: the low 8 bits of its id, one of the 256 after its reference's."""

    prompt_id: int
    record: bytes


class Patient(NamedTuple):
    """Nothing but that the acknowledgement of its packet may wait."""


class Challenge(NamedTuple):
    """Asks whoever holds the keys at this address to echo the token."""

    token: bytes


class Response(NamedTuple):
    """The echo of a challenge's token."""

    token: bytes


class Lost(NamedTuple):
    """The sender of this frame cannot restore what builds on LOST_LANE or LOST_REFERENCE of that number."""

    what: int
    number: int


class Pace(NamedTuple):
    """The path to the sender of this frame delivers what leaves together at so many bytes a second."""

    rate: int


class Close(NamedTuple):
    """The peer ends the connection; see CLOSE_REASONS."""

    reason: int


Frame = (
    Ping
    | Ack
    | BriefAck
    | Symbol
    | PatientSymbol
    | Piece
    | Repair
    | Prompt
    | NearPrompt
    | Patient
    | Challenge
    | Response
    | Lost
    | Pace
    | Close
)

LOST_LANE, LOST_REFERENCE = 0, 1

CLOSE_REASONS = {0: "stopped", 1: "replaced by a newer connection", 2: "protocol violation", 3: "revoked"}

PING = bytes([_PING])
PATIENT = bytes([_PATIENT])


def encode_ack(ack: Ack) -> bytes:
    first, bitmap, behind, clock, seconds, symbol_floor, symbol_bitmap, rank, redundant = ack
    packets = bitmap.to_bytes((bitmap.bit_length() + 7) // 8, "little")
    symbols = symbol_bitmap.to_bytes((symbol_bitmap.bit_length() + 7) // 8, "little")
    delay = min(int(seconds / _ACK_DELAY_UNIT), 0xFFFF)
    return b"".join(
        (
            _ACK_HEAD.pack(_ACK, first, behind, clock or 0, delay),
            bytes([len(packets)]),
            packets,
            _ACK_TAIL.pack(symbol_floor << 8 | len(symbols), rank, redundant),
            symbols,
        )
    )


def encode_brief_ack(ack: BriefAck) -> bytes:
    delay = min(int(ack.delay / _ACK_DELAY_UNIT), 0xFFFF)
    return _BRIEF_ACK_BODY.pack(_BRIEF_ACK, ack.largest & 0xFFFF, ack.run, delay, ack.symbol_floor & 0xFFFF)


def encode_symbol(symbol_id: int, payload: bytes) -> bytes:
    """The last frame of its packet."""
    return (_SYMBOL << 24 | symbol_id & 0xFFFFFF).to_bytes(4, "big") + payload


def encode_symbols(first_id: int, payloads: list[bytes]) -> list[bytes]:
    """`encode_symbol` for consecutive symbols."""
    first_id &= 0xFFFFFF
    if first_id + len(payloads) > 0x1000000:
        return [encode_symbol(symbol_id, payload) for symbol_id, payload in enumerate(payloads, first_id)]
    heads = counted(_SYMBOL << 24 | first_id, len(payloads), size=SYMBOL_OVERHEAD)
    starts = range(0, len(heads), SYMBOL_OVERHEAD)
    return [heads[at : at + SYMBOL_OVERHEAD] + payload for at, payload in zip(starts, payloads, strict=True)]


def encode_patient_symbol(symbol_id: int, payload: bytes) -> bytes:
    """The last frame of its packet, whose acknowledgement may wait."""
    return (_PATIENT_SYMBOL << 16 | symbol_id & 0xFFFF).to_bytes(3, "big") + payload


def encode_piece(symbol_id: int, offset: int, piece: bytes, *, is_last: bool) -> bytes:
    """The last frame of its packet."""
    place = offset | (_LAST_PIECE if is_last else 0)
    return ((_PIECE << 24 | symbol_id & 0xFFFFFF) << 16 | place).to_bytes(PIECE_OVERHEAD, "big") + piece


def encode_repair(repair: Repair) -> bytes:
    """The last frame of its packet."""
    head = bytes([_REPAIR, repair.seed]) + (repair.first_id & 0xFFFFFF).to_bytes(3, "big")
    return head + _encode_members(repair.members) + repair.payload


def is_sayable(members: int) -> bool:
    """Whether one repair can say that it is over these."""
    return members.bit_length() <= 8 * MAX_MEMBERS_SIZE or len(_runs_of(members)) <= MAX_MEMBERS_SIZE


def _encode_members(members: int) -> bytes:
    """With their size before them; they are sayable."""
    size = (members.bit_length() + 7) // 8
    if size > 2 and len(runs := _runs_of(members)) < size:
        return bytes([_RUNS | len(runs)]) + runs
    return bytes([size]) + members.to_bytes(size, "little")


def _runs_of(members: int) -> bytes:
    """The lengths of its stretches, and of those between them."""
    runs, at = bytearray(), 0
    for start, end in stretches(members, 0):
        for length in (start - at, end - start) if start else (end,):
            runs += b"\xff" * (length // _LONG_RUN) + bytes([length % _LONG_RUN])
        at = end
    return bytes(runs)


def _decode_members(head: int, body: bytes) -> int:
    if not head & _RUNS:
        return int.from_bytes(body, "little")
    members, at, is_member, length = 0, 0, True, 0
    for byte in body:
        length += byte
        if byte == _LONG_RUN:
            continue
        if is_member:
            members |= ((1 << length) - 1) << at
        at, is_member, length = at + length, not is_member, 0
    return members


def encode_prompt(prompt_id: int, record: bytes) -> bytes:
    return bytes([_PROMPT]) + _U16.pack(len(record) + 2) + _U16.pack(prompt_id & 0xFFFF) + record


def encode_small_prompt(prompt_id: int, record: bytes) -> bytes:
    """Without wasting a byte of the record's size."""
    if len(record) <= 0xFF:
        return bytes((_SMALL_PROMPT, len(record))) + _U16.pack(prompt_id & 0xFFFF) + record
    return encode_prompt(prompt_id, record)


def encode_near_prompt(prompt_id: int, record: bytes) -> bytes:
    """Of a short prompt."""
    return record[:1] + (prompt_id & 0xFF).to_bytes(1, "big") + record[1:]


def encode_challenge(token: bytes) -> bytes:
    return bytes([_CHALLENGE]) + token


def encode_response(token: bytes) -> bytes:
    return bytes([_RESPONSE]) + token


def encode_lost(lost: Lost) -> bytes:
    return _LOST_BODY.pack(_LOST, 3, lost.what, lost.number)


def encode_pace(rate: int) -> bytes:
    return _PACE_BODY.pack(_PACE, 4, min(rate, 0xFFFFFFFF))


def encode_close(reason: int) -> bytes:
    return bytes([_CLOSE, reason])


def padding(size: int) -> bytes:
    """`size` bytes that end a packet."""
    return bytes(size)


def is_symbol(plaintext: bytes) -> bool:
    """Whether the packet is one SYMBOL frame."""
    return len(plaintext) > SYMBOL_OVERHEAD and plaintext[0] == _SYMBOL


def parts_of_symbol(plaintext: bytes) -> tuple[int, bytes]:
    """(symbol id, payload) of a packet that `is_symbol`."""
    return int.from_bytes(plaintext[1:SYMBOL_OVERHEAD], "big"), plaintext[SYMBOL_OVERHEAD:]


def symbols_in_order(plaintexts: list[bytes], first_id: int) -> int:
    """How many packets, from the first on, are one SYMBOL frame each, with consecutive ids from `first_id` on."""
    first_id &= 0xFFFFFF
    expected = _SYMBOL << 24 | first_id
    if plaintexts and first_id + len(plaintexts) <= 0x1000000 and min(map(len, plaintexts)) > SYMBOL_OVERHEAD:
        heads = b"".join([plaintext[:SYMBOL_OVERHEAD] for plaintext in plaintexts])
        if heads == counted(expected, len(plaintexts), size=SYMBOL_OVERHEAD):
            return len(plaintexts)  # the usual case, compared at once
    last = _SYMBOL << 24 | 0xFFFFFF
    count = 0
    for plaintext in plaintexts:
        if int.from_bytes(plaintext[:SYMBOL_OVERHEAD], "big") != expected or len(plaintext) <= SYMBOL_OVERHEAD:
            break
        count += 1
        if expected == last:
            break
        expected += 1
    return count


def decode(plaintext: bytes) -> list[Frame]:
    """All frames of a packet, in order; PeerError("malformed") when any part of it is not as specified."""
    frames: list[Frame] = []
    frame: Frame
    at, end = 0, len(plaintext)
    try:
        while at < end:
            kind = plaintext[at]
            at += 1
            if kind == _PAD:
                break
            if kind in _LAST_DECODERS:
                frames.append(_LAST_DECODERS[kind](plaintext[at:]))
                break
            if kind == _PROMPT or kind >= _SKIPPABLE:
                start = at + SIZE_FIELD
                at = start + _U16.unpack_from(plaintext, at)[0]
                if at > end:
                    raise PeerError("malformed")
                if kind == _PROMPT:
                    frames.append(_decode_prompt(plaintext[start:at]))
                elif kind == _LOST and at - start == 3:
                    frames.append(Lost(plaintext[start], plaintext[start + 1] << 8 | plaintext[start + 2]))
                elif kind == _PACE and at - start == 4:
                    frames.append(Pace(int.from_bytes(plaintext[start:at], "big")))
                continue
            if kind in shorts.SIZES:
                frame, at = _decode_short(plaintext, at, shorts.SIZES[kind])
            else:
                frame, at = _DECODERS[kind](plaintext, at)
            frames.append(frame)
    except (KeyError, IndexError, StructError):
        raise PeerError("malformed") from None
    if at > end:
        raise PeerError("malformed")
    return frames


def _decode_symbol(body: bytes) -> Symbol:
    if len(body) <= 3:
        raise PeerError("malformed")
    return tuple.__new__(Symbol, (int.from_bytes(body[:3], "big"), body[3:]))  # as an Ack


def _decode_patient_symbol(body: bytes) -> PatientSymbol:
    if len(body) <= 2:
        raise PeerError("malformed")
    return PatientSymbol(int.from_bytes(body[:2], "big"), body[2:])


def _decode_piece(body: bytes) -> Piece:
    place, data = _U16.unpack_from(body, 3)[0], body[5:]
    offset = place & ~_LAST_PIECE
    if not data or offset + len(data) > MAX_SYMBOL:
        raise PeerError("malformed")
    return Piece(int.from_bytes(body[:3], "big"), offset, place & _LAST_PIECE != 0, data)


def _decode_repair(body: bytes) -> Repair:
    size = body[4] & ~_RUNS
    start = 5 + size
    members = _decode_members(body[4], body[5:start])
    if len(body) <= start + 2 or not members & 1 or size > MAX_MEMBERS_SIZE or members.bit_count() > MAX_MEMBERS:
        raise PeerError("malformed")
    return Repair(body[0], int.from_bytes(body[1:4], "big"), members, body[start:])


def _decode_prompt(body: bytes) -> Prompt:
    if len(body) <= 2:
        raise PeerError("malformed")
    return Prompt(_U16.unpack_from(body)[0], body[2:])


def _decode_small_prompt(data: bytes, at: int) -> tuple[Prompt, int]:
    end = at + 3 + data[at]
    if not data[at]:
        raise PeerError("malformed")
    return Prompt(_U16.unpack_from(data, at + 1)[0], data[at + 3 : end]), end


def _decode_short(data: bytes, at: int, size: int) -> tuple[NearPrompt, int]:
    end = at + size  # its code stands before, its id within
    return tuple.__new__(NearPrompt, (data[at], data[at - 1 : at] + data[at + 1 : end])), end  # as an Ack


def _decode_ack(data: bytes, at: int) -> tuple[Ack, int]:
    _, first, behind, clock, delay = _ACK_HEAD.unpack_from(data, at - 1)
    at += _ACK_HEAD.size - 1
    packets_end = at + 1 + data[at]
    floor_and_size, rank, redundant = _ACK_TAIL.unpack_from(data, packets_end)
    symbols_at = packets_end + _ACK_TAIL.size
    symbols_end = symbols_at + (floor_and_size & 0xFF)
    packets = int.from_bytes(data[at + 1 : packets_end], "little")
    if symbols_end > len(data) or not packets:
        raise PeerError("malformed")
    symbols = int.from_bytes(data[symbols_at:symbols_end], "little")
    fields = first, packets, behind, clock, delay * _ACK_DELAY_UNIT, floor_and_size >> 8, symbols, rank, redundant
    return tuple.__new__(Ack, fields), symbols_end  # half of what the constructor takes


def _decode_brief_ack(data: bytes, at: int) -> tuple[BriefAck, int]:
    _, largest, run, delay, floor = _BRIEF_ACK_BODY.unpack_from(data, at - 1)
    if not run:
        raise PeerError("malformed")
    return BriefAck(largest, run, delay * _ACK_DELAY_UNIT, floor), at - 1 + _BRIEF_ACK_BODY.size


def _decode_ping(data: bytes, at: int) -> tuple[Ping, int]:
    return Ping(), at


def _decode_patient(data: bytes, at: int) -> tuple[Patient, int]:
    return Patient(), at


def _decode_challenge(data: bytes, at: int) -> tuple[Challenge, int]:
    return Challenge(data[at : at + TOKEN_SIZE]), at + TOKEN_SIZE


def _decode_response(data: bytes, at: int) -> tuple[Response, int]:
    return Response(data[at : at + TOKEN_SIZE]), at + TOKEN_SIZE


def _decode_close(data: bytes, at: int) -> tuple[Close, int]:
    return Close(data[at]), at + 1


_LAST_DECODERS: dict[int, Callable[[bytes], Frame]] = {
    _SYMBOL: _decode_symbol,
    _PATIENT_SYMBOL: _decode_patient_symbol,
    _PIECE: _decode_piece,
    _REPAIR: _decode_repair,
}
_DECODERS: dict[int, Callable[[bytes, int], tuple[Frame, int]]] = {
    _PING: _decode_ping,
    _ACK: _decode_ack,
    _BRIEF_ACK: _decode_brief_ack,
    _PATIENT: _decode_patient,
    _CHALLENGE: _decode_challenge,
    _RESPONSE: _decode_response,
    _CLOSE: _decode_close,
    _SMALL_PROMPT: _decode_small_prompt,
}

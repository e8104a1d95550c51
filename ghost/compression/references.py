"""Headers of prompt packets, which come in any order or not at all: differences to a header that surely arrived.

A reference is a header with a number, one of 256. A prompt record may define one by the way; once that record is
acknowledged, later records may build on it. Nothing else is needed for certainty:

- The receiver keeps, with each reference, the id of the prompt that defined it, and refuses what has a lower id than
  the definition that it holds: it was made for an earlier one.
- A short prompt that is sent for the first time names its id by its distance from the reference's, in one byte. First
  transmissions leave in the order of their ids, so one in a packet that is older than that of the definition that the
  receiver holds was built on an earlier one, and is refused as well.
- The sender builds on a reference only between its acknowledgement and the moment at which it gives its number away.

So a record is restored as it was, or dropped, whatever was lost, repeated or overtaken.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from ghost.compression import exchange, tcp
from ghost.compression.tcp import BYTES
from ghost.errors import PeerError
from ghost.wire import records, shorts
from ghost.wire.inner import TCP
from ghost.wire.records import Encoding

COUNT: Final = 256
REDEFINE_AFTER: Final = 0.05
"""Seconds between two definitions of a flow: the older a reference, the longer the differences to it."""
NEAR: Final = 256  # prompts after its reference's within which a short prompt's id takes one byte
_Held = tuple[int, Any, "tcp.Slopes | None", int]  # defining prompt, header, slopes of TCP's, packet it came in
_IDEAL_SIZE: Final = 1  # bytes of a difference that a newer reference would not make shorter


class Reference:
    """One header as the sender knows it, TCP's with its slopes or that of an exchange.

    `owner` is the flow that builds on it.
    """

    __slots__ = ("number", "growth", "header", "least", "prompt_id", "owner")

    def __init__(
        self, number: int, header: Any, growth: tcp.Slopes | None, *, prompt_id: int, owner: PromptMemory
    ) -> None:
        """`growth` is None for an exchange."""
        self.number = number
        self.growth = growth
        self.header = header
        self.least = 0xFF
        """Bytes of the shortest difference to it so far: what is longer is so because it has become old."""
        self.prompt_id = prompt_id
        self.owner = owner


class PromptMemory:
    """What a flow's prompt records can build on."""

    __slots__ = ("known", "defined_at", "has_sent")

    def __init__(self) -> None:
        self.known: Reference | None = None
        self.defined_at = float("-inf")
        self.has_sent = False


class References:
    """The sending end's side of one connection."""

    __slots__ = ("is_near", "_held", "_pending")

    def __init__(self) -> None:
        self.is_near = False
        """Whether the record made last may go as a near prompt."""
        self._held: OrderedDict[int, Reference | None] = OrderedDict.fromkeys(range(COUNT))  # least recently used first
        self._pending: dict[int, Reference] = {}  # by the prompt that defines it

    def compress(
        self,
        packet: bytes,
        protocol: int,
        memory: PromptMemory,
        *,
        prompt_id: int,
        now: float,
        shrink: Callable[[bytes], bytes | None] = lambda payload: None,
    ) -> bytes:
        """The record of a prompt packet, or its short form. `shrink` compresses a payload of UDP, or does not."""
        self._pending.pop(prompt_id, None)  # of a record that was dropped before it got this id
        is_tcp = protocol == TCP
        self.is_near = False
        known = memory.known
        if known is not None and (self._held[known.number] is not known or (known.growth is not None) != is_tcp):
            known = memory.known = None
        if known is not None:
            self._held.move_to_end(known.number)
        is_due = memory.has_sent and now - memory.defined_at >= REDEFINE_AFTER
        memory.has_sent = True
        owner = memory if is_due else None
        if is_tcp:
            return self._pack_tcp(packet, known, owner, prompt_id, now)
        return self._pack_exchange(packet, known, owner, prompt_id, now, shrink)

    def on_acked(self, prompt_id: int) -> None:
        """The prompt arrived, and what it defines with it."""
        reference = self._pending.pop(prompt_id, None)
        if reference is not None:
            former = reference.owner.known
            if former is None or former.prompt_id < prompt_id:
                reference.owner.known = reference

    def forget(self, number: int) -> None:
        """The receiver does not hold it."""
        reference = self._held[number]
        if reference is not None:
            self._pending.pop(reference.prompt_id, None)
            self._held[number] = None

    def _pack_tcp(
        self, packet: bytes, known: Reference | None, owner: PromptMemory | None, prompt_id: int, now: float
    ) -> bytes:
        """`owner` is the flow's memory where the packet may define a reference, as below."""
        packed = None
        steps = 0
        if known is not None:
            steps = prompt_id - known.prompt_id
            packed = tcp.compress(known.header, packet, steps=steps)
        if known is None or known.growth is None or packed is None:
            header = tcp.remember(packet) if owner is not None else None
            if owner is None or header is None:
                return _record(Encoding.PLAIN, packet)
            new = self._define(header, tcp.FLAT, owner, prompt_id=prompt_id, now=now)
            return _record(Encoding.PLAIN_DEFINE, new, packet)
        delta, payload, header = packed
        new = b""
        if owner is not None and len(delta) > _IDEAL_SIZE:
            growth = tcp.slopes(known.header, header, steps=steps)
            new = self._define(header, growth, owner, prompt_id=prompt_id, now=now)
        short = None if payload else tcp.shorten(known.header, header, delta, growth=known.growth, steps=steps)
        if short is not None:
            self.is_near = steps <= NEAR
            code = short[0] + shorts.DEFINES if new else short[0]
            return b"".join((BYTES[code], BYTES[known.number], new, short[1:]))
        encoding = Encoding.REFERENCE_DEFINE if new else Encoding.REFERENCE
        return _record(encoding, BYTES[known.number], new, delta, payload)

    def _pack_exchange(
        self,
        packet: bytes,
        known: Reference | None,
        owner: PromptMemory | None,
        prompt_id: int,
        now: float,
        shrink: Callable[[bytes], bytes | None],
    ) -> bytes:
        parsed = exchange.parse(packet)
        if parsed is None:
            return _record(Encoding.PLAIN, packet)
        header, payload = parsed
        delta = None
        if known is not None:
            delta = exchange.difference(known.header, header, steps=prompt_id - known.prompt_id)
        if (shrunk := shrink(payload)) is not None:  # then it defines nothing: what shrinks is seldom a steady flow
            if known is None or delta is None:
                return _record(Encoding.ALONE_ZSTD, exchange.encode(header), shrunk)
            return _record(Encoding.REFERENCE_ZSTD, BYTES[known.number], delta, shrunk)
        new = b""
        if known is not None and delta is not None:
            known.least = min(known.least, len(delta))
        if owner is not None and (known is None or delta is None or len(delta) > known.least):
            new = self._define(header, None, owner, prompt_id=prompt_id, now=now)
        if known is None or delta is None:
            encoding = Encoding.ALONE_DEFINE if new else Encoding.ALONE
            return _record(encoding, new, exchange.encode(header), payload)
        encoding = Encoding.REFERENCE_DEFINE if new else Encoding.REFERENCE
        return _record(encoding, BYTES[known.number], new, delta, payload)

    def _define(
        self, header: Any, growth: tcp.Slopes | None, owner: PromptMemory, *, prompt_id: int, now: float
    ) -> bytes:
        """The number of the new reference, taken from the one longest unused."""
        number, former = self._held.popitem(last=False)
        if former is not None:
            self._pending.pop(former.prompt_id, None)
        reference = Reference(number, header, growth, prompt_id=prompt_id, owner=owner)
        self._held[number] = self._pending[prompt_id] = reference
        owner.defined_at = now
        return BYTES[number]


class ReferenceTable:
    """The receiving end's side of one connection."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}

    def near_id(self, record: bytes, low: int, *, packet_number: int) -> int:
        """The whole id of a near prompt that came in that packet; PeerError for one of an earlier definition."""
        held = self._held.get(record[1])
        if held is None or packet_number <= held[3]:
            raise PeerError("reference")
        return held[0] + 1 + (low - held[0] - 1) % NEAR

    def restore(
        self, record: bytes, prompt_id: int, *, expand: Callable[[bytes], bytes], packet_number: int = 0
    ) -> bytes:
        """The packet of a compressed prompt record or short form; PeerError for nonsense.

        `expand` is the counterpart of `shrink`; the record came in the packet of that number.
        """
        if record[0] in shorts.SIZES:
            return self._restore_short(record, prompt_id, packet_number)
        encoding, body = record[0] & records.ENCODING_MASK, record[1:]
        header: Any
        try:
            if encoding == Encoding.PLAIN_DEFINE:
                packet = body[1:]
                self._define(body[0], prompt_id, tcp.remember(packet), tcp.FLAT, packet_number)
                return packet
            if encoding == Encoding.ALONE_DEFINE:
                header, used = exchange.decode(body[1:])
                packet = exchange.build(header, body[1 + used :])
                self._define(body[0], prompt_id, header, None, packet_number)
                return packet
            if encoding == Encoding.REFERENCE_ZSTD:
                origin, last, growth, _ = self._find(body[0], prompt_id)
                if growth is not None:
                    raise PeerError("malformed")
                return exchange.restore(last, body[1:], steps=prompt_id - origin, expand=expand)
            if encoding not in (Encoding.REFERENCE, Encoding.REFERENCE_DEFINE):
                raise PeerError("malformed")
            at = 1 + (encoding == Encoding.REFERENCE_DEFINE)
            origin, last, growth, _ = self._find(body[0], prompt_id)
            if growth is not None:
                packet, header = tcp.restore(last, body[at:], steps=prompt_id - origin)
                growth = tcp.slopes(last, header, steps=prompt_id - origin)
            else:
                header, used = exchange.apply(last, body[at:], steps=prompt_id - origin)
                packet = exchange.build(header, body[at + used :])
            if at == 2:
                self._define(body[1], prompt_id, header, growth, packet_number)
            return packet
        except IndexError:
            raise PeerError("malformed") from None

    def _restore_short(self, record: bytes, prompt_id: int, packet_number: int) -> bytes:
        if len(record) != shorts.SIZES[record[0]]:
            raise PeerError("malformed")
        origin, last, growth, _ = self._find(record[1], prompt_id)
        if growth is None:
            raise PeerError("malformed")
        defines = shorts.parts(record[0])[4]
        steps = prompt_id - origin
        packet, header = tcp.lengthen(last, record[0], record[2 + defines :], growth=growth, steps=steps)
        if defines:
            self._define(record[2], prompt_id, header, tcp.slopes(last, header, steps=steps), packet_number)
        return packet

    def _find(self, number: int, prompt_id: int) -> _Held:
        held = self._held.get(number)
        if held is None or held[0] >= prompt_id:
            raise PeerError("reference")
        return held

    def _define(self, number: int, prompt_id: int, header: Any, growth: tcp.Slopes | None, packet_number: int) -> None:
        if header is None:
            raise PeerError("malformed")
        held = self._held.get(number)
        if held is None or held[0] < prompt_id:  # else this one is late
            self._held[number] = prompt_id, header, growth, packet_number


def _record(encoding: int, *parts: bytes) -> bytes:
    return b"".join((BYTES[records.WHOLE | encoding], *parts))

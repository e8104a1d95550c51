"""The receiving pipeline: symbols and prompt records in, inner packets out.

    symbol -> once each -> records -> order of the flow -> parts joined -> decompressed -> inner packet
    prompt -> once each -> record --------------------------------------^

A flow waits for its own missing records only. Everything held is bounded: by the window of symbols, by the number of
flows, and by the size of an inner packet. TCP inside never sees a reordering that the path made, because its answer
to that is to slow down (simulated at 30 % loss: 0.06 of the ceiling out of order, 0.9 in order).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from ghost.compression import exchange, groups, tcp
from ghost.compression.agreement import Agreement
from ghost.compression.credentials import METHOD_SIZE, METHODS, has_mark
from ghost.compression.dictionaries import Kind
from ghost.compression.payload import MAX_PACKET, PacketCompressor, unpad_packet
from ghost.compression.references import ReferenceTable
from ghost.compression.streams import StreamTable
from ghost.compression.trains import Coach, SuperPacket
from ghost.crypto.replay import ReplayWindow
from ghost.errors import PeerError
from ghost.reliability.decoder import Decoder
from ghost.reliability.pieces import PieceJoiner
from ghost.reliability.receive_window import ReceiveWindow
from ghost.reliability.send_window import MAX_SYMBOLS
from ghost.tunnel.runs import segments_in_order
from ghost.wire import frames, inner, records, shorts
from ghost.wire.numbers import expand, stretches
from ghost.wire.records import Encoding

MAX_HELD: Final = MAX_SYMBOLS * records.MAX_RECORDS
"""Records that wait for an earlier one, all flows together: what a full window can hold, so only a liar reaches it."""


class _FlowOrder:
    """What one flow is waiting for: the next sequence, later records, and the parts of an unfinished packet.

    And what it remembers of the last packet's header: all of the packet, until a delta asks for it.
    """

    __slots__ = ("next_sequence", "held", "held_since", "parts", "parts_size", "header", "plain", "coach")

    def __init__(self) -> None:
        self.next_sequence = 0
        self.held: dict[int, records.Record] = {}
        self.held_since: float | None = None
        """If what is held is worth less with every moment: since when there has been a gap before it."""
        self.parts: list[bytes] = []
        self.parts_size = 0
        self.header: tcp.Header | None = None
        self.plain: bytes | None = None
        self.coach: Coach | None = None
        """Segments behind that header, which wait for more to leave with."""


def _header(flow: _FlowOrder) -> tcp.Header | None:
    """Of the last packet, before the segments that have boarded."""
    if flow.plain is not None:
        flow.header, flow.plain = tcp.remember(flow.plain), None
    return flow.header


class Receiver:
    """One connection's receiving half."""

    def __init__(
        self,
        agreement: Agreement,
        *,
        joins_segments: bool = False,
        distrust: Callable[[bytes], None] | None = None,
    ) -> None:
        """`distrust` is told the key of a flow whose other direction carries credentials.

        `joins_segments`: who takes the packets takes super-packets too.
        """
        self._joins_segments = joins_segments
        self._boarding: list[_FlowOrder] = []
        self.window = ReceiveWindow()
        self._duplicates = 0
        self._decoder = Decoder()
        self._pieces = PieceJoiner()
        self._prompts_seen = ReplayWindow()
        self._compressor = PacketCompressor() if agreement.zstd else None
        self._has_dns = agreement.dns
        self._has_groups = agreement.groups
        self._has_headers = agreement.headers
        self._references = ReferenceTable()
        self._streams = StreamTable(agreement.streams)
        self._distrust = distrust if agreement.streams else None
        self._lost: dict[frames.Lost, None] = {}
        self._fault: PeerError | None = None
        self._flows: dict[int, _FlowOrder] = {}
        self._held = 0
        self._now = 0.0
        self._impatient: dict[int, _FlowOrder] = {}  # by flow id: those whose gap is not waited for without an end
        self._packets: list[bytes | SuperPacket] = []

    @property
    def rank(self) -> int:
        """Repairs that wait for more."""
        return self._decoder.rank

    @property
    def redundant(self) -> int:
        """Symbols and repairs that taught nothing."""
        return self._duplicates + self._decoder.redundant

    def on_symbol(self, symbol: frames.Symbol, now: float) -> None:
        """PeerError for a symbol beyond the window or records that are not as specified."""
        self.take_symbol(symbol.symbol_id, symbol.payload, now)

    def take_symbol(self, truncated_id: int, payload: bytes, now: float) -> None:
        """`on_symbol` for the frame's parts."""
        self._now = now
        symbol_id = self.window.accept(truncated_id)
        if symbol_id is None:
            self._duplicates += 1
            return
        solved = self._decoder.on_symbol(symbol_id, payload, now)
        if not self._joins_segments or not self._is_boarded(payload):
            self._on_records(payload)
        if solved:
            self._on_solved(solved)

    @property
    def takes_runs(self) -> bool:
        """Whether nothing is missing, so that the next symbols may be taken together."""
        return not self.window.has_holes and not self._decoder.rank

    def take_run(self, symbols: list[bytes], now: float) -> list[PeerError]:
        """`take_symbol` for the payloads of the next symbols, in order; returns what was wrong with some."""
        self._decoder.on_run(self.window.accept_run(len(symbols)), symbols, now)
        faults: list[PeerError] = []
        at = 0
        while at < len(symbols):
            taken = self._board_run(symbols, at)
            if not taken:
                taken = 1
                try:
                    if not self._is_boarded(symbols[at]):
                        self._on_records(symbols[at])
                except PeerError as error:
                    faults.append(error)
            at += taken
        return faults

    def on_patient_symbol(self, symbol: frames.PatientSymbol, now: float) -> None:
        """As a symbol. The replay window bounds how old it can be, so that its id is not ambiguous."""
        symbol_id = expand(symbol.symbol_id, bits=frames.BRIEF_BITS, near=self.window.floor)
        self.on_symbol(frames.Symbol(symbol_id & 0xFFFFFF, symbol.payload), now)

    def on_piece(self, piece: frames.Piece, now: float) -> None:
        """As a symbol, when it is whole."""
        floor = self.window.floor
        symbol_id = expand(piece.symbol_id, bits=frames.SYMBOL_ID_BITS, near=floor)
        if symbol_id > floor + MAX_SYMBOLS:
            raise PeerError("window")
        if self.window.is_known(symbol_id):
            self._duplicates += 1
            return
        whole = self._pieces.add(symbol_id, piece.offset, piece.data, is_last=piece.is_last, floor=floor)
        if whole is not None:
            self.take_symbol(symbol_id & 0xFFFFFF, whole, now)

    def on_repair(self, repair: frames.Repair, now: float) -> None:
        """PeerError as for a symbol."""
        self._now = now
        first = expand(repair.first_id, bits=frames.SYMBOL_ID_BITS, near=self.window.floor)
        members = [symbol_id for start, end in stretches(repair.members, first) for symbol_id in range(start, end)]
        if members[-1] > self.window.floor + MAX_SYMBOLS:
            raise PeerError("window")
        self._on_solved(self._decoder.on_repair(repair.seed, members, repair.payload, floor=self.window.floor, now=now))

    def on_prompt(self, prompt: frames.Prompt, packet_number: int) -> None:
        """PeerError for a record that is not as specified, or builds on what is not known."""
        prompt_id = expand(prompt.prompt_id, bits=frames.PROMPT_ID_BITS, near=self._prompts_seen.largest + 1)
        if not self._prompts_seen.is_fresh(prompt_id):
            return
        self._prompts_seen.mark(prompt_id)
        head = prompt.record[0]
        if head in shorts.SIZES or (head >= records.WHOLE | Encoding.REFERENCE and head < records.WHOLE + 0x10):
            if not self._has_headers:
                raise PeerError("malformed")
            self._restore_prompt(prompt.record, prompt_id, packet_number)
        else:
            self._on_records(prompt.record)

    def on_near_prompt(self, prompt: frames.NearPrompt, packet_number: int) -> None:
        """PeerError as above; it came in the packet of that number."""
        if not self._has_headers:
            raise PeerError("malformed")
        prompt_id = self._references.near_id(prompt.record, prompt.prompt_id, packet_number=packet_number)
        self.on_prompt(frames.Prompt(prompt_id & 0xFFFF, prompt.record), packet_number)

    @property
    def is_impatient(self) -> bool:
        """Whether a stream of UDP waits for what is missing."""
        return bool(self._impatient)

    def next_release(self, patience: float) -> float | None:
        """When `release` has something to do."""
        if not self._impatient:
            return None
        return min(flow.held_since for flow in self._impatient.values() if flow.held_since is not None) + patience

    def release(self, now: float, patience: float) -> None:
        """Goes on without what streams of UDP have waited for during `patience` seconds."""
        self._now = now
        for flow_id, flow in list(self._impatient.items()):
            if flow.held_since is None or now < flow.held_since + patience:
                continue
            flow.parts, flow.parts_size = [], 0
            flow.next_sequence = min(flow.held)
            try:
                self._join_held(flow_id, flow)
            except PeerError as error:
                self._fault = self._fault or error  # counted with the next packet

    @property
    def has_lost(self) -> bool:
        """Whether the sender must be told of something."""
        return bool(self._lost)

    def take_lost(self) -> list[frames.Lost]:
        """What the sender must be told that this end does not hold."""
        lost, self._lost = list(self._lost), {}
        return lost

    @property
    def has_packets(self) -> bool:
        return bool(self._packets or self._boarding)

    def take_packets(self) -> list[bytes | SuperPacket]:
        """Inner packets ready for delivery, each once."""
        for flow in self._boarding:
            self._depart(flow)
        self._boarding.clear()
        packets, self._packets = self._packets, []
        return packets

    def _on_solved(self, solved: list[tuple[int, bytes]]) -> None:
        for symbol_id, payload in solved:
            if self.window.accept(symbol_id & 0xFFFFFF) is not None:
                self._on_records(payload)

    def _on_records(self, data: bytes) -> None:
        for record in records.decode(data):
            self._on_record(record)
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault

    def _on_record(self, record: records.Record) -> None:
        if record.flow == records.UNORDERED:
            if not (record.is_first and record.is_last):
                raise PeerError("malformed")
            self._deliver(record.flow, None, record.encoding, record.body)
            return
        if record.flow >= records.MAX_FLOWS:
            raise PeerError("malformed")
        flow = self._flows.get(record.flow)
        if flow is None:
            flow = self._flows[record.flow] = _FlowOrder()
        sequence = expand(record.sequence, bits=records.SEQUENCE_BITS, near=flow.next_sequence)
        if sequence != flow.next_sequence:
            if sequence < flow.next_sequence and _is_stream(record) and record.is_last:
                self._deliver(record.flow, None, record.encoding, record.body)  # the others did not wait for it
                return
            if sequence < flow.next_sequence or sequence in flow.held or self._held >= MAX_HELD:
                raise PeerError("window")
            flow.held[sequence] = record
            self._held += 1
            if flow.held_since is None and _is_stream(record):
                flow.held_since = self._now
                self._impatient[record.flow] = flow
            return
        self._join(flow, record)
        if flow.held:
            self._join_held(record.flow, flow)

    def _join_held(self, flow_id: int, flow: _FlowOrder) -> None:
        """What follows without a gap."""
        has_moved = False
        while (record := flow.held.pop(flow.next_sequence, None)) is not None:
            self._held -= 1
            has_moved = True
            self._join(flow, record)
        if flow.held_since is not None and has_moved:
            if any(map(_is_stream, flow.held.values())):
                flow.held_since = self._now  # another gap
            else:
                flow.held_since = None
                del self._impatient[flow_id]

    def _join(self, flow: _FlowOrder, record: records.Record) -> None:
        """Takes the flow's next record; a packet is ready with its last part."""
        flow.next_sequence += 1
        if record.is_first and record.is_last:
            self._deliver(record.flow, flow, record.encoding, record.body)
            return
        if record.is_first:
            flow.parts, flow.parts_size = [], 0
        elif not flow.parts:
            return  # its beginning was not waited for
        flow.parts.append(record.body)
        flow.parts_size += len(record.body)
        if flow.parts_size > MAX_PACKET:
            flow.parts, flow.parts_size = [], 0
            raise PeerError("malformed")
        if record.is_last:
            body, flow.parts, flow.parts_size = b"".join(flow.parts), [], 0
            self._deliver(record.flow, flow, record.encoding, body)

    def _restore_prompt(self, record: bytes, prompt_id: int, packet_number: int) -> None:
        try:
            packet = self._references.restore(record, prompt_id, expand=self._expand, packet_number=packet_number)
            self._packets.append(packet)
        except PeerError as error:
            if error.reason == "reference":
                self._lost[frames.Lost(frames.LOST_REFERENCE, record[1])] = None
            raise

    def _deliver(self, flow_id: int, flow: _FlowOrder | None, encoding: int, body: bytes) -> None:
        """A packet is complete. One that cannot be restored must not keep others from being delivered: it is lost,
        as on any path, and the sender told, so that those behind it are not."""
        if self._joins_segments and flow is not None:
            if encoding == Encoding.DELTA and self._board(flow, body):
                return
            self._depart(flow)
        try:
            if encoding == Encoding.GROUP:
                self._packets += self._restore_group(flow_id, flow, body)
            else:
                self._packets.append(self._restore(flow_id, flow, encoding, body))
        except PeerError as error:
            self._fault = self._fault or error
            if flow is not None:
                flow.header = flow.plain = None
                self._lost[frames.Lost(frames.LOST_LANE, flow_id)] = None

    def _is_boarded(self, data: bytes) -> bool:
        """Takes a symbol that is but the next segment of a flow: all that a fast transfer's packets come to."""
        flow, at = self._boarding_flow(data)
        if flow is None or flow.coach is None or not flow.coach.board(data[at:]):
            return False
        flow.next_sequence += 1
        return True

    def _board_run(self, symbols: list[bytes], start: int) -> int:
        """The same for those from `start` on, as long as all are of one flow and size; returns how many."""
        flow, at = self._boarding_flow(symbols[start])
        if flow is None or flow.coach is None:
            return 0
        at += 1
        head = symbols[start][:at]
        coach = flow.coach
        if head[-1]:
            return 0
        count = segments_in_order(symbols, start, coach.room, head=head, size=coach.segment_size)
        coach.board_run([symbol[at:] for symbol in symbols[start : start + count]])
        flow.next_sequence += count
        return count

    def _boarding_flow(self, data: bytes) -> tuple[_FlowOrder | None, int]:
        """The flow whose next segment this symbol is, and where the record's body begins."""
        if data[0] != _SEGMENT or len(data) < records.RECORD_OVERHEAD + 2:
            return None, 0
        at = 2 if data[1] < 0x80 else 3
        flow = self._flows.get(data[1] if at == 2 else (data[1] & 0x7F) << 8 | data[2])
        if flow is None or flow.held or (data[at] << 8 | data[at + 1]) != flow.next_sequence & 0xFFFF:
            return None, 0
        return flow, at + 2

    def _board(self, flow: _FlowOrder, body: bytes) -> bool:
        """A segment that continues the one before it: what is the same in all of them is made once, when they leave."""
        if flow.coach is not None and flow.coach.board(body):
            return True
        self._depart(flow)
        header = _header(flow)
        flow.coach = Coach.of(header, body) if header is not None else None
        if flow.coach is None:
            return False
        self._boarding.append(flow)
        return True

    def _depart(self, flow: _FlowOrder) -> None:
        if flow.coach is not None:
            packet, flow.header = flow.coach.leave()
            flow.coach = None
            self._packets.append(packet)

    def _restore_group(self, flow_id: int, flow: _FlowOrder | None, body: bytes) -> list[bytes]:
        header = _header(flow) if flow is not None else None
        if not self._has_groups or flow is None:
            raise PeerError("malformed")
        group = groups.decode(body)
        payloads = self._streams.expand(flow_id, group.piece, is_new=group.is_new)
        if header is None:
            raise PeerError("reference")
        if sum(size for _, size in group.members) != len(payloads):
            raise PeerError("malformed")
        packets, at = [], 0
        for delta, size in group.members:
            packet, header = tcp.restore(header, delta, expand=partial(_fill, payloads[at : at + size]))
            packets.append(packet)
            at += size
        flow.header = header
        return packets

    def _restore(self, flow_id: int, flow: _FlowOrder | None, encoding: int, body: bytes) -> bytes:
        """The packet; `flow` is the one in whose order it came."""
        if encoding in _DELTAS:
            if flow is None:
                raise PeerError("reference")
            reference = _header(flow)
            if reference is None:
                raise PeerError("reference")
            if encoding == Encoding.DELTA:
                packet, flow.header = tcp.restore(reference, body)
                if self._distrust is not None:
                    self._look_for_credentials(packet, self._distrust)
                return packet
            expand_payload = partial(self._streams.expand, flow_id, is_new=encoding == Encoding.STREAM_START)
            packet, flow.header = tcp.restore(reference, body, expand=expand_payload)
            return packet
        if encoding == Encoding.PLAIN:
            packet = body
        elif encoding == Encoding.ZSTD:
            packet = self._decompress(body)
        elif encoding in (Encoding.ALONE, Encoding.ALONE_ZSTD) and self._has_headers:
            header, payload_at = exchange.decode(body)
            payload = body[payload_at:]
            packet = exchange.build(header, self._expand(payload) if encoding == Encoding.ALONE_ZSTD else payload)
        else:
            raise PeerError("malformed")
        if flow is not None and self._has_headers:
            flow.plain = packet
            if self._distrust is not None:
                self._look_for_credentials(packet, self._distrust)
        return packet

    def _look_for_credentials(self, packet: bytes, distrust: Callable[[bytes], None]) -> None:
        """Requests by HTTP are never compressed, so they are found among the packets that are not."""
        payload_at = 20 + (packet[32] >> 2 & 0x3C) if len(packet) > 40 else 0
        if packet[payload_at : payload_at + METHOD_SIZE] in METHODS and has_mark(packet.lower()):
            parsed = inner.parse(packet)
            if parsed is not None and parsed.protocol == inner.TCP:
                distrust(inner.reverse(parsed.key))

    def _expand(self, padded: bytes) -> bytes:
        body, kind = unpad_packet(padded)
        if kind and not self._has_dns:
            raise PeerError("malformed")
        return self._decompress(body, kind)

    def _decompress(self, body: bytes, kind: Kind = Kind.NONE) -> bytes:
        if self._compressor is None:
            raise PeerError("malformed")
        return self._compressor.decompress(body, kind)


def _fill(payload: bytes, rest: bytes) -> bytes:
    """The payload of a header whose delta is all that there is."""
    if rest:
        raise PeerError("malformed")
    return payload


def _is_stream(record: records.Record) -> bool:
    """Whether it is a packet in order that is no TCP: late is as good as lost to most of those."""
    if record.encoding in _ALONE:
        return record.is_first
    return (
        record.encoding == Encoding.PLAIN and record.is_first and len(record.body) > 9 and record.body[9] != inner.TCP
    )


_ALONE: Final = frozenset((Encoding.ALONE, Encoding.ALONE_ZSTD))
_SEGMENT: Final = records.ordered_head(Encoding.DELTA, 0)[0]
_DELTAS: Final = frozenset((Encoding.DELTA, Encoding.STREAM, Encoding.STREAM_START))

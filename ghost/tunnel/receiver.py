"""The receiving pipeline: symbols and prompt records in, inner packets out.

    symbol -> once each -> records -> order of the flow -> parts joined -> decompressed -> inner packet
    prompt -> once each -> record --------------------------------------^

A flow waits for its own missing records only. Everything held is bounded: by the window of symbols, by the number of
flows, and by the size of an inner packet. TCP inside never sees a reordering that the path made, because its answer
to that is to slow down (simulated at 30 % loss: 0.06 of the ceiling out of order, 0.9 in order).
"""

from __future__ import annotations

from typing import Final

from ghost.compression.payload import MAX_PACKET, PacketCompressor
from ghost.crypto.replay import ReplayWindow
from ghost.errors import PeerError
from ghost.reliability.decoder import Decoder
from ghost.reliability.receive_window import ReceiveWindow
from ghost.reliability.send_window import MAX_SYMBOLS
from ghost.wire import frames, records
from ghost.wire.numbers import expand

MAX_HELD: Final = MAX_SYMBOLS * records.MAX_RECORDS
"""Records that wait for an earlier one, all flows together: what a full window can hold, so only a liar reaches it."""


class _FlowOrder:
    """What one flow is waiting for: the next sequence, later records, and the parts of an unfinished packet."""

    __slots__ = ("next_sequence", "held", "parts", "parts_size")

    def __init__(self) -> None:
        self.next_sequence = 0
        self.held: dict[int, records.Record] = {}
        self.parts: list[bytes] = []
        self.parts_size = 0


class Receiver:
    """One connection's receiving half."""

    def __init__(self, compressor: PacketCompressor | None) -> None:
        self.window = ReceiveWindow()
        self._duplicates = 0
        self._decoder = Decoder()
        self._prompts_seen = ReplayWindow()
        self._compressor = compressor
        self._flows: dict[int, _FlowOrder] = {}
        self._held = 0
        self._packets: list[bytes] = []

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
        symbol_id = self.window.accept(symbol.symbol_id)
        if symbol_id is None:
            self._duplicates += 1
            return
        solved = self._decoder.on_symbol(symbol_id, symbol.payload, now)
        self._on_records(symbol.payload)
        self._on_solved(solved)

    def on_repair(self, repair: frames.Repair, now: float) -> None:
        """PeerError as for a symbol."""
        first = expand(repair.first_id, bits=frames.SYMBOL_ID_BITS, near=self.window.floor)
        members = [first + offset for offset in range(repair.members.bit_length()) if repair.members >> offset & 1]
        if members[-1] > self.window.floor + MAX_SYMBOLS:
            raise PeerError("window")
        self._on_solved(self._decoder.on_repair(repair.seed, members, repair.payload, floor=self.window.floor, now=now))

    def on_prompt(self, prompt: frames.Prompt) -> None:
        prompt_id = expand(prompt.prompt_id, bits=frames.PROMPT_ID_BITS, near=self._prompts_seen.largest + 1)
        if self._prompts_seen.is_fresh(prompt_id):
            self._prompts_seen.mark(prompt_id)
            self._on_records(prompt.record)

    def take_packets(self) -> list[bytes]:
        """Inner packets ready for delivery, each once."""
        packets, self._packets = self._packets, []
        return packets

    def _on_solved(self, solved: list[tuple[int, bytes]]) -> None:
        for symbol_id, payload in solved:
            if self.window.accept(symbol_id & 0xFFFFFF) is not None:
                self._on_records(payload)

    def _on_records(self, data: bytes) -> None:
        for record in records.decode(data):
            self._on_record(record)

    def _on_record(self, record: records.Record) -> None:
        if record.flow == records.UNORDERED:
            if not (record.is_first and record.is_last):
                raise PeerError("malformed")
            self._finish(record.encoding, record.body)
            return
        if record.flow >= records.MAX_FLOWS:
            raise PeerError("malformed")
        flow = self._flows.get(record.flow)
        if flow is None:
            flow = self._flows[record.flow] = _FlowOrder()
        sequence = expand(record.sequence, bits=records.SEQUENCE_BITS, near=flow.next_sequence)
        if sequence != flow.next_sequence:
            if sequence < flow.next_sequence or sequence in flow.held or self._held >= MAX_HELD:
                raise PeerError("window")
            flow.held[sequence] = record
            self._held += 1
            return
        self._join(flow, record)
        while (record_ := flow.held.pop(flow.next_sequence, None)) is not None:
            self._held -= 1
            self._join(flow, record_)

    def _join(self, flow: _FlowOrder, record: records.Record) -> None:
        """Takes the flow's next record; a packet is ready with its last part."""
        flow.next_sequence += 1
        if record.is_first and record.is_last:
            self._finish(record.encoding, record.body)
            return
        if record.is_first:
            flow.parts, flow.parts_size = [], 0
        flow.parts.append(record.body)
        flow.parts_size += len(record.body)
        if flow.parts_size > MAX_PACKET:
            flow.parts, flow.parts_size = [], 0
            raise PeerError("malformed")
        if record.is_last:
            body, flow.parts, flow.parts_size = b"".join(flow.parts), [], 0
            self._finish(record.encoding, body)

    def _finish(self, encoding: int, body: bytes) -> None:
        if encoding == records.Encoding.PLAIN:
            self._packets.append(body)
        elif encoding == records.Encoding.ZSTD and self._compressor is not None:
            self._packets.append(self._compressor.decompress(body))
        else:
            raise PeerError("malformed")

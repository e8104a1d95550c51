"""The sending pipeline: inner packets in, plaintexts of packets out.

    inner packet -> class -> prompt record ------------------------------\\
                        \\-> flow queue -> compress -> records -> symbol --> plaintext, numbered

A packet is filled in this order: control frames and the acknowledgement that the connection hands in, prompt records,
then one symbol: a missing one again, else a new one. Only symbols wait for the pacer and the window; prompt records
borrow from it; a due acknowledgement or a probe leaves whatever they say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ghost.compression.payload import PacketCompressor
from ghost.constants import MAX_SYMBOL, PACKET_OVERHEAD
from ghost.errors import PeerError
from ghost.reliability.acks import MAX_ACK_DELAY
from ghost.reliability.congestion import CongestionControl
from ghost.reliability.field import combine
from ghost.reliability.loss import LossDetector, SentPacket
from ghost.reliability.lossrate import LossRate
from ghost.reliability.pacing import Pacer
from ghost.reliability.prompts import PromptSender, copies_for
from ghost.reliability.repair import RepairPolicy, coding_window
from ghost.reliability.rtt import RttEstimator
from ghost.reliability.send_window import SendWindow
from ghost.tunnel.flows import Flow, FlowQueue, FlowTable
from ghost.wire import frames, records
from ghost.wire.inner import TCP, Inner
from ghost.wire.numbers import expand

FULL_PACKET: Final = 1480  # bytes on the wire
WIRE_HEADERS: Final = 28  # bytes of IPv4 and UDP around a datagram: the path's rate is spent on them too
LARGEST_PROMPT: Final = 1200  # bytes of inner packet; a bigger one would fill a datagram and travels as a symbol
LEAST_FRAGMENT: Final = 256  # bytes of room below which a record is not begun
PROBE_SHARE: Final = 0.05  # of the rate may go into probes: a burst of losses passes by packets, not by time
PROBE_PACKETS: Final = (2, 8)  # least (RFC 9002 section 6.2.4) and most at once
PROBES_BEFORE_SILENCE: Final = 3  # unanswered probes after which only probes are sent: the path is gone
PROBES_BEFORE_BACKOFF: Final = 8  # a burst of losses must not slow the probing down
CODED: Final = -1  # in place of a symbol's id: a repair over several
MAX_PROBE_INTERVAL: Final = 1.0  # seconds: a path that comes back is found within this


class _Staged:
    """A record on its way into a symbol: what is left of an inner packet, compressed or not."""

    __slots__ = ("flow", "encoding", "body", "is_first", "needs_parts")

    def __init__(self, flow: Flow, encoding: int, body: bytes) -> None:
        self.flow = flow
        self.encoding = encoding
        self.body = body
        self.is_first = True
        self.needs_parts = len(body) + records.RECORD_OVERHEAD > MAX_SYMBOL


class Sender:
    """One connection's sending half. Sizes in bytes, times in seconds."""

    def __init__(
        self,
        *,
        max_datagram: int,
        max_rate: float | None,
        compressor: PacketCompressor | None,
        pad: Callable[[int], int],
        now: float,
    ) -> None:
        """`max_rate` in bytes a second; `compressor` None for no compression; `pad` gives a plaintext's padding."""
        self.rtt = RttEstimator()
        self.repairs_sent = 0
        self.congestion = CongestionControl(max_rate=max_rate, now=now)
        self.loss_rate = LossRate()
        self.next_packet_number = 0
        self.probes_unanswered = 0
        self.sent_bytes = 0  # on the wire, headers included
        self.retransmitted = 0
        self.saved_by_compression = 0
        self._room = max_datagram - PACKET_OVERHEAD
        self._pad = pad
        self._compressor = compressor
        self._flows = FlowTable()
        self._queue = FlowQueue()
        self._staged: _Staged | None = None
        self._prompts = PromptSender(now)
        self._window = SendWindow()
        self._in_flight = LossDetector()
        self._repairs = RepairPolicy(now)
        self._pacer = Pacer(self.congestion.pacing_rate, now)
        self._last_eliciting = now
        self._peer_clock = 0
        self._owed_probes = 0

    # ---- in ---------------------------------------------------------------------------------------------------

    def queue_packet(self, packet: bytes, inner: Inner, now: float) -> None:
        """An inner packet wants to cross; it is dropped where its queue is full."""
        flow = self._flows.find(inner, now)
        is_sparse = inner.protocol != TCP and flow.is_sparse_with(len(packet), now)
        if len(packet) <= LARGEST_PROMPT and (inner.is_pure_ack or is_sparse):
            encoding, body = self._compress(flow, packet)
            record = records.Record(encoding, True, True, records.UNORDERED, 0, body)
            stale_key = inner.key if inner.is_pure_ack else None
            self._prompts.push(records.encode(record, is_sized=False), now=now, stale_key=stale_key)
        else:
            self._queue.push(flow, packet, rate=self.congestion.rate)

    def on_ack(self, ack: frames.Ack, now: float) -> None:
        """PeerError("ack") for packets that were never sent."""
        first = expand(ack.first, bits=frames.PACKET_NUMBER_BITS, near=self.next_packet_number)
        if first + ack.packets.bit_length() > self.next_packet_number:
            raise PeerError("ack")
        is_news = first + ack.packets.bit_length() > self._in_flight.largest_acked
        outcome = self._in_flight.on_ack(first, ack.packets, now=now, srtt=self.rtt.smoothed)
        if outcome.largest is not None:
            self.rtt.update(now - outcome.largest.time, ack_delay=ack.delay)
        if outcome.acked:
            self.probes_unanswered = 0
        self.loss_rate.forgive(outcome.spurious)
        self.loss_rate.update(outcome.acked, outcome.lost)
        for packet in outcome.acked:
            if packet.symbol is not None:
                self._window.on_known(packet.symbol)
            for prompt_id in packet.prompts:
                self._prompts.on_acked(prompt_id)
        self._window.on_report(ack.symbol_floor, ack.symbols)
        self._on_lost(outcome.lost)
        self._peer_clock = expand(ack.received_clock, bits=frames.CLOCK_BITS, near=self._peer_clock)
        newest = outcome.largest
        if newest is not None and is_news:
            self._repairs.on_ack(
                sources=newest.sources,
                repairs=newest.repairs,
                missing=self._window.missing_below_known,
                rank=ack.rank,
                reordering=self._in_flight.unsettled_below(newest.number),
                loss=self.loss_rate.rate,
                arrived=len(outcome.acked),
                redundant=ack.redundant,
                now=now,
            )
        if newest is not None:
            self.congestion.on_ack(
                newest,
                arrived=self._peer_clock / 1e6,
                ack_delay=ack.delay,
                rtt=self.rtt,
                now=now,
            )
            self._pacer.rate = self.congestion.pacing_rate

    def handle_timeout(self, now: float) -> None:
        loss_time = self._in_flight.next_loss_time(self.rtt.smoothed)
        if loss_time is not None and loss_time <= now:
            lost = self._in_flight.on_timeout(now=now, srtt=self.rtt.smoothed)
            self.loss_rate.update([], lost)
            self._on_lost(lost)
        probe_time = self._next_probe_time()
        if probe_time is not None and probe_time <= now:
            self.probes_unanswered += 1
            interval = self.rtt.probe_timeout(max_ack_delay=MAX_ACK_DELAY)
            packets = PROBE_SHARE * self.congestion.rate * interval / FULL_PACKET
            self._owed_probes = max(PROBE_PACKETS[0], min(int(packets), PROBE_PACKETS[1]))
            self._last_eliciting = now
            if self.probes_unanswered == PROBES_BEFORE_SILENCE:
                self.congestion.on_blackout()
            oldest = self._in_flight.oldest()
            for prompt_id in oldest.prompts if oldest else ():
                self._prompts.resend(prompt_id)

    def on_path_change(self, now: float) -> None:
        """The peer moved: delays and rates of the old path say nothing about the new one."""
        self.congestion.on_path_change()

    # ---- out --------------------------------------------------------------------------------------------------

    def next_plaintext(
        self, now: float, *, head: bytes, is_head_due: bool, is_head_eliciting: bool
    ) -> tuple[int, bytes, bool] | None:
        """(packet number, plaintext, whether `head` is in it) of the next packet that may leave now, or None.

        `head` are frames that the connection wants to send along, or must (`is_head_due`).
        """
        parts = [head] if head else []
        room = self._room - len(head) - len(frames.PING)
        prompts, room = self._take_prompts(parts, room, now)
        symbol_id: int | None = None
        is_probe = self._owed_probes > 0
        if is_probe or self._may_send_bulk(now):
            symbol_id = self._append_symbol(parts, room, is_probe=is_probe)
            if symbol_id is None and head and not is_head_due and not prompts:
                parts.clear()  # the optional head stood in the way
                symbol_id = self._append_symbol(parts, self._room - len(frames.PING), is_probe=is_probe)
        if symbol_id is None and not prompts and not is_head_due and not is_probe:
            return None
        is_eliciting = is_head_eliciting or is_probe or bool(prompts) or symbol_id is not None
        if is_probe:
            self._owed_probes -= 1
            parts.insert(0, frames.PING)  # which asks for an acknowledgement at once
        number = self.next_packet_number
        if symbol_id is not None:
            if symbol_id != CODED:
                self._window.on_sent(symbol_id, number)
            plaintext = b"".join(parts)
        else:
            plaintext = b"".join(parts)
            padding = min(self._pad(len(plaintext)), self._room - len(plaintext))
            plaintext += frames.padding(padding)
        self._register(len(plaintext), symbol_id, prompts, is_eliciting=is_eliciting, now=now)
        return number, plaintext, head in parts

    def next_time(self) -> float | None:
        """When to call `handle_timeout` or ask for plaintexts again."""
        times = [self._in_flight.next_loss_time(self.rtt.smoothed), self._next_probe_time()]
        if self.probes_unanswered < PROBES_BEFORE_SILENCE:
            if self._has_bulk() and self._in_flight.bytes_in_flight < self.congestion.window:
                times.append(self._pacer.next_time())
            if self._prompts.has_waiting:
                times.append(self._pacer.next_urgent_time())
            copy_time = self._prompts.next_time()
            if copy_time is not None:
                times.append(max(copy_time, self._pacer.next_urgent_time()))
        return min((time for time in times if time is not None), default=None)

    @property
    def last_eliciting(self) -> float:
        """When the last packet left that asks for an acknowledgement."""
        return self._last_eliciting

    @property
    def symbols_sent(self) -> int:
        """Different symbols so far."""
        return self._repairs.sources

    @property
    def queued_bytes(self) -> int:
        return self._queue.bytes

    @property
    def dropped_packets(self) -> int:
        """Inner packets refused by a full queue."""
        return self._queue.dropped + self._prompts.dropped

    # ---- inside -----------------------------------------------------------------------------------------------

    def _may_send_bulk(self, now: float) -> bool:
        return (
            self.probes_unanswered < PROBES_BEFORE_SILENCE
            and self._has_bulk()
            and self._in_flight.bytes_in_flight < self.congestion.window
            and self._pacer.may_send(now)
        )

    def _has_new(self) -> bool:
        return not self._window.is_full and (self._staged is not None or self._queue.bytes > 0)

    def _has_bulk(self) -> bool:
        return self._has_new() or self._is_repair_due()

    def _is_repair_due(self) -> bool:
        if not len(self._window):
            return False
        if not self._coding_window():
            return self._window.next_missing() is not None
        return self._repairs.is_repair_due(self.loss_rate.rate, is_app_limited=not self._has_new())

    def _coding_window(self) -> int:
        return coding_window(self.loss_rate.rate, self.congestion.rate)

    def _take_prompts(self, parts: list[bytes], room: int, now: float) -> tuple[tuple[int, ...], int]:
        """Appends the prompt records that fit; returns their ids and the room left."""
        if self.probes_unanswered >= PROBES_BEFORE_SILENCE and not self._owed_probes:
            return (), room
        if not self._pacer.may_send_urgent(now):
            return (), room
        ids: list[int] = []
        copies = copies_for(self.loss_rate.rate, self.loss_rate.burst)
        while (record := self._prompts.next_record(now, self.rtt.smoothed)) is not None:
            size = frames.PROMPT_OVERHEAD + len(record.data)
            if size > room or record.prompt_id in ids:
                self._prompts.put_back(record)
                break
            room -= size
            parts.append(frames.encode_prompt(record.prompt_id, record.data))
            ids.append(record.prompt_id)
            self._prompts.on_sent(record, now=now, copies=copies, rate=self.congestion.pacing_rate)
        return tuple(ids), room

    def _append_symbol(self, parts: list[bytes], room: int, *, is_probe: bool) -> int | None:
        """Appends a repair, a missing symbol or a new one; returns what it carried, None when nothing fits.

        What it carried is the symbol's id, or CODED.
        """
        window = self._coding_window()
        if is_probe and len(self._window):
            members = self._window.members(window or self._owed_probes)
            if not window:
                members = members[self._owed_probes % len(members) :][:1]
        elif self._is_repair_due():
            members = self._window.members(window)
        else:
            return self._append_new(parts, room)
        if len(members) <= 1:
            return self._append_again(parts, room, members[0] if members else self._window.next_missing())
        return self._append_repair(parts, room, members)

    def _append_new(self, parts: list[bytes], room: int) -> int | None:
        payload = b"" if self._window.is_full else self._compose(min(room - frames.SYMBOL_OVERHEAD, MAX_SYMBOL))
        if not payload:
            return None
        symbol_id = self._window.add(payload)
        self._repairs.sources += 1
        parts.append(frames.encode_symbol(symbol_id, payload))
        return symbol_id

    def _append_again(self, parts: list[bytes], room: int, symbol_id: int | None) -> int | None:
        """A symbol once more, as it was: the repair over a single one."""
        if symbol_id is None or len(self._window.payload(symbol_id)) > room - frames.SYMBOL_OVERHEAD:
            return None
        self._repairs.repairs += 1
        self.retransmitted += 1
        parts.append(frames.encode_symbol(symbol_id, self._window.payload(symbol_id)))
        return symbol_id

    def _append_repair(self, parts: list[bytes], room: int, members: list[int]) -> int | None:
        seed = self._repairs.repairs & 0xFF
        payloads = [(symbol_id, self._window.payload(symbol_id)) for symbol_id in members]
        mask = sum(1 << (symbol_id - members[0]) for symbol_id in members)
        frame = frames.encode_repair(frames.Repair(seed, members[0], mask, combine(payloads, seed)))
        if len(frame) > room:
            return None
        self._repairs.repairs += 1
        self.repairs_sent += 1
        parts.append(frame)
        return CODED

    def _compose(self, room: int) -> bytes:
        """The records of a new symbol, at most `room` bytes; empty when nothing waits or fits."""
        placed: list[records.Record] = []
        while len(placed) < records.MAX_RECORDS:
            staged = self._staged or self._stage()
            if staged is None:
                break
            room -= records.RECORD_OVERHEAD + bool(placed) * records.SIZE_FIELD  # the one before is not the last
            if len(staged.body) <= room:
                is_last, body = True, staged.body
            elif room >= LEAST_FRAGMENT and staged.needs_parts:
                is_last, body = False, staged.body[:room]
            else:
                break
            room -= len(body)
            is_whole = staged.is_first and is_last
            if is_whole and not staged.flow.is_tcp:
                record = records.Record(staged.encoding, True, True, records.UNORDERED, 0, body)
            else:
                flow = staged.flow
                sequence = flow.next_sequence()
                record = records.Record(staged.encoding, staged.is_first, is_last, flow.flow_id, sequence, body)
            placed.append(record)
            if not is_last:
                staged.body = staged.body[len(body) :]
                staged.is_first = False
                break
            self._staged = None
        last = len(placed) - 1
        return b"".join(records.encode(record, is_sized=index < last) for index, record in enumerate(placed))

    def _stage(self) -> _Staged | None:
        flow = self._queue.head()
        if flow is None:
            return None
        encoding, body = self._compress(flow, self._queue.pop(flow))
        self._staged = _Staged(flow, encoding, body)
        return self._staged

    def _compress(self, flow: Flow, packet: bytes) -> tuple[int, bytes]:
        if self._compressor is not None:
            body = self._compressor.compress(packet, flow.shrinkage)
            if body is not None:
                self.saved_by_compression += len(packet) - len(body)
                return records.Encoding.ZSTD, body
        return records.Encoding.PLAIN, packet

    def _register(
        self,
        plaintext_size: int,
        symbol_id: int | None,
        prompts: tuple[int, ...],
        *,
        is_eliciting: bool,
        now: float,
    ) -> None:
        size = plaintext_size + PACKET_OVERHEAD + WIRE_HEADERS
        self.sent_bytes += size
        self._pacer.on_sent(size)
        if is_eliciting:
            self._last_eliciting = now
            self._in_flight.on_sent(
                SentPacket(
                    number=self.next_packet_number,
                    time=now,
                    size=size,
                    sent_bytes=self.sent_bytes,
                    sources=self._repairs.sources,
                    repairs=self._repairs.repairs,
                    symbol=symbol_id,
                    prompts=prompts,
                    is_app_limited=not self._has_bulk(),
                )
            )
        self.next_packet_number += 1

    def _on_lost(self, lost: list[SentPacket]) -> None:
        for packet in lost:
            if packet.symbol is not None:
                self._window.on_lost(packet.symbol, packet.number)
            for prompt_id in packet.prompts:
                self._prompts.on_lost(prompt_id)

    def _next_probe_time(self) -> float | None:
        if not len(self._in_flight):
            return None
        interval = self.rtt.probe_timeout(max_ack_delay=MAX_ACK_DELAY)
        backoff = max(0, self.probes_unanswered - PROBES_BEFORE_BACKOFF)
        return self._last_eliciting + min(interval * (1 << min(backoff, 10)), max(interval, MAX_PROBE_INTERVAL))

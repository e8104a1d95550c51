"""The sending pipeline's second half: when what leaves, and what becomes of it.

A packet is filled in this order: control frames and the acknowledgement that the connection hands in, prompt records,
then one symbol: a repair where the repair rule asks for one, else a new one. Only symbols wait for the pacer and the
window; prompt records borrow from it; a due acknowledgement or a probe leaves whatever they say.

    acknowledgement -> loss detection -> acknowledged: symbols and prompts are known
                                      \\-> lost: symbols are missing, prompts go again
                                      \\-> repair rule, congestion control -> pacer
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate, islice, repeat
from typing import Final, NamedTuple

from ghost.compression.trains import Train
from ghost.constants import FULL_PACKET, MAX_DATAGRAM, PACKET_OVERHEAD, PATIENCE
from ghost.errors import PeerError
from ghost.reliability.acks import MAX_ACK_DELAY
from ghost.reliability.congestion import CongestionControl, Mode
from ghost.reliability.field import combine
from ghost.reliability.loss import LossDetector, SentPacket
from ghost.reliability.lossrate import LossRate
from ghost.reliability.pacing import FAST, GATHER_SECONDS, GATHER_SECONDS_LOSSY, LOSSY, Pacer
from ghost.reliability.probing import BEFORE_SILENCE, Probing
from ghost.reliability.prompts import HEAVY_LOSS, PromptSender, copies_for, is_bursty
from ghost.reliability.repair import LEAST_LOSS, LEAST_WINDOW, RepairPolicy, coding_window
from ghost.reliability.rtt import RttEstimator
from ghost.reliability.send_window import SendWindow
from ghost.tunnel.composer import Composer
from ghost.tunnel.sizes import WIRE_HEADERS, PacketSizes
from ghost.wire import frames
from ghost.wire.inner import Inner
from ghost.wire.numbers import expand, stretches

SYMBOL_PACKET_OVERHEAD: Final = frames.SYMBOL_OVERHEAD + PACKET_OVERHEAD + WIRE_HEADERS
BURSTY_LOSS: Final = 0.02  # from which on runs of losses are measured well enough
SPARSE_FLIGHT: Final = 1024  # bytes in flight up to which traffic is sparse: a key, its echo, and one more
LONE_FLIGHT: Final = 4096  # bytes in flight up to which a symbol comes by itself, whatever was repaired before it
LONG_PACKET: Final = 0.02
"""Seconds for a full packet from which no repair is sent because there is room: new data is there before it has left.
Simulated on 64 and 256 kbit/s: a third of all bytes were repairs where a tenth was lost, and text took 5 % longer."""
LARGEST_PATIENT: Final = 256  # bytes of a symbol
CODED: Final = -1  # in place of a symbol's id: a repair over several
PIECE: Final = -2  # a piece of one that the path does not carry whole any more
PROBE: Final = -3  # nothing, but at a size that the path may carry


class _News(NamedTuple):
    """A reference packet and what its acknowledgement said, until the next shows whether it overtook others."""

    packet: SentPacket
    largest: int
    arrived: float | None
    ack_delay: float
    acked_bytes: int
    time: float


class Sender:
    """One connection's sending half. Sizes in bytes, times in seconds."""

    __slots__ = (
        "composer",
        "congestion",
        "loss_rate",
        "rtt",
        "control_bytes",
        "copied_bytes",
        "last_eliciting",
        "lost_packets",
        "padding_bytes",
        "probing",
        "repair_bytes",
        "repairs_sent",
        "retransmitted",
        "retransmitted_bytes",
        "sent_bytes",
        "sizes",
        "_coded_for",
        "_coded_window",
        "_in_flight",
        "_news",
        "_next_packet_number",
        "_pacer",
        "_is_patient",
        "_pad",
        "_patience",
        "_peer_clock",
        "_peer_clock_at",
        "_prompts",
        "_repairs",
        "_window",
    )

    def __init__(
        self,
        *,
        composer: Composer,
        max_rate: float | None,
        pad: Callable[[int], int],
        now: float,
    ) -> None:
        """`max_rate` in wire bytes a second; `pad` gives the padding for a plaintext's size."""
        self.composer = composer
        self.congestion = CongestionControl(max_rate=max_rate, now=now)
        self.loss_rate = LossRate()
        self.rtt = RttEstimator()
        self.last_eliciting = now
        """When the last packet left that asks for an acknowledgement."""
        self.lost_packets = 0
        self.probing = Probing()
        self.repairs_sent = 0
        self.retransmitted = 0
        self.sent_bytes = 0
        """On the wire, headers included; of these:"""
        self.repair_bytes = self.retransmitted_bytes = self.copied_bytes = self.padding_bytes = 0
        self.control_bytes = 0
        """Of whole datagrams that carry neither a symbol nor a prompt record: acknowledgements, keep-alives, probes."""
        self._coded_for = (0.0, 0.0)  # loss and rate, and how many symbols a repair covers there
        self._coded_window = 0
        self._in_flight = LossDetector()
        self._news: _News | None = None
        self._next_packet_number = 0
        self._pacer = Pacer(self.congestion.pacing_rate, now)
        self._is_patient = False  # the packet that is being filled: its acknowledgement may wait
        self._pad = pad
        self._patience = 0.0  # that the last packet has with its acknowledgement, beyond MAX_ACK_DELAY
        self._peer_clock = 0
        self._peer_clock_at = now
        self._prompts = PromptSender(now)
        self._repairs = RepairPolicy(now)
        self._window = SendWindow()
        self.sizes = PacketSizes(composer, self._window)

    @property
    def has_prompts(self) -> bool:
        """Whether there are prompt records that have not left yet."""
        return self._prompts.has_waiting

    @property
    def symbols_sent(self) -> int:
        """Different symbols so far."""
        return self._repairs.sources

    @property
    def sent_packets(self) -> int:
        return self._next_packet_number

    @property
    def acked_bytes(self) -> int:
        """Of what was sent, so much is known to have arrived."""
        return self._in_flight.acked_bytes

    @property
    def dropped_packets(self) -> int:
        """Inner packets refused by a full queue."""
        return self.composer.dropped + self._prompts.dropped

    # ---- in ---------------------------------------------------------------------------------------------------

    def queue_packet(self, packet: bytes, inner: Inner, now: float) -> None:
        """An inner packet wants to cross; it is dropped where its queue is full."""
        congestion = self.congestion
        record = self.composer.add(
            packet,
            inner,
            rate=congestion.likely_rate,
            found=congestion.rate,
            prompt_id=self._prompts.next_id,
            now=now,
        )
        if record is None:
            self._prompts.supersede(inner.key)
        elif not inner.is_pure_ack:
            self._prompts.push(record, now=now, stale_key=None)
        else:
            may_wait = self.composer.may_wait(packet, inner, now) and self._is_quiet()
            hold = PATIENCE if may_wait else 0.0
            self._prompts.push(record, now=now, stale_key=inner.key, hold=hold, is_near=self.composer.is_near)

    def queue_train(self, train: Train, inner: Inner, now: float) -> None:
        """Segments of a TCP flow want to cross; those are dropped for which their queue has no room."""
        self.composer.add_train(train, inner, rate=self.congestion.likely_rate, found=self.congestion.rate, now=now)

    def on_ack(self, ack: frames.Ack, now: float) -> None:
        """PeerError("ack") for packets that were never sent."""
        first = expand(ack.first, bits=frames.PACKET_NUMBER_BITS, near=self._next_packet_number)
        largest = first + ack.packets.bit_length() - 1
        if largest >= self._next_packet_number:
            raise PeerError("ack")
        newest = largest - ack.behind
        loss, srtt = self.loss_rate.rate, self.rtt.smoothed
        # While the rate is being found, many losses together are rather those of too high a one; and where hardly
        # anything is lost the length of a run says nothing.
        is_known = loss >= BURSTY_LOSS and self.congestion.mode is not Mode.START
        burst = self.loss_rate.burst if is_known else 1.0
        outcome = self._in_flight.on_ack(first, ack.packets, newest=newest, loss=loss, burst=burst, now=now, srtt=srtt)
        if outcome.acked:
            self.probing.on_answer()
        if outcome.spurious:
            self.loss_rate.forgive(outcome.spurious)
        acked, lost = self.sizes.judge(outcome.acked, outcome.lost, self.loss_rate)
        if not self.congestion.is_congested:  # a full queue's drops are no measure for redundancy
            self.loss_rate.update(acked, lost)
        loss, burst = self.loss_rate.measured, self.loss_rate.burst
        if self.congestion.on_fates(acked, lost, loss=loss, burst=burst, now=now):
            self._pace()  # at once: what is sent until then would be judged as well
        self._window.on_report(ack.symbol_floor, ack.symbols)  # by the stretch; what it does not say follows
        floor = self._window.floor
        for packet in outcome.acked:
            symbol = packet.symbol
            if symbol is not None and symbol >= floor:
                self._window.on_known(symbol)
            elif symbol == PIECE:
                self.sizes.on_piece_acked(packet.number)
            if packet.prompts:
                for prompt_id in packet.prompts:
                    self._prompts.on_acked(prompt_id)
                    self.composer.on_prompt_acked(prompt_id)
        self.sizes.forget_below(floor)
        self._confirm(largest, outcome.acked, now)
        if outcome.lost:
            self._on_lost(outcome.lost)
        if outcome.reference is not None:
            if ack.received_clock is not None:
                expected = self._peer_clock + int((now - self._peer_clock_at) * 1e6)  # it may have gone round meanwhile
                self._peer_clock = expand(ack.received_clock, bits=frames.CLOCK_BITS, near=expected)
                self._peer_clock_at = now
            self._on_reference(ack, outcome.reference, largest=largest, arrived=len(outcome.acked), now=now)

    def on_brief_ack(self, ack: frames.BriefAck, now: float) -> None:
        """As above."""
        largest = expand(ack.largest, bits=frames.BRIEF_BITS, near=self._next_packet_number)
        floor = expand(ack.symbol_floor, bits=frames.BRIEF_BITS, near=self._window.floor)
        self.on_ack(
            frames.Ack(
                first=max(0, largest - ack.run + 1) & 0xFFFFFFFF,
                packets=(1 << min(ack.run, largest + 1)) - 1,
                behind=0,
                received_clock=None,
                delay=ack.delay,
                symbol_floor=floor & 0xFFFFFF,
                symbols=0,
                rank=0,
                redundant=self._repairs.reported_redundant,
            ),
            now,
        )

    def may_book_later(self, ack: frames.Ack | frames.BriefAck) -> bool:
        """Whether nothing that is sent next depends on it: nothing waits, no symbol is under way, and it is sound."""
        if self.composer.has_data or len(self._window) or self.probing.owed or self._prompts.has_waiting:
            return False
        near = self._next_packet_number
        if isinstance(ack, frames.BriefAck):
            return expand(ack.largest, bits=frames.BRIEF_BITS, near=near) < near
        return expand(ack.first, bits=frames.PACKET_NUMBER_BITS, near=near) + ack.packets.bit_length() <= near

    def handle_timeout(self, now: float) -> None:
        if not self._in_flight.bytes_in_flight:
            return
        loss_time = self._in_flight.next_loss_time(self.rtt.smoothed)
        if loss_time is not None and loss_time <= now:
            lost = self._in_flight.on_timeout(now=now, srtt=self.rtt.smoothed)
            self.loss_rate.update([], self.sizes.judge([], lost, self.loss_rate)[1])
            self._on_lost(lost)
        probe_time = self._next_probe_time()
        if probe_time is not None and probe_time <= now:
            self.last_eliciting = now
            if self.probing.on_timeout(rate=self.congestion.rate, interval=self._probe_interval):
                self.congestion.on_blackout()
            oldest = self._in_flight.oldest()
            for prompt_id in oldest.prompts if oldest else ():
                self._prompts.resend(prompt_id)

    def on_path_change(self) -> None:
        """The peer moved: delays and rates of the old path say nothing about the new one, and what was small and
        urgent goes to it once more."""
        self.congestion.on_path_change()
        self.rtt.on_path_change()
        self.sizes.path_mtu.on_path_change()
        self._prompts.on_path_change()

    def on_pace(self, rate: int, now: float) -> None:
        """The peer saw what left together arrive at so many bytes a second."""
        if not self.congestion.delay.is_noisy:  # jitter pulls apart what left together as well
            self._prompts.carried.on_pace(rate, now)

    def limit(self, max_rate: float | None) -> None:
        """As CongestionControl.limit."""
        self.congestion.limit(max_rate)
        self._pace()

    # ---- out --------------------------------------------------------------------------------------------------

    def next_plaintext(
        self, now: float, head: Callable[[], bytes], *, limit: int, is_head_due: bool, is_head_eliciting: bool
    ) -> tuple[int, bytes, bool] | None:
        """(packet number, plaintext, whether the head is in it) of the next packet that may leave now, or None.

        `head` makes the frames that the connection wants to send along, or must (`is_head_due`).
        The datagram will have at most `limit` bytes; below MAX_DATAGRAM it holds no symbol.
        """
        is_small = limit < MAX_DATAGRAM
        is_narrow = self.sizes.path_mtu.limit < FULL_PACKET and not is_small
        if is_narrow and (probe := self._next_size_probe(now)) is not None:
            return probe
        is_probe = self.probing.owed > 0 and not is_small
        may_prompt = self._may_send_prompts(now)
        may_bulk = is_probe or (not is_small and self._may_send_bulk(now))
        if not (may_prompt or may_bulk or is_head_due):
            return None
        may_ride = not is_small and (self._prompts.has_held or self._prompts.has_riders) and not self.probing.is_silent
        # With copies nothing rides that rode with the first.
        is_copy = not (may_bulk or is_head_due or self._prompts.has_waiting or self._prompts.has_held)
        most = self.sizes.largest_plaintext if not is_small else limit - PACKET_OVERHEAD - len(frames.PING)
        for has_head in (False,) if is_copy else (True, False):  # without it where it is optional and stands in the way
            parts = [head()] if has_head else []
            room = most - len(parts[0]) if parts else most
            prompts, room = self._take_prompts(parts, room, now) if may_prompt or may_ride else ((), room)
            is_stale_soon = not prompts or all(map(self._prompts.is_stale_soon, prompts))
            self._is_patient = not is_probe and not is_head_eliciting and (is_stale_soon or not may_bulk)
            symbol = self._append_symbol(parts, room, is_probe=is_probe) if may_bulk else None
            if symbol is not None or prompts or is_head_due or is_probe:
                break
        else:
            return None
        if is_probe:
            self.probing.owed -= 1
            parts.append(frames.PING) if symbol is None else parts.insert(0, frames.PING)
        elif symbol is None and prompts:
            self._is_patient = self._is_patient and (self._is_quiet() if is_stale_soon else self._has_only_prompts())
            if self._is_patient:
                parts.append(frames.PATIENT)
        plaintext = b"".join(parts)
        if symbol is None:
            padding = min(self._pad(len(plaintext)), max(0, most - len(plaintext)))
            if prompts and has_head and len(parts[0]) <= padding:
                padding -= len(parts[0])  # what rides along hides the record's size as well
            plaintext += frames.padding(padding)
            self.padding_bytes += padding
            if not prompts:
                self.control_bytes += len(plaintext) + PACKET_OVERHEAD + WIRE_HEADERS
        elif symbol >= 0:
            self._window.on_sent(symbol, self._next_packet_number)
        is_eliciting = is_head_eliciting or is_probe or bool(prompts) or symbol is not None
        if is_eliciting:
            self._patience = PATIENCE - MAX_ACK_DELAY if self._is_patient else 0.0
        return self._register(len(plaintext), symbol, prompts, is_eliciting=is_eliciting, now=now), plaintext, has_head

    def next_run(self, now: float, head: Callable[[], bytes] | None, *, most: int) -> tuple[int, list[bytes]]:
        """(first packet number, plaintexts) of up to `most` packets with one new symbol and nothing else in each.

        They are what `next_plaintext` would return one by one, only cheaper: what cannot change within a turn is looked
        at once. A `head` waits for a packet with room for it and is not due; a packet that has such room is left to
        `next_plaintext`, like everything out of the ordinary.
        """
        if self.probing.owed or self._may_send_prompts(now) or not self._may_send_bulk(now):
            return 0, []
        if self._is_repair_due() or self.composer.has_short_symbols:
            return 0, []
        room_beside = self.sizes.largest_plaintext - len(head()) - frames.SYMBOL_OVERHEAD if head else 0
        least = self.composer.largest_symbol // 2  # shorter ones may be patient
        if room_beside > least:
            least = room_beside
        full_packet = self.composer.largest_symbol + SYMBOL_PACKET_OVERHEAD
        window, is_coded = self.congestion.window, self._coding_window() > 0
        first = self._next_packet_number
        run: list[bytes] = []
        while len(run) < most:
            free, credit = window - self._in_flight.bytes_in_flight, self._pacer.credit
            if credit < free:
                free = credit
            if free <= 0:
                break
            count = 1 if free <= full_packet else math.ceil(free / full_packet)
            count = min(count, most - len(run), self._window.room)
            if is_coded:  # without a symbol under way there is nothing to repair
                count = self._sources_until_repair(count) if self._window else min(count, 1)
            symbols = self.composer.compose_run(count, beyond=least) if count > 0 else []
            if not symbols:
                break
            run += self._send_symbols(symbols, now)
        return first, run

    def _send_symbols(self, symbols: list[bytes], now: float) -> list[bytes]:
        """Books new symbols that leave in packets of their own; returns the packets' plaintexts."""
        number, sources, count = self._next_packet_number, self._repairs.sources, len(symbols)
        symbol_id = self._window.add_run(symbols, number)
        sizes = [len(symbol) + SYMBOL_PACKET_OVERHEAD for symbol in symbols]
        packets = list(
            map(
                SentPacket,
                range(number, number + count),
                repeat(now),
                sizes,
                islice(accumulate(sizes, initial=self.sent_bytes), 1, None),
                range(sources + 1, sources + count + 1),
                repeat(self._repairs.repairs),
                range(symbol_id, symbol_id + count),
                repeat(()),
                repeat(False),
            )
        )
        packets[-1].is_app_limited = not self.composer.has_data
        size = sum(sizes)
        self._in_flight.on_sent_run(packets, size)
        self._pacer.on_sent(size)
        self._next_packet_number += count
        self._repairs.sources += count
        self.sent_bytes += size
        self.last_eliciting = now
        self._patience = 0.0
        return frames.encode_symbols(symbol_id, symbols)

    def next_time(self) -> float | None:
        """When to call `handle_timeout` or ask for plaintexts again."""
        in_flight, due = self._in_flight, None
        if in_flight.bytes_in_flight:
            due = in_flight.next_loss_time(self.rtt.smoothed)
            interval = self.rtt.probe_timeout(max_ack_delay=MAX_ACK_DELAY + self._patience)
            probe_time = self.last_eliciting + self.probing.delay(interval)
            if due is None or probe_time < due:
                due = probe_time
        if self.probing.unanswered < BEFORE_SILENCE:
            if self._has_bulk() and in_flight.bytes_in_flight < self.congestion.window:
                pacer_time = self._pacer.next_time()
                if due is None or pacer_time < due:
                    due = pacer_time
            prompt_time = self._prompts.next_time()
            if prompt_time is not None:
                prompt_time = max(prompt_time, self._pacer.next_urgent_time())
                if due is None or prompt_time < due:
                    due = prompt_time
        return due

    # ---- what may leave ---------------------------------------------------------------------------------------

    def _may_send_prompts(self, now: float) -> bool:
        due = self._prompts.next_time()
        if due is None or due > now or (self.probing.is_silent and not self.probing.owed):
            return False
        return self._pacer.may_send_urgent(now)

    def _pace(self) -> None:
        if self.congestion.mode is Mode.START:  # the rate is found by what becomes of packets that are evenly spaced
            gather = 0.0
        else:
            is_costly = self.congestion.rate > FAST and self.loss_rate.rate > LOSSY
            gather = GATHER_SECONDS_LOSSY if is_costly else GATHER_SECONDS
        self._pacer.pace(self.congestion.pacing_rate, gather=gather)

    def _may_send_bulk(self, now: float) -> bool:
        has_data, window = self.composer.has_data, self._window
        if not has_data and window.floor == window.next_id:
            return False  # there is none: an idle tunnel's echo asks no further
        return (
            self._pacer.may_send(now)
            and self.probing.unanswered < BEFORE_SILENCE
            and self._in_flight.bytes_in_flight < self.congestion.window
            and ((has_data and not window.is_full) or self._is_repair_due())
        )

    def _has_bulk(self) -> bool:
        return (self.composer.has_data and not self._window.is_full) or self._is_repair_due()

    def _has_new(self) -> bool:
        return self.composer.has_data and not self._window.is_full

    def _is_repair_due(self) -> bool:
        window = self._window
        if window.floor == window.next_id:  # all is known: written out, for every packet asks twice
            return False
        if not self._in_flight.bytes_in_flight:
            return True  # nothing under way could still mend it: what was sent for it is lost
        if not self._coding_window():
            return window.next_missing() is not None
        return self._sources_until_repair(1) == 0

    def _sources_until_repair(self, most: int) -> int:
        """As `RepairPolicy.sources_until_repair`, where symbols are coded."""
        has_room = self.congestion.is_starting or not self._has_new()
        has_room = has_room and not self._is_thin()
        return self._repairs.sources_until_repair(self._loss(), is_app_limited=has_room, most=most)

    def _coding_window(self) -> int:
        if self.sizes.has_cut:
            return 0  # a repair would be as large as the largest symbol in it
        loss, rate = self._loss(), self.congestion.rate
        if (loss, rate) != self._coded_for:  # asked several times a packet, and the answer changes with news
            self._coded_for = loss, rate
            self._coded_window = coding_window(loss, rate)
        return self._coded_window

    def _is_thin(self) -> bool:
        """Whether what is redundant always takes somebody's place."""
        return LONG_PACKET * self.congestion.rate < FULL_PACKET and not self._is_sparse()

    def _is_sparse(self) -> bool:
        return self._in_flight.bytes_in_flight <= SPARSE_FLIGHT and not self.composer.has_data

    def _loss(self) -> float:
        """What redundancy is dimensioned by."""
        loss_rate = self.loss_rate
        if self._in_flight.bytes_in_flight > SPARSE_FLIGHT or self.composer.has_data:
            return loss_rate.rate
        return loss_rate.sparse

    def _is_quiet(self) -> bool:
        """Whether acknowledgements of what is sent may wait: hardly anything is under way, and hardly anything lost."""
        return self._is_sparse() and self.loss_rate.sparse < LEAST_LOSS and not self.probing.unanswered

    def _has_only_prompts(self) -> bool:
        """Whether acknowledgements of prompts may wait: what copies did not save is told by those of the next ones."""
        is_bad = self._loss() >= HEAVY_LOSS or is_bursty(self._loss(), self.loss_rate.burst) or self.probing.unanswered
        return not (is_bad or len(self._window) or self.composer.has_data)

    def _next_probe_time(self) -> float | None:
        if not self._in_flight.bytes_in_flight:
            return None
        return self.last_eliciting + self.probing.delay(self._probe_interval)

    @property
    def _probe_interval(self) -> float:
        return self.rtt.probe_timeout(max_ack_delay=MAX_ACK_DELAY + self._patience)

    # ---- filling a packet -------------------------------------------------------------------------------------

    def _take_prompts(self, parts: list[bytes], room: int, now: float) -> tuple[tuple[int, ...], int]:
        """Appends the prompt records that fit; returns their ids and the room left."""
        ids: list[int] = []
        loss, burst = max(self._loss(), self.loss_rate.cautious), self.loss_rate.burst
        copies, is_spaced = copies_for(loss, burst), is_bursty(loss, burst) or self.congestion.delay.is_noisy
        while (record := self._prompts.next_record(now, self.rtt.smoothed)) is not None:
            frame = self.composer.prompt_frame(record.prompt_id, record.data, is_near=record.is_near)
            if len(frame) > self.sizes.largest_plaintext:
                self._prompts.give_up(record)
                continue
            if len(frame) > room or record.prompt_id in ids:
                self._prompts.put_back(record)
                break
            room -= len(frame)
            parts.append(frame)
            self.copied_bytes += len(frame) if record.in_flight else 0
            self._prompts.on_sent(
                record,
                now=now,
                copies=copies,
                rate=self.congestion.pacing_rate,
                is_spaced=is_spaced,
                is_guest=bool(ids),
            )
            ids.append(record.prompt_id)
        return tuple(ids), room

    def _append_symbol(self, parts: list[bytes], room: int, *, is_probe: bool) -> int | None:
        """Appends a repair, a missing symbol or a new one; returns what it carried, None when nothing fits.

        What it carried is the symbol's id, or CODED.
        """
        window = self._coding_window()
        if is_probe and self._is_size_doubtful():
            return None  # a bare PING: whether that arrives is the question
        if is_probe and len(self._window):
            window = window if self.sizes.has_cut else window or LEAST_WINDOW
        elif not self._is_repair_due():
            return self._append_new(parts, room)
        missing = self._window.next_missing()
        self._is_patient = False
        if missing is not None and not self._window.is_codable(window):
            return self._append_again(parts, room, missing)  # after a mass of losses, one by one is as good as coded
        first, members = self._window.members(window)
        if members > 1:
            return self._append_repair(parts, room, first, members)
        return self._append_again(parts, room, self._window.floor)

    def _append_new(self, parts: list[bytes], room: int) -> int | None:
        room = min(room - frames.SYMBOL_OVERHEAD, self.composer.new_symbol)
        payload = b"" if self._window.is_full else self.composer.compose(room)
        if not payload:
            return None
        symbol_id = self._window.add(payload)
        is_short = len(payload) <= LARGEST_PATIENT
        if is_short and self._in_flight.bytes_in_flight <= LONE_FLIGHT and not self.composer.has_data:
            self._repairs.on_lone_source()
        self._repairs.sources += 1
        self._is_patient = self._is_patient and is_short and self._is_quiet()
        encode = frames.encode_patient_symbol if self._is_patient else frames.encode_symbol
        parts.append(encode(symbol_id, payload))
        return symbol_id

    def _append_again(self, parts: list[bytes], room: int, symbol_id: int) -> int | None:
        """A symbol once more, as it was: the repair over a single one."""
        payload = self._window.payload(symbol_id)
        if len(payload) > self.composer.largest_symbol:
            return self._append_piece(parts, room, symbol_id, payload)
        if len(payload) > room - frames.SYMBOL_OVERHEAD:
            return None
        self._repairs.repairs += 1
        self.retransmitted += 1
        parts.append(frames.encode_symbol(symbol_id, payload))
        self.retransmitted_bytes += len(parts[-1])
        return symbol_id

    def _append_piece(self, parts: list[bytes], room: int, symbol_id: int, payload: bytes) -> int | None:
        """The next piece of a symbol that the path does not carry whole."""
        offset, piece, is_last = self.sizes.next_piece(symbol_id, payload)
        if len(piece) > room - frames.PIECE_OVERHEAD:
            return None
        parts.append(frames.encode_piece(symbol_id, offset, piece, is_last=is_last))
        self.retransmitted += is_last
        self.retransmitted_bytes += len(parts[-1])
        self.sizes.on_piece_sent(self._next_packet_number, symbol_id, offset)
        return PIECE

    def _append_repair(self, parts: list[bytes], room: int, first: int, members: int) -> int | None:
        seed = self._repairs.repairs & 0xFF
        ids = [symbol_id for start, end in stretches(members, first) for symbol_id in range(start, end)]
        frame = frames.encode_repair(frames.Repair(seed, first, members, combine(ids, self._window.units(ids), seed)))
        if len(frame) > room:
            return None
        self._repairs.repairs += 1
        self.repairs_sent += 1
        self.repair_bytes += len(frame)
        parts.append(frame)
        return CODED

    def _register(
        self, plaintext_size: int, symbol: int | None, prompts: tuple[int, ...], *, is_eliciting: bool, now: float
    ) -> int:
        """Books a packet that leaves now; returns its number."""
        number = self._next_packet_number
        self._next_packet_number += 1
        size = plaintext_size + PACKET_OVERHEAD + WIRE_HEADERS
        self.sent_bytes += size
        self._pacer.on_sent(size)
        if is_eliciting:
            self.last_eliciting = now
            sources, repairs, is_app_limited = self._repairs.sources, self._repairs.repairs, not self.composer.has_data
            self._in_flight.on_sent(
                SentPacket(number, now, size, self.sent_bytes, sources, repairs, symbol, prompts, is_app_limited)
            )
        return number

    def _next_size_probe(self, now: float) -> tuple[int, bytes, bool] | None:
        """As `next_plaintext`: whether the path carries more than it did."""
        if self.probing.unanswered or not self._pacer.may_send(now):
            return None
        interval = self.rtt.probe_timeout(max_ack_delay=MAX_ACK_DELAY)
        size = self.sizes.path_mtu.probe_size(now, loss=self._loss(), interval=interval)
        if size is None:
            return None
        plaintext = frames.PING + frames.padding(size - WIRE_HEADERS - PACKET_OVERHEAD - len(frames.PING))
        self.sizes.path_mtu.on_probe_sent(self._next_packet_number, size)
        return self._register(len(plaintext), PROBE, (), is_eliciting=True, now=now), plaintext, False

    def _is_size_doubtful(self) -> bool:
        """Whether the present probe should be a small one, because all that was lost of late was large."""
        if self.probing.owed != 1:
            return False
        oldest = self._in_flight.oldest() if self.probing.unanswered > 1 else None
        return self.sizes.path_mtu.is_in_doubt or (oldest is not None and oldest.size > self.sizes.path_mtu.floor)

    # ---- news of what was sent --------------------------------------------------------------------------------

    def _on_reference(self, ack: frames.Ack, newest: SentPacket, *, largest: int, arrived: int, now: float) -> None:
        """There is a new reference packet, which tells what the receiver lacks now."""
        self._window.settled = newest.sources
        awaited = self._in_flight.unsettled_below(newest.number, self._in_flight.threshold)
        self._repairs.on_ack(
            sources=newest.sources,
            repairs=newest.repairs,
            missing=self._window.unknown_settled,
            rank=ack.rank,
            late=self._in_flight.lateness * awaited,
            floor=self._window.floor,
            srtt=self.rtt.smoothed,
            arrived=arrived,
            redundant=ack.redundant,
            loss=self._loss(),
            is_app_limited=newest.is_app_limited and not self._is_thin(),
            now=now,
        )
        arrived_at = None if ack.received_clock is None else self._peer_clock / 1e6
        fields = newest, largest, arrived_at, ack.delay, self._in_flight.acked_bytes, now
        self._news = tuple.__new__(_News, fields)  # half of what the constructor takes
        if not self.rtt.has_sample:  # nothing to compare with: any round trip is better than the assumed one
            self.rtt.update(now - newest.time, ack_delay=ack.delay, now=now)

    def _confirm(self, largest: int, acked: list[SentPacket], now: float) -> None:
        """Believes in what the last reference said of delays if neither it nor its acknowledgement overtook others.

        `largest` is the highest number that the present acknowledgement names, `acked` what it newly acknowledged.
        """
        news = self._news
        if news is None or (not acked and largest >= news.largest):
            return
        self._news = None
        if largest < news.largest or acked[0].number < news.packet.number:
            return
        self.rtt.update(news.time - news.packet.time, ack_delay=news.ack_delay, now=now)
        self.composer.on_round_trip(self.rtt.smoothed, now)
        self.congestion.packet_size = self.composer.new_symbol + SYMBOL_PACKET_OVERHEAD
        if news.arrived is None:
            return
        self.congestion.on_ack(
            news.packet,
            arrived=news.arrived,
            acked_bytes=news.acked_bytes,
            ack_delay=news.ack_delay,
            rtt=self.rtt,
            has_backlog=self.composer.has_data,
            now=now,
        )
        self._pace()
        self._prompts.carried.update(
            has_queue=self.congestion.has_long_queue and not self.composer.has_data,
            sent=self.sent_bytes,
            arrived=self._in_flight.acked_bytes,
            loss=self.loss_rate.rate,
            now=now,
        )

    def _on_lost(self, lost: list[SentPacket]) -> None:
        self.lost_packets += len(lost)
        for packet in lost:
            if packet.symbol == PIECE:
                self.sizes.on_piece_lost(packet.number)
            elif packet.symbol is not None:
                self._window.on_lost(packet.symbol, packet.number)
            for prompt_id in packet.prompts:
                self._prompts.on_lost(prompt_id)

"""A connection: two pipelines, the epochs that protect them, and the path to the peer. A thin facade.

    datagram -> packet number -> AEAD -> replay window -> epoch confirmed -> path -> frames -> sender and receiver

The order matters: nothing is believed before the tag, nothing is counted twice after it, and only an authentic packet
that is newer than all before it may move the peer's address. Until a new address has echoed a challenge it gets at
most three times the bytes that came from it (RFC 9000 section 8).

Where nothing is queued, what an acknowledgement beside a prompt record says can wait until the record is delivered and
what it is answered with has left: `next_timeout` ends a turn and catches up. It takes 0.13 ms where code has left the
processor's caches, as after 50 ms of rest (measured).
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random
from typing import Any, Final

from ghost.compression.agreement import Agreement
from ghost.compression.trains import SuperPacket, Train
from ghost.constants import INNER_MTU, MAX_DATAGRAM, PACKET_OVERHEAD
from ghost.crypto.replay import ReplayWindow
from ghost.errors import PeerError
from ghost.obfuscation.padding import Profile
from ghost.reliability.acks import AckTracker
from ghost.reliability.dispersion import Dispersion
from ghost.tunnel.composer import Composer
from ghost.tunnel.epochs import Epoch, Epochs
from ghost.tunnel.events import Address
from ghost.tunnel.receiver import Receiver
from ghost.tunnel.sender import Sender
from ghost.tunnel.sizes import WIRE_HEADERS
from ghost.wire import frames
from ghost.wire.clamp import clamp_mss
from ghost.wire.inner import TCP, Inner

MAX_BATCH: Final = 64  # datagrams a turn: bounds the time until the socket is read again
MAX_STAGED: Final = 128
"""Inner packets a turn, beyond which no further datagram is filled: twenty small ones fit one, and a flood of them
would keep everybody else waiting for 10 ms."""
KEEPALIVE: Final = 20.0  # seconds, up to 25 with jitter; NATs forget UDP after 30 s in the worst case (RFC 4787)
KEEPALIVE_SPREAD: Final = 5.0
NUDGE_AFTER: Final = 1.0
"""Seconds of silence after data came: a client that only listens asks, because its server may not be allowed to speak
to an address that it moved to, and what asked for that may have been lost."""
AMPLIFICATION: Final = 3
LEAST_DATAGRAM: Final = 128  # bytes: holds all control frames that may wait
FULL_ACK_INTERVAL: Final = 4.0  # seconds from one to the next, where brief ones do: clocks and counters must not rest
CHALLENGE_INTERVAL: Final = 0.25  # seconds
LEAST_HOLD: Final = 0.05  # seconds
HOLD_ROUND_TRIPS: Final = 1.5


class Connection:
    """`last_contact` is when the last authentic packet came, `address` where packets go."""

    def __init__(
        self,
        *,
        epoch: Epoch,
        address: Address,
        is_server: bool,
        compression: Agreement,
        profile: Profile,
        joins_segments: bool = False,
        max_rate: float | None,
        rng: Random,
        now: float,
    ) -> None:
        self.epochs = Epochs(epoch)
        self.address = address
        self.created = now
        self.last_contact = now
        self.closed_by_peer: str | None = None
        self.received_bytes = 0
        self.received_packets = 0
        self.inner_sent_bytes = 0
        self.inner_received_bytes = 0
        composer = Composer(compression)
        self.sender = Sender(
            composer=composer,
            max_rate=max_rate,
            pad=lambda size: profile.padding(size, rng),
            now=now,
        )
        self.receiver = Receiver(compression, joins_segments=joins_segments, distrust=composer.distrust)
        self._is_server = is_server
        self._rng = rng
        self._replay = ReplayWindow()
        self._packet_number = -1  # of the packet that is being read, and
        self._packet_size = 0  # its bytes on the path
        self._dispersion = Dispersion()
        self._acks = AckTracker()
        self._full_ack_at = now
        self._postponed: tuple[frames.Ack | frames.BriefAck, float] | None = None  # and when it came
        self._released: list[bytes | SuperPacket] = []  # what was held of what came
        self._said = b""  # the head, where it was made in this turn and has not left
        self._control: list[bytes] = []
        self._is_control_eliciting = False
        self._keepalive_at = now + self._keepalive_interval()
        self._nudge_at = inf
        self._is_validated = True
        self._credit = 0  # bytes that an unvalidated address may still be sent
        self._challenge = b""
        self._challenge_at = 0.0

    # ---- in ---------------------------------------------------------------------------------------------------

    def send_packet(self, packet: bytes, inner: Inner, now: float) -> None:
        """An inner packet for the other end."""
        self.inner_sent_bytes += len(packet)
        if inner.protocol == TCP and not inner.is_pure_ack:
            packet = clamp_mss(packet, INNER_MTU)
        self.epochs.current.has_carried_data = True
        self.sender.queue_packet(packet, inner, now)

    def send_train(self, train: Train, inner: Inner, now: float) -> None:
        """Segments of a TCP flow for the other end."""
        self.inner_sent_bytes += len(train)
        self.epochs.current.has_carried_data = True
        self.sender.queue_train(train, inner, now)

    def receive_datagram(self, epoch: Epoch, datagram: bytes, number: int, address: Address, now: float) -> None:
        """`number` is the header's truncated packet number. PeerError says why the datagram changed nothing."""
        packet_number = self._replay.expand(number)
        plaintext = epoch.open(packet_number, datagram)
        if not self._replay.is_fresh(packet_number):
            raise PeerError("replayed")
        is_newest = packet_number > self._replay.largest
        self._replay.mark(packet_number)
        if epoch is not self.epochs.current:
            self.epochs.confirm(epoch, now)
        self._on_contact(1, len(datagram), now)
        if address != self.address and is_newest and self._is_server:
            self._move(address, now)
        if address == self.address:
            self._credit += AMPLIFICATION * len(datagram)
        self._take(packet_number, plaintext, now)

    def receive_run(
        self, epoch: Epoch, datagrams: list[bytes], number: int, address: Address, now: float
    ) -> list[PeerError]:
        """`receive_datagram` for datagrams with consecutive packet numbers, `number` being the first one's.

        Returns why some changed nothing.
        """
        faults: list[PeerError] = []
        first, count = self._replay.expand(number), 0
        if epoch is self.epochs.current and address == self.address and first > self._replay.largest:
            plaintexts = epoch.open_run(first, datagrams)
            count = len(plaintexts)
            if count:
                size = sum(map(len, datagrams[:count]))
                self._replay.mark_run(first, count)
                self._on_contact(count, size, now)
                self._credit += AMPLIFICATION * size
                self._take_run(first, plaintexts, faults, now)
        for offset in range(count, len(datagrams)):
            try:
                self.receive_datagram(epoch, datagrams[offset], number + offset, address, now)
            except PeerError as error:
                faults.append(error)
        return faults

    def _on_contact(self, packets: int, size: int, now: float) -> None:
        """Authentic packets came, `size` bytes in all."""
        self.last_contact = now
        if self.sender.probing.unanswered:
            self.sender.probing.on_contact()
        self.received_bytes += size
        self.received_packets += packets

    def _take_run(self, first: int, plaintexts: list[bytes], faults: list[PeerError], now: float) -> None:
        """`_take` for packets with numbers from `first` on: symbols in order together, others one by one."""
        self._catch_up()
        at = 0
        while at < len(plaintexts):
            count = 0
            if self.receiver.takes_runs:
                rest = plaintexts[at:] if at else plaintexts
                count = frames.symbols_in_order(rest, self.receiver.window.floor)
            if count > 1:
                self.epochs.current.has_carried_data = True
                faults += self.receiver.take_run([text[frames.SYMBOL_OVERHEAD :] for text in rest[:count]], now)
                self._acks.on_run(first + at, count, now)
                self._after_frames(is_eliciting=True, now=now)
            else:
                count = 1
                try:
                    self._take(first + at, plaintexts[at], now)
                except PeerError as error:
                    faults.append(error)
            at += count

    def _take(self, packet_number: int, plaintext: bytes, now: float) -> None:
        """What an authentic, fresh packet says."""
        if self._postponed is not None:
            self._catch_up()
        self._packet_number, self._packet_size = packet_number, len(plaintext) + PACKET_OVERHEAD + WIRE_HEADERS
        # Nearly every packet of a transfer is a symbol and nothing else: it needs no list of frames and no table.
        is_eliciting = is_symbol = frames.is_symbol(plaintext)
        is_urgent = is_patient = False
        fault: PeerError | None = None
        try:
            if is_symbol:
                self.epochs.current.has_carried_data = True
                self.receiver.take_symbol(*frames.parts_of_symbol(plaintext), now)
            for frame in () if is_symbol else frames.decode(plaintext):
                kind = type(frame)
                if kind not in _SILENT:
                    is_eliciting = True
                    is_urgent |= kind is frames.Ping
                    is_patient |= kind in _PATIENT
                try:
                    _HANDLERS[kind](self, frame, now)
                except PeerError as error:  # what stands behind it is acknowledged too, so it must count
                    fault = fault or error
            if fault is not None:
                raise fault
        finally:  # an authentic packet is acknowledged even if a frame of it made no sense
            self._acks.on_packet(
                packet_number,
                is_ack_eliciting=is_eliciting,
                is_urgent=is_urgent,
                is_patient=is_patient and not is_urgent,
                now=now,
            )
            self._after_frames(is_eliciting=is_eliciting, now=now)

    def _after_frames(self, *, is_eliciting: bool, now: float) -> None:
        if self.receiver.has_lost:
            for lost in self.receiver.take_lost():
                self._queue_control(frames.encode_lost(lost), is_eliciting=True)
        if is_eliciting and not self._is_server:
            self._nudge_at = now + NUDGE_AFTER

    def take_packets(self) -> list[bytes | SuperPacket]:
        """Inner packets for this end; super-packets only if it joins segments."""
        if not self.has_packets:
            return []
        arrived = self.receiver.take_packets()
        slow_starts = self.sender.composer.slow_starts
        packets = self._released + slow_starts.thin(arrived, round_trip=self.sender.rtt.smoothed, now=self.last_contact)
        self._released = []
        for packet in packets:
            self.inner_received_bytes += len(packet.packet if isinstance(packet, SuperPacket) else packet)
        return packets

    @property
    def has_packets(self) -> bool:
        return bool(self._released) or self.receiver.has_packets

    def handle_timeout(self, now: float) -> None:
        if self._postponed is not None:
            self._catch_up()
        self.sender.handle_timeout(now)
        self._released += self.sender.composer.slow_starts.due(self.sender.rtt.smoothed, now)
        if self.receiver.is_impatient:
            release = self.receiver.next_release(self._hold)
            if release is not None and now >= release:
                self.receiver.release(now, self._hold)
        self.epochs.expire(now)
        if not self._is_validated and now >= self._challenge_at:
            self._challenge_at = now + CHALLENGE_INTERVAL
            self._queue_control(frames.encode_challenge(self._challenge), is_eliciting=True)
        if now >= self._keepalive_at and not self._is_server:  # the NAT is the client's, and one of the two is enough
            is_quiet = now - self.sender.last_eliciting >= KEEPALIVE
            self._keepalive_at = self._keepalive_interval() + (now if is_quiet else self.sender.last_eliciting)
            if is_quiet:
                self._queue_control(frames.PING, is_eliciting=True)
        if now >= self._nudge_at:
            self._nudge_at = inf
            if self.sender.last_eliciting < self.last_contact:
                self._queue_control(frames.PING, is_eliciting=True)

    def greet(self) -> None:
        """Makes sure that an acknowledged packet leaves soon: it confirms a new epoch, or probes a quiet peer."""
        self._queue_control(frames.PING, is_eliciting=True)

    def close(self, reason: int) -> None:
        self._control = [frames.encode_close(reason)]  # whatever else waits matters no more
        self._is_control_eliciting = False

    # ---- out --------------------------------------------------------------------------------------------------

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """At most MAX_BATCH datagrams that may leave now."""
        if self._postponed is not None and not self.sender.has_prompts:
            self._catch_up()
        datagrams: list[bytes] = []
        self._said = b""
        may_run = True
        composer = self.sender.composer
        most_staged = composer.staged + MAX_STAGED
        while len(datagrams) < MAX_BATCH and composer.staged < most_staged:
            limit = MAX_DATAGRAM if self._is_validated else self._limit
            if not limit:
                break
            first, run = self._next_run(now, MAX_BATCH - len(datagrams)) if may_run else (0, [])
            may_run = not run  # a run ends where there is no next one, until something else has left
            if len(run) == 1:
                datagrams.append(self.epochs.current.seal(first, run[0]))
                continue
            if run:
                datagrams += self.epochs.current.seal_run(first, run)
                continue
            deadline = self._ack_deadline(now) if limit == MAX_DATAGRAM else None
            packet = self.sender.next_plaintext(
                now,
                lambda: self._head(now),
                limit=limit,
                is_head_due=bool(self._control) or (deadline is not None and deadline <= now),
                is_head_eliciting=self._is_control_eliciting,
            )
            if packet is None:
                break
            number, plaintext, has_head = packet
            if has_head:
                self._said = b""
                self._control.clear()
                self._is_control_eliciting = False
                if deadline is not None:
                    self._acks.on_sent()
            datagram = self.epochs.current.seal(number, plaintext)
            self._credit -= len(datagram)
            datagrams.append(datagram)
            if self._postponed is not None and not self.sender.has_prompts:
                break  # nothing else waits, and if an acknowledgement has to leave, there is the alarm
        return datagrams

    def _next_run(self, now: float, most: int) -> tuple[int, list[bytes]]:
        """The first one's number, and plain packets, as long as no control frame and no acknowledgement is due."""
        if not self.sender.composer.has_data:  # asked first: an idle tunnel's echo goes no further
            return 0, []
        deadline = self._acks.deadline
        if not self._is_validated or self._control or (deadline is not None and deadline <= now):
            return 0, []
        return self.sender.next_run(now, None if deadline is None else lambda: self._head(now), most=most)

    def next_timeout(self) -> float:
        """When to call again if nothing happens; the end of a turn."""
        if self._postponed is not None:
            self._catch_up()
        limit = MAX_DATAGRAM if self._is_validated else self._limit
        due = inf
        if not self._is_server:
            due = self._keepalive_at if self._keepalive_at < self._nudge_at else self._nudge_at
        if limit == MAX_DATAGRAM:
            acknowledgement, sending = self._acks.deadline, self.sender.next_time()
            if acknowledgement is not None and acknowledgement < due:
                due = acknowledgement
            if sending is not None and sending < due:
                due = sending
        if self._control and limit:
            due = min(due, self.created)  # at once
        if not self._is_validated:
            due = min(due, self._challenge_at)
        if self.receiver.is_impatient:
            due = min(due, self.receiver.next_release(self._hold) or inf)
        held = self.sender.composer.slow_starts.next_time
        if held is not None:
            due = min(due, held)
        expiry = self.epochs.next_expiry
        return due if expiry is None or due < expiry else expiry

    def snapshot(self, now: float) -> dict[str, Any]:
        """JSON-able facts; rates in bits a second, times in the unit of their suffix."""
        sender = self.sender
        return {
            "endpoint": f"{self.address[0]}:{self.address[1]}",
            "uptime_s": round(now - self.created, 3),
            "last_contact_s": round(now - self.last_contact, 3),
            "rtt_ms": round(sender.rtt.smoothed * 1000, 3),
            "rtt_variation_ms": round(sender.rtt.variation * 1000, 3),
            "min_rtt_ms": round(sender.rtt.min_rtt * 1000, 3),
            "path_mtu_bytes": sender.sizes.path_mtu.limit,
            "black_holes": sender.sizes.path_mtu.black_holes,
            "loss": round(sender.loss_rate.measured, 4),
            "loss_burst": round(sender.loss_rate.burst, 2),
            "queue_delay_ms": round(sender.congestion.delay.queue * 1000, 3),
            "congestion_mode": sender.congestion.mode.value,
            "rate_bps": round(sender.congestion.rate * 8),
            "pacing_rate_bps": round(sender.congestion.pacing_rate * 8),
            "sent_bytes": sender.sent_bytes,
            "received_bytes": self.received_bytes,
            "inner_sent_bytes": self.inner_sent_bytes,
            "inner_received_bytes": self.inner_received_bytes,
            "saved_by_compression_bytes": sender.composer.saved_by_headers + sender.composer.saved_by_payload,
            "saved_by_headers_bytes": sender.composer.saved_by_headers,
            "saved_by_payload_bytes": sender.composer.saved_by_payload,
            "spent_on_repairs_bytes": sender.repair_bytes,
            "spent_on_retransmission_bytes": sender.retransmitted_bytes,
            "spent_on_copies_bytes": sender.copied_bytes,
            "spent_on_padding_bytes": sender.padding_bytes,
            "spent_on_control_bytes": sender.control_bytes,
            "symbols": sender.symbols_sent,
            "repairs": sender.repairs_sent,
            "retransmitted_symbols": sender.retransmitted,
            "queued_bytes": sender.composer.queued_bytes,
            "queue_dropped_packets": sender.dropped_packets,
            "redundant_packets": self.receiver.redundant,
            "sent_packets": sender.sent_packets,
            "lost_packets": sender.lost_packets,
            "acked_bytes": sender.acked_bytes,
            "received_packets": self.received_packets,
            "expected_packets": self._replay.largest + 1,
            "jitter_ms": round(sender.congestion.delay.jitter * 1000, 3),
            "unanswered_probes": sender.probing.unanswered,
            "rate_trials": sender.congestion.trials,
            "rate_trials_guilty": sender.congestion.guilty,
        }

    # ---- inside -----------------------------------------------------------------------------------------------

    @property
    def _hold(self) -> float:
        """Seconds for which a stream of UDP waits for what is missing: most repairs have come by then."""
        return max(LEAST_HOLD, HOLD_ROUND_TRIPS * self.sender.rtt.smoothed)

    @property
    def _limit(self) -> int:
        """Bytes that the next datagram may have; 0 when none may leave, and below MAX_DATAGRAM no symbols."""
        if self._is_validated:
            return MAX_DATAGRAM
        return min(MAX_DATAGRAM, self._credit) if self._credit >= LEAST_DATAGRAM else 0

    def _head(self, now: float) -> bytes:
        """Control frames, and an acknowledgement where a packet waits for one."""
        if self._said:
            return self._said
        head = b"".join(self._control) if self._control else b""
        if self._ack_deadline(now) is None or self._limit < MAX_DATAGRAM:
            return head
        return head + self._encode_ack(now)

    def _ack_deadline(self, now: float) -> float | None:
        """Until when an acknowledgement must leave that the next packet should carry."""
        deadline = self._acks.deadline
        if deadline is None or self._acks.may_rest(now, interval=now - self.sender.last_eliciting):
            return None
        return deadline

    def _encode_ack(self, now: float) -> bytes:
        first, bitmap = self._acks.state()
        floor, symbols = self.receiver.window.report()
        run = self._acks.run()
        if run and now < self._full_ack_at and not symbols and not self.receiver.rank:
            return frames.encode_brief_ack(
                frames.BriefAck(
                    largest=self._acks.newest & 0xFFFF,
                    run=run,
                    delay=now - self._acks.newest_time,
                    symbol_floor=floor & 0xFFFF,
                )
            )
        self._full_ack_at = now + FULL_ACK_INTERVAL
        full = frames.encode_ack(
            frames.Ack(
                first=first & 0xFFFFFFFF,
                packets=bitmap,
                behind=min(self._acks.largest - self._acks.newest, 0xFFFF),
                received_clock=int(self._acks.newest_time * 1e6) & 0xFFFFFFFF,
                delay=now - self._acks.newest_time,
                symbol_floor=floor & 0xFFFFFF,
                symbols=symbols,
                rank=min(self.receiver.rank, 0xFF),
                redundant=self.receiver.redundant & 0xFFFF,
            )
        )
        if not run and not self._control and self._is_validated:
            self._said = full  # nothing that it depends on changes until it has left, or the turn ends
        return full

    def _move(self, address: Address, now: float) -> None:
        self.address = address
        self._is_validated = False
        self._credit = 0
        self._challenge = self._rng.randbytes(frames.TOKEN_SIZE)
        self._challenge_at = now
        self.sender.on_path_change()

    def _queue_control(self, frame: bytes, *, is_eliciting: bool) -> None:
        if len(self._control) < 8:  # a peer that floods challenges gets few echoes
            self._control.append(frame)
            self._is_control_eliciting |= is_eliciting

    def _keepalive_interval(self) -> float:
        return KEEPALIVE + self._rng.random() * KEEPALIVE_SPREAD

    def _on_nothing(self, frame: frames.Ping | frames.Patient, now: float) -> None:
        pass

    def _on_ack(self, frame: frames.Ack | frames.BriefAck, now: float) -> None:
        if self._postponed is not None:
            self._catch_up()
        if self.sender.may_book_later(frame):
            self._postponed = frame, now
        else:
            self._book(frame, now)

    def _book(self, frame: frames.Ack | frames.BriefAck, now: float) -> None:
        if isinstance(frame, frames.BriefAck):
            self.sender.on_brief_ack(frame, now)
        else:
            self.sender.on_ack(frame, now)

    def _catch_up(self) -> None:
        """What was postponed in this turn."""
        if self._postponed is not None:
            (frame, at), self._postponed = self._postponed, None
            self._book(frame, at)

    def _on_symbol(self, frame: frames.Symbol, now: float) -> None:
        self.epochs.current.has_carried_data = True
        self.receiver.on_symbol(frame, now)

    def _on_patient_symbol(self, frame: frames.PatientSymbol, now: float) -> None:
        self.epochs.current.has_carried_data = True
        self.receiver.on_patient_symbol(frame, now)

    def _on_piece(self, frame: frames.Piece, now: float) -> None:
        self.epochs.current.has_carried_data = True
        self.receiver.on_piece(frame, now)

    def _on_repair(self, frame: frames.Repair, now: float) -> None:
        self.receiver.on_repair(frame, now)

    def _on_prompt(self, frame: frames.Prompt, now: float) -> None:
        self.epochs.current.has_carried_data = True
        self.receiver.on_prompt(frame, self._packet_number)
        number, size = self._packet_number, self._packet_size
        self._dispersion.on_prompt(frame.prompt_id, packet_number=number, size=size, now=now)
        rate = self._dispersion.rate_to_tell(now)
        if rate is not None:
            self._queue_control(frames.encode_pace(rate), is_eliciting=False)

    def _on_near_prompt(self, frame: frames.NearPrompt, now: float) -> None:
        self.epochs.current.has_carried_data = True
        self.receiver.on_near_prompt(frame, self._packet_number)

    def _on_challenge(self, frame: frames.Challenge, now: float) -> None:
        self._queue_control(frames.encode_response(frame.token), is_eliciting=False)

    def _on_response(self, frame: frames.Response, now: float) -> None:
        if frame.token == self._challenge:
            self._is_validated = True

    def _on_lost(self, frame: frames.Lost, now: float) -> None:
        self.sender.composer.on_lost(frame)

    def _on_pace(self, frame: frames.Pace, now: float) -> None:
        self.sender.on_pace(frame.rate, now)

    def _on_close(self, frame: frames.Close, now: float) -> None:
        self.closed_by_peer = frames.CLOSE_REASONS.get(frame.reason, "unknown reason")


_PATIENT: Final = frozenset((frames.PatientSymbol, frames.Patient))
_SILENT: Final = frozenset((frames.Ack, frames.BriefAck, frames.Pace, frames.Close))  # ask for no acknowledgement
_HANDLERS: dict[type, Callable[[Connection, Any, float], None]] = {
    frames.Ping: Connection._on_nothing,
    frames.Ack: Connection._on_ack,
    frames.BriefAck: Connection._on_ack,
    frames.Symbol: Connection._on_symbol,
    frames.PatientSymbol: Connection._on_patient_symbol,
    frames.Piece: Connection._on_piece,
    frames.Repair: Connection._on_repair,
    frames.Prompt: Connection._on_prompt,
    frames.NearPrompt: Connection._on_near_prompt,
    frames.Patient: Connection._on_nothing,
    frames.Challenge: Connection._on_challenge,
    frames.Response: Connection._on_response,
    frames.Lost: Connection._on_lost,
    frames.Pace: Connection._on_pace,
    frames.Close: Connection._on_close,
}

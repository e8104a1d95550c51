"""Packets in flight: which were acknowledged, which are lost (RFC 9002 section 6.1, RFC 8985 in spirit).

The `reference` is the newest packet that arrived in its turn. One that overtook others is acknowledged like any, but
says nothing of those before it, nor of the path's delay: with 5 % of packets early by a round trip the largest number
acknowledged is nearly always one of them. It shows by how much before it is still awaited, more than loss explains.

A packet is lost when it lies below the reference by `threshold` numbers or 9/8 of a round trip. The threshold adapts:
an acknowledgement of a packet already declared lost (a spurious loss) raises it to the reordering seen, because 30 ms
of reordering under a fixed threshold of 3 cuts goodput to a third (simulated). `lateness` is the share of packets
awaited below the reference that do arrive.

Flow of an acknowledgement: `on_ack` -> newly acknowledged and newly lost packets, oldest first. Outstanding packets
are one bitmap, so that what is new costs a few operations on integers, not a walk over everything in flight.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from ghost.wire.numbers import stretches

PACKET_THRESHOLD: Final = 3
MAX_PACKET_THRESHOLD: Final = 256
TIME_THRESHOLD: Final = 9 / 8
CLOCK_SLACK: Final = 1e-6  # seconds: a timer set for the very instant of a loss must find it lost
SPURIOUS_MEMORY: Final = 1024  # lost packets remembered, to notice that they arrived after all
OVERTAKEN_LOOK: Final = 64  # packets before one that are looked at
OVERTAKING_DEVIATIONS: Final = 3.0
CALM: Final = 8  # packets without a spurious loss that take one off the threshold
BEHIND_MOST: Final = 2  # acknowledgements in a row that tell of packets below the reference
LATENESS_MEMORY: Final = 64


class SentPacket:
    """What the sender remembers of a packet until its fate is known.

    `sent_bytes`, `sources` and `repairs` are the connection's totals with this packet counted: the difference between
    two packets gives what was sent in between. `symbol` and `prompts` are the ids that it carried.
    """

    __slots__ = (
        "number",
        "time",
        "size",
        "sent_bytes",
        "sources",
        "repairs",
        "symbol",
        "prompts",
        "is_app_limited",
    )

    # Not by keywords: one is made for every packet, and they would double what it costs.
    def __init__(
        self,
        number: int,
        time: float,
        size: int,
        sent_bytes: int,
        sources: int,
        repairs: int,
        symbol: int | None,
        prompts: tuple[int, ...],
        is_app_limited: bool,
    ) -> None:
        self.number = number
        self.time = time
        self.size = size
        self.sent_bytes = sent_bytes
        self.sources = sources
        self.repairs = repairs
        self.symbol = symbol
        self.prompts = prompts
        self.is_app_limited = is_app_limited


class AckOutcome:
    """What one acknowledgement changed, oldest first; `reference` is the new one, None where there is none."""

    __slots__ = ("acked", "lost", "reference", "spurious")

    def __init__(self) -> None:
        self.acked: list[SentPacket] = []
        self.lost: list[SentPacket] = []
        self.reference: SentPacket | None = None
        self.spurious = 0


class LossDetector:
    """The packets that await their fate."""

    __slots__ = (
        "acked_bytes",
        "bytes_in_flight",
        "lateness",
        "reference",
        "threshold",
        "_overtaking_since",
        "_behind",
        "_calm",
        "_lost_packets",
        "_packets",
        "_mask",
        "_base",
        "_lost_mask",
    )

    def __init__(self) -> None:
        self.acked_bytes = 0
        self.bytes_in_flight = 0
        self.lateness = 0.0
        self.reference = -1
        self._overtaking_since: float | None = None
        self.threshold = PACKET_THRESHOLD
        self._packets: dict[int, SentPacket] = {}  # in order of number
        self._lost_packets: dict[int, SentPacket] = {}  # those of the mask below
        self._calm = 0  # packets since one turned up that was declared lost
        self._behind = 0
        self._base = 0
        self._mask = 0  # bit i: packet _base + i awaits its fate
        self._lost_mask = 0  # bit i: packet _base + i was declared lost, and may yet turn up

    def __len__(self) -> int:
        return len(self._packets)

    def oldest(self) -> SentPacket | None:
        return next(iter(self._packets.values()), None)

    def find(self, number: int) -> SentPacket | None:
        """The packet of that number while it awaits its fate."""
        return self._packets.get(number)

    def on_sent(self, packet: SentPacket) -> None:
        """An ack-eliciting packet left; numbers only grow."""
        self._packets[packet.number] = packet
        self._mask |= 1 << (packet.number - self._base)
        self.bytes_in_flight += packet.size

    def on_sent_run(self, packets: list[SentPacket], size: int) -> None:
        """The same for packets with consecutive numbers and `size` bytes in all."""
        first = packets[0].number
        self._packets.update(zip(range(first, first + len(packets)), packets, strict=True))
        self._mask |= ((1 << len(packets)) - 1) << (first - self._base)
        self.bytes_in_flight += size

    def on_ack(
        self, first: int, bitmap: int, *, newest: int, loss: float, burst: float, now: float, srtt: float
    ) -> AckOutcome:
        """`bitmap` bit i stands for packet first + i, `newest` arrived last. Numbers never sent are ignored.

        `loss` is the path's loss rate and `burst` the mean length of a run of losses, by which an overtaking packet is
        told from one behind lost ones.
        """
        outcome = AckOutcome()
        before = self.reference
        candidate = self._packets.get(newest) or self._lost_packets.get(newest)
        offset = first - self._base
        reported = bitmap << offset if offset >= 0 else bitmap >> -offset
        news = reported & self._mask
        self._mask ^= news
        take, acked = self._packets.pop, outcome.acked
        if news & news - 1:
            for start, end in stretches(news, self._base):
                acked += [take(number) for number in range(start, end)]
        elif news:  # a single one, as where acknowledgements ride along
            acked.append(take(self._base + news.bit_length() - 1))
        size = sum([packet.size for packet in acked])
        self.acked_bytes += size
        self.bytes_in_flight -= size
        late = reported & self._lost_mask
        self._lost_mask ^= late
        outcome.spurious = late.bit_count()
        if candidate is not None and newest < before:
            self._behind += 1
            if self._behind >= BEHIND_MOST:  # not one packet was late, the reference was early
                self._behind = 0
                self.reference, outcome.reference = newest, candidate
        elif newest > before:
            self._behind = 0
            if late:
                reach = before - (self._base + (late & -late).bit_length() - 1)
                self.threshold = max(self.threshold, min(reach + 2, MAX_PACKET_THRESHOLD))
            are_late = bool(acked) and acked[0].number < before
            count = sum(packet.number < before for packet in acked) if are_late else 0
            if count or late:
                self._note_lateness(count + outcome.spurious, 1.0)
            if candidate is not None and self._is_in_turn(newest, loss=loss, burst=burst, now=now, patience=srtt):
                self.reference, outcome.reference = newest, candidate
                self._calm = 0 if late else self._calm + newest - before
                if self._calm >= CALM:
                    self.threshold = max(PACKET_THRESHOLD, self.threshold - self._calm // CALM)
                    self._calm %= CALM
        outcome.lost = self._collect_lost(now=now, srtt=srtt)
        if outcome.lost:
            self._note_lateness(len(outcome.lost), 0.0)
        self._advance()
        return outcome

    def on_timeout(self, *, now: float, srtt: float) -> list[SentPacket]:
        """Packets whose time threshold has passed meanwhile."""
        lost = self._collect_lost(now=now, srtt=srtt)
        self._advance()
        return lost

    def next_loss_time(self, srtt: float) -> float | None:
        """When the oldest packet below the reference will count as lost."""
        for number, oldest in self._packets.items():  # as `oldest`, without a call
            return None if number > self.reference else oldest.time + srtt * TIME_THRESHOLD
        return None

    def unsettled_below(self, number: int, count: int) -> int:
        """How many of the `count` packets up to `number` await their fate."""
        shift = number - count - self._base + 1
        return (self._mask >> max(shift, 0) & (1 << count) - 1).bit_count()

    def _is_in_turn(self, number: int, *, loss: float, burst: float, now: float, patience: float) -> bool:
        """Overtaking for longer than `patience` is no exception, but a path that began to lose."""
        if number - self.reference <= 2 or not self._has_overtaken(number, loss, burst):
            self._overtaking_since = None
        elif self._overtaking_since is None:
            self._overtaking_since = now
        return self._overtaking_since is None or now - self._overtaking_since > patience

    def _has_overtaken(self, number: int, loss: float, burst: float) -> bool:
        """Whether more is awaited before it than losses explain."""
        count = min(number - self.reference - 1, OVERTAKEN_LOOK)
        if count <= 1:
            return False
        variance = loss * (1 - loss) * count * max(1.0, 2 * burst * (1 - loss) - 1)  # runs are longer than by chance
        explained = loss * count + OVERTAKING_DEVIATIONS * sqrt(variance)
        return self.unsettled_below(number - 1, count) > 1 + explained

    def _note_lateness(self, count: int, value: float) -> None:
        self.lateness += (value - self.lateness) * min(1.0, count / LATENESS_MEMORY)

    def _collect_lost(self, *, now: float, srtt: float) -> list[SentPacket]:
        lost: list[SentPacket] = []
        reference = self.reference
        by_number = reference - self.threshold
        by_time = now - srtt * TIME_THRESHOLD + CLOCK_SLACK
        for number, packet in self._packets.items():
            if number > reference or (number > by_number and packet.time > by_time):
                break
            lost.append(packet)
        for packet in lost:
            self._take(packet.number)
            self._lost_packets[packet.number] = packet
            self._lost_mask |= 1 << (packet.number - self._base)
        return lost

    def _take(self, number: int) -> SentPacket:
        packet = self._packets.pop(number)
        self._mask ^= 1 << (number - self._base)
        self.bytes_in_flight -= packet.size
        return packet

    def _advance(self) -> None:
        """Moves the bitmaps' base up: to the oldest in flight, less a memory of lost ones that may turn up."""
        oldest = self.oldest()
        keep_from = (self.reference if oldest is None else oldest.number) - SPURIOUS_MEMORY
        shift = keep_from - self._base
        if shift >= SPURIOUS_MEMORY:  # rarely, so that the copy of a long integer is paid once for many packets
            self._mask >>= shift
            self._lost_mask >>= shift
            self._base = keep_from
            self._lost_packets = {n: packet for n, packet in self._lost_packets.items() if n >= keep_from}

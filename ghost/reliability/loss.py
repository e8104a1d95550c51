"""Packets in flight: which were acknowledged, which are lost (RFC 9002 section 6.1, RFC 8985 in spirit).

A packet is lost when a later one was acknowledged and either `threshold` numbers or 9/8 of a round trip lie between
them. The threshold adapts: an acknowledgement of a packet already declared lost (a spurious loss) raises it to the
reordering seen, because 30 ms of reordering under a fixed threshold of 3 cuts goodput to a third (simulated).

Flow of an acknowledgement: `on_ack` -> newly acknowledged and newly lost packets, oldest first. Outstanding packets
are one bitmap, so that what is new costs a few operations on integers, not a walk over everything in flight.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

PACKET_THRESHOLD: Final = 3
MAX_PACKET_THRESHOLD: Final = 256
TIME_THRESHOLD: Final = 9 / 8
CLOCK_SLACK: Final = 1e-6  # seconds: a timer set for the very instant of a loss must find it lost
SPURIOUS_MEMORY: Final = 1024  # lost packets remembered, to notice that they arrived after all


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

    def __init__(
        self,
        *,
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


@dataclass(slots=True)
class AckOutcome:
    """What one acknowledgement changed, oldest first; `largest` is its largest packet where that is news."""

    acked: list[SentPacket] = field(default_factory=list)
    lost: list[SentPacket] = field(default_factory=list)
    largest: SentPacket | None = None
    spurious: int = 0


class LossDetector:
    """The packets that await their fate."""

    __slots__ = (
        "acked_bytes",
        "bytes_in_flight",
        "largest_acked",
        "threshold",
        "_packets",
        "_mask",
        "_base",
        "_lost_mask",
    )

    def __init__(self) -> None:
        self.acked_bytes = 0
        self.bytes_in_flight = 0
        self.largest_acked = -1
        self.threshold = PACKET_THRESHOLD
        self._packets: dict[int, SentPacket] = {}  # in order of number
        self._base = 0
        self._mask = 0  # bit i: packet _base + i awaits its fate
        self._lost_mask = 0  # bit i: packet _base + i was declared lost, and may yet turn up

    def __len__(self) -> int:
        return len(self._packets)

    def oldest(self) -> SentPacket | None:
        return next(iter(self._packets.values()), None)

    def on_sent(self, packet: SentPacket) -> None:
        """An ack-eliciting packet left; numbers only grow."""
        self._packets[packet.number] = packet
        self._mask |= 1 << (packet.number - self._base)
        self.bytes_in_flight += packet.size

    def on_ack(self, first: int, bitmap: int, *, now: float, srtt: float) -> AckOutcome:
        """`bitmap` bit i stands for packet first + i. Numbers never sent are ignored."""
        outcome = AckOutcome()
        largest = first + bitmap.bit_length() - 1
        outcome.largest = self._packets.get(largest)
        offset = first - self._base
        reported = bitmap << offset if offset >= 0 else bitmap >> -offset
        news = reported & self._mask
        while news:
            bit = news & -news
            news ^= bit
            packet = self._take(self._base + bit.bit_length() - 1)
            self.acked_bytes += packet.size
            outcome.acked.append(packet)
        late = reported & self._lost_mask
        if late:
            self._lost_mask ^= late
            outcome.spurious = late.bit_count()
            reach = largest - (self._base + late.bit_length() - 1)
            self.threshold = max(self.threshold, min(reach + 2, MAX_PACKET_THRESHOLD))
        if outcome.acked:
            self.largest_acked = max(self.largest_acked, outcome.acked[-1].number)
        outcome.lost = self._collect_lost(now=now, srtt=srtt)
        self._advance()
        return outcome

    def on_timeout(self, *, now: float, srtt: float) -> list[SentPacket]:
        """Packets whose time threshold has passed meanwhile."""
        lost = self._collect_lost(now=now, srtt=srtt)
        self._advance()
        return lost

    def next_loss_time(self, srtt: float) -> float | None:
        """When the oldest packet below the largest acknowledged one will count as lost."""
        oldest = self.oldest()
        if oldest is None or oldest.number > self.largest_acked:
            return None
        return oldest.time + srtt * TIME_THRESHOLD

    def unsettled_below(self, number: int) -> int:
        """How many of the `threshold` packets up to `number` may just be late."""
        shift = number - self.threshold - self._base + 1
        return (self._mask >> max(shift, 0) & (1 << self.threshold) - 1).bit_count()

    def _collect_lost(self, *, now: float, srtt: float) -> list[SentPacket]:
        lost: list[SentPacket] = []
        by_number = self.largest_acked - self.threshold
        by_time = now - srtt * TIME_THRESHOLD + CLOCK_SLACK
        for number, packet in self._packets.items():
            if number > self.largest_acked or (number > by_number and packet.time > by_time):
                break
            lost.append(packet)
        for packet in lost:
            self._take(packet.number)
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
        keep_from = (self.largest_acked if oldest is None else oldest.number) - SPURIOUS_MEMORY
        shift = keep_from - self._base
        if shift >= SPURIOUS_MEMORY:  # rarely, so that the copy of a long integer is paid once for many packets
            self._mask >>= shift
            self._lost_mask >>= shift
            self._base = keep_from

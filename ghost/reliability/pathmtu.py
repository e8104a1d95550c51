"""How large a packet the path carries: RFC 8899 in spirit, without a probe before there is a doubt.

Packets begin at full size, because nearly every path carries them. One that does not is a black hole: large packets
vanish while smaller ones, sent among them, arrive. When chance explains that no more, the size falls to the next step,
and is searched upwards again with padded probes: the size that failed first, since it may have been chance after all,
then by halves between what is known to pass and what is known not to. That a path got better is noticed later on.
Probes leave only while something else does, and what becomes of them says nothing about loss.

Sizes are bytes on the path as the sender books them: the datagram with its IPv4 and UDP headers.
"""

from __future__ import annotations

import math
from typing import Final

from ghost.constants import FULL_PACKET
from ghost.reliability.loss import SentPacket

STEPS: Final[tuple[int, ...]] = (FULL_PACKET, 1180, 576)
"""From one to the next below where packets vanish: 1200 bytes over IPv6 and IPv4, and what every IPv4 host takes."""
PLATEAUS: Final[tuple[int, ...]] = (576, 780, 980, 1180, 1260, 1340, 1400, 1440, FULL_PACKET)
"""Sizes that are tried upwards: 1260 is the 1280 that every IPv6 path carries, the ones above are common tunnels'."""
CHANCE: Final = 1e-4  # so likely is a false alarm; it costs a round trip of smaller packets
LEAST_LOST: Final = 8  # large packets in a row
LEAST_LOSS: Final = 0.3  # is taken for possible on any path, because the rate may be that of smaller packets or old
WITNESSES: Final = 2  # smaller packets that arrived meanwhile
DOUBT: Final = 4  # large packets lost in a row from which there should be smaller ones to compare with
PROBE_CHANCE: Final = 0.01  # so likely are all probes of a size that passes lost
MOST_PROBES: Final = 8  # of one size
FIRST_RAISE: Final = 60.0  # seconds until a path may have got better; doubles up to
LAST_RAISE: Final = 600.0  # RFC 8899 section 5.1.1


class PathMtu:
    """One direction of one path. `limit` is the largest packet that may be sent, `floor` the next step below."""

    __slots__ = (
        "black_holes",
        "floor",
        "limit",
        "lost",
        "_burst",
        "_ceiling",
        "_first_lost",
        "_is_doubted",
        "_loss",
        "_probe_at",
        "_probes",
        "_raise_after",
        "_raise_at",
        "_tries",
        "_trying",
        "_witnesses",
    )

    def __init__(self) -> None:
        self.black_holes = 0
        self.limit = FULL_PACKET
        self.floor = STEPS[1]
        self.lost = 0
        """Large packets since the last one that arrived."""
        self._first_lost = -1
        self._witnesses = 0
        self._loss = 0.0  # when the first of them was lost
        self._burst = 1.0
        self._ceiling = FULL_PACKET  # larger ones are known not to pass
        self._is_doubted = False  # whether it may all have been chance: then the ceiling is tried first
        self._probes: dict[int, int] = {}  # packet number to size
        self._probe_at = 0.0
        self._trying = 0
        self._tries = 0
        self._raise_after = FIRST_RAISE
        self._raise_at = math.inf

    @property
    def is_content(self) -> bool:
        """Whether what arrives tells nothing: no probe is under way, and no large packet was lost."""
        return not self.lost and not self._probes

    @property
    def is_in_doubt(self) -> bool:
        """Whether it should be found out if smaller packets arrive."""
        return self.lost >= DOUBT

    @property
    def burst(self) -> float:
        """The mean run of losses before the present ones."""
        return self._burst

    def on_fates(self, acked: list[SentPacket], lost: list[SentPacket], *, loss: float, burst: float) -> int:
        """Looks at what was acknowledged and lost, oldest first; where the limit falls, how many losses that explains.

        `loss` and `burst` are the path's as known before.
        """
        if not lost and not self.lost:
            return 0
        for packet in lost:
            if packet.size > self.floor:
                if not self.lost:
                    self._first_lost, self._loss, self._burst = packet.number, loss, burst
                self.lost += 1
        if not self.lost:
            return 0
        for packet in acked:
            if packet.number > self._first_lost:
                if packet.size > self.floor:
                    self._forget()
                    return 0
                self._witnesses += 1
        vanished = self.lost
        if self.floor == self.limit or self._witnesses < WITNESSES or vanished < self._needed():
            return 0
        self._fall()
        return vanished

    def on_path_change(self) -> None:
        """What the former path carried says little."""
        self._forget()
        if self.limit < FULL_PACKET:
            self._search(FULL_PACKET)

    # ---- the search upwards -----------------------------------------------------------------------------------

    def probe_size(self, now: float, *, loss: float, interval: float) -> int | None:
        """The size of a probe that is due; `interval` seconds bring its answer, if any."""
        if self.limit == FULL_PACKET:
            return None
        if now >= self._raise_at:
            self._raise_after = min(2 * self._raise_after, LAST_RAISE)
            self._search(FULL_PACKET)
        if self._ceiling == self.limit or now < self._probe_at:
            return None
        if self._trying and self._tries >= _tries(loss):
            self._ceiling = max(size for size in PLATEAUS if size < self._trying)
            self._is_doubted = False
            self._trying = self._tries = 0
        candidates = [size for size in PLATEAUS if self.limit < size <= self._ceiling]
        if not candidates:
            self._raise_at = now + self._raise_after
            return None
        if not self._trying:
            self._trying = candidates[-1 if self._is_doubted else len(candidates) // 2]
        self._probe_at = now + interval
        return self._trying

    def on_probe_sent(self, number: int, size: int) -> None:
        self._probes[number] = size
        self._tries += 1

    def take_probes(self, packets: list[SentPacket], *, are_acked: bool) -> list[SentPacket]:
        """Those of `packets` that are no probes; an acknowledged probe raises the limit."""
        if not self._probes:
            return packets
        for packet in packets:
            size = self._probes.get(packet.number, 0)
            if are_acked and size > self.limit:
                self._raise(size)
        others = [packet for packet in packets if packet.number not in self._probes]
        for packet in packets:
            self._probes.pop(packet.number, None)
        return others

    def _raise(self, size: int) -> None:
        self.limit = size
        self.floor = max(step for step in STEPS if step < size)
        self._is_doubted = False
        self._trying = self._tries = 0
        self._probe_at = 0.0
        self._forget()
        self._ceiling = max(self._ceiling, size)

    # ---- the fall ---------------------------------------------------------------------------------------------

    def _fall(self) -> None:
        self.black_holes += 1
        ceiling, self.limit = self.limit, self.floor
        self.floor = max((step for step in STEPS if step < self.limit), default=self.limit)
        self._forget()
        self._search(ceiling)
        self._is_doubted = True

    def _search(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._is_doubted = False
        self._trying = self._tries = 0
        self._probe_at = 0.0
        self._raise_at = math.inf

    def _forget(self) -> None:
        self.lost = self._witnesses = 0

    def _needed(self) -> float:
        """Large packets lost in a row that chance explains no more."""
        by_chance = math.log(CHANCE) / math.log(min(max(self._loss, LEAST_LOSS), 0.9))
        return max(LEAST_LOST, by_chance * max(1.0, self._burst))


def _tries(loss: float) -> int:
    return min(MOST_PROBES, math.ceil(math.log(PROBE_CHANCE) / math.log(min(max(loss, 0.1), 0.9))))

"""What the next packet should be: new data, or a repair of old.

One rule serves redundancy ahead of loss and retransmission after it, so they never pay twice (in spirit AC-RLNC,
arXiv 1905.02870). It counts degrees of freedom: the receiver lacks `need`; of the packets sent since it spoke, each
source will be missing with probability p, each repair will help with probability 1 - p. A repair is due when

    need + p * sources - (1 - p) * repairs + z * sqrt(p (1 - p) n) >= 1/2

The margin z is not computed but steered: every quarter of a second it moves so that the share of arriving packets
that taught the receiver nothing stays at `waste`. Bursts need no formula of their own. While the oldest missing symbol
is the same for nearly a round trip the repairs that were sent ahead for it, and perhaps the first ones that it was
answered by, have died too: another failure would cost another round trip, so z is larger by URGENCY.

Repairs are coded over what is known to be missing and the newest symbols without news, as far as the window reaches;
after a mass of losses missing symbols go again one by one instead. The window shrinks with the CPU time that the rate
asks for. Where coding does not pay (hardly any loss, or no time for it) a repair is the plain symbol again, after its
loss and not before.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from ghost.constants import FULL_PACKET, MAX_MEMBERS

WASTE_LEAST, WASTE_SLOPE, WASTE_MOST = 0.04, 0.1, 0.065
"""Less loss delays less, and goodput is worth more there. Simulated, in-order delay of half and of 99 % of the packets:
at 10 % loss 0.07 instead of 0.05 saves 5 and 22 ms for 0.9 % of the goodput, at 30 % 0.065 instead of 0.05 saves 8 and
20 for 1 %."""
URGENCY: Final = 1.0
"""Simulated at 30 % loss: a 99th percentile of 201 ms instead of 238, for 0.3 % of the goodput."""
URGENT_AFTER: Final = 0.8  # round trips
SERVO_INTERVAL: Final = 0.25  # seconds
SERVO_STEP: Final = 0.1
SERVO_PACKETS: Final = 4
"""Fewer in an interval count for less, but wholly: one of one that was too much weighs as much as 13 that were not.
Cut off at a step, a third of what arrived at 64 kbit/s taught nothing (simulated)."""
MARGIN_FIRST: Final = 1.5
MARGIN_MOST: Final = 1.5

LEAST_WINDOW: Final = 16  # below it coding loses more than it gains: 0.35 of the ceiling with 8 (simulated)
CPU_SHARE: Final = 0.25  # of one core
COST_PER_MEMBER: Final = 3.4e-6  # seconds for each symbol in a repair: product, sum and lookup (measured)
LEAST_LOSS: Final = 0.003  # below it a lost symbol is sent again when it is known to be lost


class RepairPolicy:
    """State of the rule. `sources` and `repairs` are running totals of what was sent."""

    __slots__ = (
        "sources",
        "repairs",
        "margin",
        "need",
        "_acked_sources",
        "_acked_repairs",
        "_former_sources",
        "_former_repairs",
        "_servo_at",
        "_arrived",
        "_redundant",
        "_floor",
        "_floor_since",
        "_is_urgent",
        "reported_redundant",
    )

    def __init__(self, now: float) -> None:
        self.sources = 0
        self.repairs = 0
        self.margin = MARGIN_FIRST
        self.need = 0.0
        self._acked_sources = 0
        self._acked_repairs = 0
        self._former_sources = self._former_repairs = 0  # before the last source that came by itself
        self._servo_at = now + SERVO_INTERVAL
        self._arrived = 0
        self._redundant = 0
        self._floor = 0
        self._floor_since = now
        self._is_urgent = False
        self.reported_redundant = 0

    def on_ack(
        self,
        *,
        sources: int,
        repairs: int,
        missing: int,
        rank: int,
        late: float,
        floor: int,
        srtt: float,
        arrived: int,
        redundant: int,
        loss: float,
        is_app_limited: bool,
        now: float,
    ) -> None:
        """News that is newer than any before.

        `sources` and `repairs` are the totals when the reference packet was sent; of the symbols up to it `missing`
        are unknown, the oldest of them is `floor`, `rank` equations for them wait, and `late` packets may be expected
        still.
        `arrived` packets are newly acknowledged; `redundant` is the receiver's counter modulo 2**16. Where the sender
        had nothing else to send (`is_app_limited`), what is redundant took nobody's place and does not count.
        """
        self._acked_sources, self._acked_repairs = sources, repairs
        if floor != self._floor or not missing:
            self._floor, self._floor_since = floor, now
        self._is_urgent = now - self._floor_since > URGENT_AFTER * srtt
        self.need = max(0.0, missing - rank - late)
        self._arrived += arrived
        self._redundant += (redundant - self.reported_redundant) & 0xFFFF
        self.reported_redundant = redundant
        if is_app_limited:
            self._start_servo(now)
        elif now >= self._servo_at and self._arrived:
            step = waste(loss) - self._redundant / self._arrived
            if self._arrived < SERVO_PACKETS:
                step *= self._arrived / SERVO_PACKETS
            else:
                step = max(-SERVO_STEP, min(SERVO_STEP, step))
            self.margin = max(-MARGIN_MOST, min(MARGIN_MOST, self.margin + step))
            self._start_servo(now)

    def on_lone_source(self) -> None:
        """The next source comes by itself: of what was sent before, nothing that was too much will help it."""
        self._former_sources, self._former_repairs = self.sources, self.repairs

    def sources_until_repair(self, loss: float, *, is_app_limited: bool, most: int) -> int:
        """How many sources, `most` at the most, may leave one after the other before a repair is due.

        Without new data to send (`is_app_limited`) the margin grows.
        """
        sources = self.sources - self._acked_sources
        repairs = self.repairs - self._acked_repairs
        former, former_repairs = 0.0, self._former_repairs - self._acked_repairs
        if former_repairs > 0:
            former_sources = max(0, self._former_sources - self._acked_sources)
            former = max(0.0, (1 - loss) * former_repairs - loss * former_sources - self.need)
        deviations = self.margin + URGENCY if self._is_urgent else self.margin
        for ahead in range(most):
            expected = self.need + loss * (sources + ahead) - (1 - loss) * repairs + former
            deviation = sqrt(loss * (1 - loss) * (sources + ahead + repairs))
            margin = deviations * deviation
            if is_app_limited and (sources + ahead or self.need):
                margin += 2 * deviation + 0.5
            if expected + margin >= 0.5:
                return ahead
        return most

    def _start_servo(self, now: float) -> None:
        self._servo_at = now + SERVO_INTERVAL
        self._arrived = self._redundant = 0


def waste(loss: float) -> float:
    """The share of arriving packets that should teach the receiver nothing."""
    return min(WASTE_LEAST + WASTE_SLOPE * loss, WASTE_MOST)


def coding_window(loss: float, rate: float) -> int:
    """How many symbols a repair may cover at `rate` wire bytes a second; 0 where coding does not pay."""
    if loss < LEAST_LOSS:
        return 0
    repairs = 1.1 * loss / (1 - min(loss, 0.9)) * rate / FULL_PACKET
    window = int(CPU_SHARE / (repairs * COST_PER_MEMBER))
    return 0 if window < LEAST_WINDOW else min(window, MAX_MEMBERS)

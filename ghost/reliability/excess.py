"""Telling the path's own loss from loss that we cause, where no queue shows it: policers and shallow buffers.

Loss is counted over intervals of packets sent at one rate. One that loses significantly more than the path's floor
starts a trial: the sender cuts its rate to what was delivered and looks at the next interval. If the loss stays it is
the path's, becomes the floor, and the rate is given back; if it falls, the rate was the cause, and what is surely left
of it is the floor. Beside trials the floor follows what is measured, but never upwards at a rate higher than the one it
was learnt at: a policer's drops would creep into it step by step.

Significance: DEVIATIONS standard deviations of both counts, and at least LEAST_EXCESS. A Gilbert-Elliott channel of
mean burst B varies 2B - 1 times as much as independent losses, so intervals grow by that; but a policer's drops come
in runs as well, and a test that believed in any burst would let the rate run away from it.
"""

from __future__ import annotations

from math import sqrt
from typing import ClassVar, Final

from ghost.reliability.loss import SentPacket

LEAST_PACKETS: Final = 40
FLOOR_PACKETS: Final = 400  # memory of the floor
DEVIATIONS: Final = 3.0
DEVIATIONS_FALLEN: Final = 1.5  # for a trial's end: the cut makes a real excess fall to almost nothing
LARGEST_BURST: Final = 4.0
USED: Final = 0.5  # of the rate: an interval that sent less says nothing of it
LEAST_EXCESS: Final = 0.06
STAYS: Final = 0.6  # of the loss before the cut: that much left says that the rate was not the cause
SAME_RATE: Final = 1.02
NEXT_RATE: Final = 1.15  # at a rate so much higher without excess the floor holds for that rate too, if
PAID: Final = 0.5  # this share of what more was sent arrived


class Verdict:
    """What an interval says. No Enum, as ghost.reliability.congestion's Mode is none."""

    __slots__ = ("meaning",)
    NOTHING: ClassVar[Verdict]
    EXCESS: ClassVar[Verdict]
    INNOCENT: ClassVar[Verdict]
    GUILTY: ClassVar[Verdict]

    def __init__(self, meaning: str) -> None:
        self.meaning = meaning

    def __repr__(self) -> str:
        return f"<{self.meaning}>"


Verdict.NOTHING = Verdict("nothing")
Verdict.EXCESS = Verdict("excess: cut the rate, a trial begins")
Verdict.INNOCENT = Verdict("the trial's loss stays: give the rate back")
Verdict.GUILTY = Verdict("the trial's loss fell: the rate was the cause")


class ExcessLoss:
    """`floor` is the path's own loss, `loss` that of the last complete interval."""

    __slots__ = (
        "floor",
        "loss",
        "_anchor",
        "_delivered",
        "_floor_packets",
        "_since",
        "_packets",
        "_lost",
        "_bytes",
        "_before",
    )

    def __init__(self, now: float) -> None:
        self.floor = 0.0
        self.loss = 0.0
        self._anchor = 0.0  # the highest rate that the floor is known to hold for
        self._delivered = 0.0  # of it, bytes a second
        self._floor_packets = LEAST_PACKETS  # how much the floor is worth, in packets
        self._since = now
        self._packets = 0
        self._lost = 0
        self._bytes = 0
        self._before: float | None = None  # the loss that began the trial

    @property
    def is_on_trial(self) -> bool:
        return self._before is not None

    def dismiss(self) -> None:
        """Ends the trial at once: it is too early to tell."""
        self._before = None

    def acquit(self) -> None:
        """Ends the trial at once: more was delivered as more was sent, so the last interval's loss is the path's."""
        self._before = None
        self.floor, self._floor_packets = self.loss, 2 * LEAST_PACKETS

    def learn(self, loss: float, *, rate: float) -> None:
        """At `rate` there was a queue, so what was lost before it was neither a policer's nor a buffer's."""
        self.floor, self._floor_packets = loss, 2 * LEAST_PACKETS
        self._anchor, self._delivered = rate, (1 - loss) * rate

    def abandon(self, now: float) -> None:
        """What was lost until now has another cause, and no trial can tell."""
        self._before = None
        self._restart(now)

    def _restart(self, now: float) -> None:
        """A new interval: of packets sent from now on."""
        self._since = now
        self._packets = self._lost = self._bytes = 0

    def update(
        self,
        acked: list[SentPacket],
        lost: list[SentPacket],
        *,
        rate: float,
        burst: float,
        horizon: float,
        now: float,
        most: float = float("inf"),
    ) -> Verdict:
        """Counts packets whose fate is known now. An interval spans a `horizon` (seconds) of sending at `rate`.

        `most` is what can be sent, bytes a second, where something else allows less.
        """
        # Oldest first, and nearly always all of them: one for every packet of a transfer comes by here.
        is_old = bool(acked) and acked[0].time < self._since
        fates = [packet for packet in acked if packet.time >= self._since] if is_old else acked
        self._packets += len(fates)
        self._bytes += sum([packet.size for packet in fates])
        if lost:
            losses = [packet for packet in lost if packet.time >= self._since]
            self._packets += len(losses)
            self._lost += len(losses)
            self._bytes += sum([packet.size for packet in losses])
        newest = fates[-1].time if fates else self._since
        inflation = 2 * (burst if burst < LARGEST_BURST else LARGEST_BURST) - 1
        is_enough = self._packets >= LEAST_PACKETS * inflation or (
            self._before is not None and self._is_clear(inflation)
        )
        if not is_enough or newest < self._since + horizon:
            return Verdict.NOTHING
        is_used = self._bytes >= USED * min(rate, most) * (newest - self._since)
        verdict = self._judge(rate, inflation) if is_used else Verdict.NOTHING
        self._restart(now)
        return verdict

    def _is_clear(self, inflation: float) -> bool:
        """Whether a trial needs no more packets: so much less is lost than before it."""
        if self._before is None or self._packets < LEAST_PACKETS:
            return False
        self.loss = self._lost / self._packets
        return self._before - self.loss > DEVIATIONS * self._deviation(self._before, self._packets, inflation)

    def _judge(self, rate: float, inflation: float) -> Verdict:
        self.loss = self._lost / self._packets
        before, self._before = self._before, None
        if before is not None and self.loss - before > DEVIATIONS_FALLEN * self._deviation(
            before, self._packets, inflation
        ):
            self._before = self.loss  # it has become worse meanwhile: another cause, another trial
            return Verdict.EXCESS
        if before is not None:
            has_fallen = before - self.loss > DEVIATIONS_FALLEN * self._deviation(before, self._packets, inflation)
            is_innocent = self.loss > STAYS * before or not has_fallen
            self._hold_for(rate)
            if is_innocent:
                self.floor, self._floor_packets = (before + self.loss) / 2, 2 * self._packets
            else:
                deviation = sqrt(self.loss * (1 - self.loss) * inflation / self._packets)
                self.floor = max(self.floor, self.loss - DEVIATIONS_FALLEN * deviation)
            return Verdict.INNOCENT if is_innocent else Verdict.GUILTY
        deviation = self._deviation(self.floor, self._floor_packets, inflation)
        if self.loss - self.floor > max(LEAST_EXCESS, DEVIATIONS * deviation):
            self._before = self.loss
            return Verdict.EXCESS
        if self.loss < self.floor or rate <= SAME_RATE * self._anchor:
            self._floor_packets = min(self._floor_packets + self._packets, FLOOR_PACKETS)
            self.floor += (self.loss - self.floor) * min(1.0, self._packets / self._floor_packets)
        growth = rate / self._anchor - 1 if self._anchor else 0.0
        if rate > NEXT_RATE * self._anchor and (1 - self.loss) * rate >= (1 + PAID * growth) * self._delivered:
            self._hold_for(rate)
        return Verdict.NOTHING

    def _hold_for(self, rate: float) -> None:
        """The floor is known to hold for this rate, of which so much was delivered."""
        self._anchor, self._delivered = rate, (1 - self.loss) * rate

    def _deviation(self, other: float, other_packets: int, inflation: float) -> float:
        """The standard deviation of this interval's loss less `other`, measured over so many packets."""
        share = (self.loss * self._packets + other * other_packets) / (self._packets + other_packets)
        return sqrt(share * (1 - share) * inflation * (1 / self._packets + 1 / other_packets))

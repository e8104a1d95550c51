"""Prompt records: what must arrive at once or not at all.

Each gets an id, is sent ahead of everything else, and is copied ahead of loss as often as the measured loss asks for;
copies are spaced in time, because losses come in bursts, and paid from a share of the path's rate, because copies
that flood a thin link lose more than they save; first transmissions and what goes again come out of the same share.
Where it does not suffice a copy rides: it has no datagram of its own, which is more than half of its bytes, but goes
with the next one that leaves anyway. Where nothing but prompts was sent the path's rate is a guess: it is too high if
the peer says so, who sees how far apart copies arrive (dispersion.py), or if a queue grows all the same, and then what
arrives is what the path carries. One that is lost all the same is sent again while it is still worth having, and a
record that a newer one has made stale (a TCP acknowledgement) never is.

A record may be held: it leaves with any datagram that leaves anyway, or by itself when its time has come, or never, if
what its flow says meanwhile says it as well.

The number of copies leaves about 0.38 % to retransmission: ceil(ln 0.0038 / ln p), simulated: at 30 % loss five copies
give a 99th percentile of 5 ms above the path for 8 times the bytes, three copies one of 117 ms for 5 times.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Final

from ghost.constants import PACKET_OVERHEAD

RESIDUAL: Final = 0.0038
HEAVY_LOSS, HEAVY_RESIDUAL = 0.4, 0.001
"""From that loss on less may be left, because what is sent again after its loss is lost again too often."""
LEAST_LOSS: Final = 0.005  # below it a retransmission now and then is cheaper than copies of everything
MAX_COPIES: Final = 10
COPY_GAP: Final = 0.0015  # seconds
FIRST_GAP: Final = 0.0003
"""Seconds to the first copy where losses come one by one: at 30 % loss it is what half of all round trips wait for."""
BURSTY: Final = 1.6  # times the runs that chance makes
BURST_COPIES: Final = 4  # in bursts further copies die together with the first ones
BUDGET_SHARE: Final = 0.22  # of the pacing rate: with the acknowledgements beside them prompts take a quarter
BUDGET_SECONDS: Final = 0.5  # how long unused budget keeps
RIDE_OVERHEAD: Final = 3  # bytes of frame around a record
COPY_OVERHEAD: Final = RIDE_OVERHEAD + PACKET_OVERHEAD + 28 + 12  # and of datagram, UDP, IPv4, and usual padding
MEASURED_SECONDS: Final = 0.5  # of a queue, in which what arrives is counted
SMALL_DATAGRAM: Final = 150  # bytes, about: so much more or less is chance
OURS: Final = 0.8  # of what was sent, losses apart, arrives at most where a queue is of our making
TRUST: Final[tuple[float, ...]] = (10.0, 80.0)
"""Seconds without a queue after which a path may carry twice as much: at first, and at most if it never does. Trying
costs as much again as the share for a second or two."""

LIFETIME: Final = 1.0  # seconds beyond four round trips: a DNS client asks again after one, a voice frame is worthless
MAX_WAITING_BYTES: Final = 256 << 10
MAX_IN_FLIGHT: Final = 4096
MOST_AGAIN: Final = 64  # records that go again at once when the peer has moved: a second of a call


def copies_for(loss: float, burst: float) -> int:
    """How often to send a prompt record, the first time included."""
    if loss < LEAST_LOSS:
        return 1
    residual = HEAVY_RESIDUAL if loss >= HEAVY_LOSS else RESIDUAL
    copies = math.ceil(math.log(residual) / math.log(min(loss, 0.9)))
    return max(2, min(copies, BURST_COPIES if is_bursty(loss, burst) else MAX_COPIES))


def is_bursty(loss: float, burst: float) -> bool:
    """Whether runs of `burst` lost packets are longer than chance makes them, 1 / (1 - loss)."""
    return burst * (1 - loss) > BURSTY


class PromptRecord:
    """A record on its way. `stale_key` names what a later record with the same key makes it worthless for.

    `is_near` until it has left, or lost its turn: all that are leave in the order of their ids.
    """

    __slots__ = (
        "prompt_id",
        "data",
        "created",
        "stale_key",
        "copies_left",
        "in_flight",
        "is_near",
        "is_rider",
        "is_settled",
        "has_ridden",
    )

    def __init__(
        self, prompt_id: int, data: bytes, *, created: float, stale_key: bytes | None, is_near: bool = False
    ) -> None:
        self.prompt_id = prompt_id
        self.data = data
        self.created = created
        self.stale_key = stale_key
        self.copies_left = 0
        self.in_flight = 0
        self.is_near = is_near
        self.is_rider = False  # its next copy goes with whatever leaves next
        self.has_ridden = False  # once a round, before it is lost: more would eat up the share
        self.is_settled = False  # acknowledged, stale or given up: nothing of it is sent any more


class CarriedRate:
    """What a path carries at most, in bytes a second, as far as prompts alone have told."""

    __slots__ = ("rate", "_arrived", "_sent", "_since", "_trust", "_until")

    def __init__(self) -> None:
        self.rate = math.inf
        self._arrived = self._sent = 0
        self._since: float | None = None  # a queue shows
        self._trust = TRUST[0]
        self._until = 0.0

    def update(self, *, has_queue: bool, sent: int, arrived: int, loss: float, now: float) -> None:
        """`has_queue`: while prompts alone were sent. `sent` and `arrived` bytes so far: where as much arrives as the
        `loss` leaves, the queue is somebody else's."""
        if not has_queue:
            self._since = None
            if now - self._until > self._trust:
                self.rate *= 2
                self._until = now
        elif self._since is None:
            self._since, self._sent, self._arrived = now, sent, arrived
        elif now - self._since >= MEASURED_SECONDS:
            expected = (sent - self._sent) * (1 - min(loss, 0.9))
            if arrived - self._arrived < OURS * expected - 2 * math.sqrt(expected * loss * SMALL_DATAGRAM):
                self.on_pace((arrived - self._arrived) / (now - self._since) / (1 - min(loss, 0.9)), now)
            self._since, self._sent, self._arrived = now, sent, arrived
            self._until = now

    def on_pace(self, rate: float, now: float) -> None:
        """So fast the path delivers what leaves together."""
        if math.inf > self.rate > 1.5 * rate:
            self._trust = min(2 * self._trust, TRUST[1])
        elif rate > 1.5 * self.rate:
            self._trust = TRUST[0]
        self.rate = rate
        self._until = now


class PromptSender:
    """Prompt records in the order in which they should leave."""

    __slots__ = (
        "carried",
        "dropped",
        "next_id",
        "_waiting",
        "_waiting_bytes",
        "_copies",
        "_held",
        "_records",
        "_riders",
        "_newest",
        "_budget",
        "_at",
    )

    def __init__(self, now: float) -> None:
        self.carried = CarriedRate()
        self.dropped = 0
        self.next_id = 0
        """Of the next record, unless it is dropped."""
        self._waiting: deque[PromptRecord] = deque()
        self._waiting_bytes = 0
        self._copies: deque[tuple[float, PromptRecord]] = deque()  # due times ascend
        self._held: dict[bytes, tuple[float, PromptRecord]] = {}  # by stale key: when it leaves by itself
        self._records: OrderedDict[int, PromptRecord] = OrderedDict()
        self._riders: deque[tuple[float, PromptRecord]] = deque()  # from when on they may ride
        self._newest: dict[bytes, PromptRecord] = {}
        self._budget = 0.0
        self._at = now

    def push(
        self, data: bytes, *, now: float, stale_key: bytes | None, hold: float = 0.0, is_near: bool = False
    ) -> None:
        """`hold`: for so many seconds it may wait for company; it needs a stale key."""
        if self._waiting_bytes + len(data) > MAX_WAITING_BYTES or len(self._records) >= MAX_IN_FLIGHT:
            self.dropped += 1
            return
        is_near = is_near and not hold
        record = PromptRecord(self.next_id, data, created=now, stale_key=stale_key, is_near=is_near)
        self.next_id += 1
        self._records[record.prompt_id] = record
        if stale_key is not None:
            older = self._newest.get(stale_key)
            due, held = self._held.pop(stale_key, (now + hold, None))
            if older is not None and (older.in_flight or older is held):
                self._settle(older)
            self._newest[stale_key] = record
            if hold:
                self._held[stale_key] = due, record
                return
        self._waiting.append(record)
        self._waiting_bytes += len(data)

    def supersede(self, stale_key: bytes) -> None:
        """What is held under that key has become worthless."""
        if stale_key in self._held:
            self._settle(self._held.pop(stale_key)[1])

    def next_record(self, now: float, srtt: float) -> PromptRecord | None:
        """What to send next, if anything is due; `on_sent` or `put_back` follows."""
        while self._waiting:
            record = self._waiting.popleft()
            self._waiting_bytes -= len(record.data)
            if now - record.created > LIFETIME + 4 * srtt:
                self._settle(record)
            elif not record.is_settled:
                return record
        while self._copies and self._copies[0][0] <= now:
            record = self._copies.popleft()[1]
            if not record.is_settled:
                return record
        while self._held:
            record = self._held.pop(next(iter(self._held)))[1]
            if not record.is_settled:
                return record
        while self._riders and self._riders[0][0] <= now:
            record = self._riders.popleft()[1]
            if record.is_rider and not record.is_settled:
                return record
        return None

    def put_back(self, record: PromptRecord) -> None:
        """It did not fit."""
        self._waiting.appendleft(record)
        self._waiting_bytes += len(record.data)

    def give_up(self, record: PromptRecord) -> None:
        """It fits no packet any more."""
        self.dropped += 1
        self._settle(record)

    def on_sent(
        self,
        record: PromptRecord,
        *,
        now: float,
        copies: int,
        rate: float,
        is_spaced: bool = False,
        is_guest: bool = False,
    ) -> None:
        """Plans its next copy as far as `copies` in all and the budget (`rate` bytes a second) allow.

        `is_spaced`: losses come in bursts, or delays vary by more than a first copy could save.
        `is_guest`: another record was in the datagram before it.
        """
        is_first = not record.in_flight and not record.copies_left
        is_planned = record.copies_left > 0  # and paid for
        if is_first:
            record.copies_left = copies
        record.in_flight += 1
        record.is_near = record.is_rider = False
        record.copies_left = max(0, record.copies_left - 1)
        share = min(rate, self.carried.rate) * BUDGET_SHARE
        most = share * BUDGET_SECONDS
        self._budget = min(self._budget + (now - self._at) * share, most)
        self._at = now
        if record.stale_key is not None:
            record.copies_left = 0
            return
        ride = len(record.data) + RIDE_OVERHEAD
        copy = len(record.data) + COPY_OVERHEAD
        if not is_planned:
            self._budget = max(self._budget - (ride if is_guest else copy), -most)
        if record.copies_left <= 0:
            return
        if self._budget >= copy:
            self._budget -= copy
            self._plan(now + (FIRST_GAP if is_first and not is_spaced else COPY_GAP), record)
            return
        may_ride = not record.has_ridden and self._budget > ride - most
        record.copies_left = int(may_ride)
        if may_ride:
            self._budget -= ride
            record.is_rider = record.has_ridden = True
            self._riders.append((now + COPY_GAP, record))

    def on_acked(self, prompt_id: int) -> None:
        record = self._records.get(prompt_id)
        if record is not None:
            self._settle(record)

    def on_lost(self, prompt_id: int) -> None:
        """A transmission died: send again when no other is under way."""
        record = self._records.get(prompt_id)
        if record is not None:
            record.in_flight -= 1
            if record.in_flight <= 0 and (record.is_rider or not record.copies_left):
                record.has_ridden = False
                self.put_back(record)

    def resend(self, prompt_id: int) -> None:
        """Its fate is unknown for too long: send once more, ahead of the verdict."""
        record = self._records.get(prompt_id)
        if record is not None and record not in self._waiting:
            self.put_back(record)

    def on_path_change(self) -> None:
        """What is under way left for where the peer was: it goes once more, oldest first, the newest of it."""
        waiting = {record.prompt_id for record in self._waiting}
        awaited = [each for each in self._records.values() if each.in_flight and each.prompt_id not in waiting]
        for record in reversed(awaited[-MOST_AGAIN:]):
            self.put_back(record)

    def is_stale_soon(self, prompt_id: int) -> bool:
        """Whether a record under way will be worth nothing when its flow says more."""
        record = self._records.get(prompt_id)
        return record is None or record.stale_key is not None

    def next_time(self) -> float | None:
        """When a record or a copy is due; a time in the past means now."""
        if self._waiting:
            return self._waiting[0].created
        due = self._copies[0][0] if self._copies else None
        if self._held:
            held_until = next(iter(self._held.values()))[0]
            return held_until if due is None else min(due, held_until)
        return due

    @property
    def has_waiting(self) -> bool:
        """Whether what is due next is more than a copy."""
        return bool(self._waiting)

    @property
    def has_held(self) -> bool:
        """Whether something waits that would leave with a datagram that leaves anyway."""
        return bool(self._held)

    @property
    def has_riders(self) -> bool:
        """Whether copies would."""
        return bool(self._riders)

    def _plan(self, due: float, record: PromptRecord) -> None:
        """A copy that leaves then: behind all that are due before."""
        copies = self._copies
        at = len(copies)
        while at and copies[at - 1][0] > due:
            at -= 1
        copies.insert(at, (due, record))

    def _settle(self, record: PromptRecord) -> None:
        record.is_settled = True
        self._records.pop(record.prompt_id, None)
        if record.stale_key is not None and self._newest.get(record.stale_key) is record:
            del self._newest[record.stale_key]

"""What a path did, second by second, in few bytes: the format of the flight recorder's files, and how they are played.

A file is a ring: a head, then room for `capacity` moments of which the oldest is overwritten. It has its full size from
the start, so a shorter one was cut off. Numbers are big-endian.

    head, 32 bytes      magic (12) | interval in ms: 2 | capacity: 4 | next place: 4 | moments so far: 4 | zeros: 6
    moment, 18 bytes    delay: 2 | extra: 2 | queue: 2 | loss out: 2 | loss in: 2 | burst: 1 | flags: 1
                        | rate out: 3 | rate in: 3

Times are round trips in 0.1 ms, losses in 1/65535, bursts in 1/8 packet, rates in kbit/s. No addresses, names or
contents: whoever gets the file learns what the path was like, and when it was silent.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ghost.chaos.spec import LinkSpec
from ghost.errors import ConfigError

MAGIC: Final = b"GHOSTTRACE1\n"
HEAD: Final = struct.Struct(">12sHIII6x")
MOMENT: Final = struct.Struct(">HHHHHBBHBHB")
INTERVAL: Final = 1.0  # seconds
MOST_MOMENTS: Final = 7 * 86_400  # a week, 11 MB

SILENT: Final = 1  # a flag
UNANSWERED: Final = 3  # probes without an answer, as the sender itself counts a path for lost
BEST_WITHIN: Final = 30  # moments before and after: what came in at its best says what the path down carries
LEAST_RATE_BPS: Final = 64e3
LEAST_QUEUE: Final = 0.1
_TENTH_MS: Final = 1e-4
_SHARE: Final = 65_535


@dataclass(frozen=True, slots=True)
class Moment:
    """One interval of a path as the client saw it.

    delay             seconds of a round trip without queues, 0 if nothing came back
    jitter, queue     seconds beyond it
    loss_out, loss_in shares of the packets lost, up and down; burst, how many in a row
    rate_out_bps      what the path up is believed to carry
    rate_in_bps       what came down
    is_silent         nothing came back, whatever was tried
    """

    delay: float
    jitter: float
    queue: float
    loss_out: float
    loss_in: float
    burst: float
    rate_out_bps: float
    rate_in_bps: float
    is_silent: bool

    def encode(self) -> bytes:
        out, down = (min(int(rate / 1e3), 0xFFFFFF) for rate in (self.rate_out_bps, self.rate_in_bps))
        return MOMENT.pack(
            *(min(round(seconds / _TENTH_MS), 0xFFFF) for seconds in (self.delay, self.jitter, self.queue)),
            *(round(min(max(share, 0.0), 1.0) * _SHARE) for share in (self.loss_out, self.loss_in)),
            min(round(self.burst * 8), 0xFF),
            SILENT if self.is_silent else 0,
            out >> 8, out & 0xFF, down >> 8, down & 0xFF,
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Moment:
        delay, jitter, queue, loss_out, loss_in, burst, flags, out, out_low, down, down_low = MOMENT.unpack(data)
        return cls(
            delay=delay * _TENTH_MS,
            jitter=jitter * _TENTH_MS,
            queue=queue * _TENTH_MS,
            loss_out=loss_out / _SHARE,
            loss_in=loss_in / _SHARE,
            burst=burst / 8,
            rate_out_bps=(out << 8 | out_low) * 1e3,
            rate_in_bps=(down << 8 | down_low) * 1e3,
            is_silent=bool(flags & SILENT),
        )


class Observer:
    """Makes moments of the snapshots of one connection, an interval apart."""

    __slots__ = ("_former",)

    def __init__(self) -> None:
        self._former: Mapping[str, Any] | None = None

    def moment(self, snapshot: Mapping[str, Any] | None) -> Moment:
        """`snapshot` is Connection.snapshot's, None while there is no connection, which is silence."""
        former, self._former = self._former, snapshot
        if snapshot is None:
            return Moment(0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, is_silent=True)
        is_new = former is None or snapshot["sent_packets"] < former["sent_packets"]
        before = dict.fromkeys(snapshot, 0) if former is None or is_new else former

        def grown(key: str) -> int:
            return int(snapshot[key]) - int(before[key])

        expected = grown("expected_packets")
        queue = snapshot["queue_delay_ms"] / 1e3
        round_trip = max(snapshot["min_rtt_ms"] / 1e3, snapshot["rtt_ms"] / 1e3 - queue)
        return Moment(
            delay=round_trip,
            jitter=snapshot["jitter_ms"] / 1e3,
            queue=queue,
            loss_out=snapshot["loss"],
            loss_in=1 - grown("received_packets") / expected if expected > 0 else 0.0,
            burst=snapshot["loss_burst"],
            rate_out_bps=snapshot["rate_bps"],
            rate_in_bps=grown("received_bytes") * 8 / INTERVAL,
            is_silent=snapshot["unanswered_probes"] >= UNANSWERED,
        )


@dataclass(frozen=True, slots=True)
class Trace:
    """Moments in order, `interval` seconds apart."""

    interval: float
    moments: tuple[Moment, ...]

    @property
    def up(self) -> list[LinkSpec]:
        """What the path up was like, a link for each moment."""
        known = _known_delays(self.moments)
        return [
            _link(moment, delay, moment.loss_out, moment.rate_out_bps)
            for moment, delay in zip(self.moments, known, strict=True)
        ]

    @property
    def down(self) -> list[LinkSpec]:
        """The same down: there the best within half a minute is what the path carries."""
        rates = [moment.rate_in_bps for moment in self.moments]
        best = [max(rates[max(0, place - BEST_WITHIN) : place + BEST_WITHIN + 1]) for place in range(len(rates))]
        known = _known_delays(self.moments)
        return [
            _link(moment, delay, moment.loss_in, rate)
            for moment, delay, rate in zip(self.moments, known, best, strict=True)
        ]


def head(interval: float, capacity: int, next_place: int, count: int) -> bytes:
    """The first bytes of a file; `count` moments were written so far, the next one goes to `next_place`."""
    return HEAD.pack(MAGIC, round(interval * 1e3), capacity, next_place, min(count, 0xFFFFFFFF))


def inspect(data: bytes, name: str) -> tuple[float, int, int, int]:
    """(interval, capacity, next place, moments so far) of a whole file.

    ConfigError, in one line, for a file that is no trace, damaged or cut off; `name` is what it is called.
    """
    if not data.startswith(MAGIC):
        raise ConfigError(f"{name} is no trace: give a file that `ghosttunnel client --record` wrote")
    if len(data) < HEAD.size:
        raise ConfigError(f"{name} is cut off in its head: copy it again")
    _, interval_ms, capacity, next_place, count = HEAD.unpack_from(data)
    size = HEAD.size + capacity * MOMENT.size
    if not interval_ms or not 1 <= capacity <= MOST_MOMENTS or next_place >= capacity or len(data) > size:
        raise ConfigError(f"{name} is a damaged trace: copy it again")
    if len(data) < size:
        raise ConfigError(f"{name} is cut off after {len(data)} of {size} bytes: copy it again")
    return interval_ms / 1e3, capacity, next_place, count


def decode(data: bytes, name: str) -> Trace:
    """The trace in a file of that name; ConfigError as in `inspect`, and for one that holds nothing yet."""
    interval, capacity, next_place, count = inspect(data, name)
    if not count:
        raise ConfigError(f"{name} is an empty trace: record for some seconds first")
    moments = [Moment.decode(data[at : at + MOMENT.size]) for at in range(HEAD.size, len(data), MOMENT.size)]
    first = next_place if count > capacity else 0
    return Trace(interval, tuple((moments[first:] + moments[:first])[: min(count, capacity)]))


def _known_delays(moments: Sequence[Moment]) -> list[float]:
    """Each moment's, or where it has none the last that is known."""
    known = next((moment.delay for moment in moments if moment.delay), 0.0)
    delays = []
    for moment in moments:
        known = moment.delay or known
        delays.append(known)
    return delays


def _link(moment: Moment, round_trip: float, loss: float, rate_bps: float) -> LinkSpec:
    """Half of the round trip each way; a loss that short bursts cannot add up to is made of longer ones."""
    delay = min(round_trip / 2, 60.0)
    loss = 1.0 if moment.is_silent else min(max(loss, 0.0), 0.95)
    burst = 1.0 if moment.is_silent or moment.burst <= 1 else max(moment.burst, loss / (1 - loss) * 1.01)
    return LinkSpec(
        rate_bps=max(rate_bps, LEAST_RATE_BPS),
        queue=max(LEAST_QUEUE, min(2 * moment.queue, 60.0)),
        delay=delay,
        jitter=min(moment.jitter / 2, delay),
        loss=loss,
        burst=burst,
    )

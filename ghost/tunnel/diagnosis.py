"""Why a tunnel is slow, in one sentence, from what its end has counted over the last half minute.

Once a second a snapshot of the connection becomes a Sample. Causes are tried in the order of the table CAUSES, from the
one that hides all others to none:

    cpu          this process was busy nearly all the time, and something waited
    freeze       nothing we send arrives any more, and yet the peer is heard: somebody drops this flow, one way
    blackout     silence both ways, now or a while ago
    queue        packets wait on the path much longer than our own queue would make them: others fill it
    policer      losses come with our own speed: more sent, more lost, no more delivered; and no queue
    random loss  losses whatever the speed
    none         the path does what it can

Every number in a sentence is one of the window's, so that the reader can see for himself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import fmean, median
from typing import Any, Final

WINDOW: Final = 30  # samples, one a second: long enough to see a policer's rate come and go
RECENT: Final = 10  # of them, for what changes quickly

BUSY: Final = 0.9  # of the time at work: a process that waits for nothing but itself
UNANSWERED: Final = 3  # probes without an answer, as the sender itself counts a path for lost
HEARD: Final = 3  # packets from the peer while nothing of ours arrives: more than were under way
LONG_QUEUE: Final = 0.045  # seconds: our own queue is kept at 6 ms, and noise and slow starts at a multiple
QUEUE_SHARE: Final = 0.6  # of the recent samples with such a queue
LOSS: Final = 0.005  # share of the packets lost that is worth a word
LEAST_LOST: Final = 5  # packets
MARGINAL: Final = 0.5  # lost of each packet more that is sent: a policer loses all of them, chance as many as always
SWING: Final = 0.06  # of the sending rate, as a share of its mean: without it nothing can be said of the margin
GUILTY: Final = 2  # trials in the window that found the rate to be the cause


class Cause(Enum):
    CPU = "cpu"
    FREEZE = "freeze"
    BLACKOUT = "blackout"
    QUEUE = "queue"
    POLICER = "policer"
    LOSS = "random loss"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Finding:
    """`cause`, and the sentence that gives the evidence."""

    cause: Cause
    sentence: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One second. Counts are of that second, the rest as it was at its end; times in seconds, `cpu` a share of 1.

    `sent` and `lost` are packets of ours, `heard` and `expected` packets of the peer.
    """

    sent: int
    lost: int
    heard: int
    expected: int
    sent_bps: float
    queue: float
    jitter: float
    round_trip: float
    unanswered: int
    guilty: int
    backlog: int
    cpu: float


class Watch:
    """The last samples of one connection."""

    __slots__ = ("samples", "_former")

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=WINDOW)
        self._former: Mapping[str, Any] | None = None

    def add(self, snapshot: Mapping[str, Any], *, cpu: float) -> None:
        """`snapshot` is Connection.snapshot's, a second after the one before; `cpu` the share of it spent at work."""
        former, self._former = self._former, snapshot
        if former is None or snapshot["sent_packets"] < former["sent_packets"]:  # a new connection
            self.samples.clear()
            return

        def grown(key: str) -> int:
            return int(snapshot[key]) - int(former[key])

        self.samples.append(
            Sample(
                sent=grown("sent_packets"),
                lost=grown("lost_packets"),
                heard=grown("received_packets"),
                expected=grown("expected_packets"),
                sent_bps=grown("sent_bytes") * 8.0,
                queue=snapshot["queue_delay_ms"] / 1e3,
                jitter=snapshot["jitter_ms"] / 1e3,
                round_trip=snapshot["rtt_ms"] / 1e3,
                unanswered=snapshot["unanswered_probes"],
                guilty=grown("rate_trials_guilty"),
                backlog=snapshot["queued_bytes"],
                cpu=cpu,
            )
        )

    def finding(self) -> Finding:
        """The cause that the samples show; without samples there is none."""
        samples = list(self.samples)
        if not samples:
            return Finding(Cause.NONE, "Too early to say: look again in a few seconds.")
        for cause, find in CAUSES:
            sentence = find(samples)
            if sentence is not None:
                return Finding(cause, sentence)
        return Finding(Cause.NONE, _nothing(samples))


def _cpu(samples: Sequence[Sample]) -> str | None:
    recent = samples[-RECENT:]
    busy = fmean(sample.cpu for sample in recent)
    if busy < BUSY:
        return None
    return f"This machine's processor is the limit: ghosttunnel was busy {busy:.0%} of the last {len(recent)} s."


def _freeze(samples: Sequence[Sample]) -> str | None:
    silent = _silent_seconds(samples)
    heard = sum(sample.heard for sample in samples[len(samples) - silent + 1 :]) if silent > 1 else 0
    if heard < HEARD:
        return None
    before = sum(sample.sent for sample in samples[: len(samples) - silent])
    return (
        f"Somebody on the path drops what we send: for {silent} s nothing of it has arrived, after {before} packets in "
        f"the seconds before, and yet {heard} packets of the peer were heard. Another port or profile may help."
    )


def _blackout(samples: Sequence[Sample]) -> str | None:
    silent = _silent_seconds(samples)
    if silent:
        return f"The path is silent, both ways, for about {silent} s."
    past = [index for index, sample in enumerate(samples) if sample.unanswered >= UNANSWERED]
    if not past:
        return None
    ago = len(samples) - 1 - past[-1]
    return f"The path was silent for about {len(past)} of the last {len(samples)} s, the last time {ago} s ago."


def _queue(samples: Sequence[Sample]) -> str | None:
    recent = samples[-RECENT:]
    waits = [sample.queue for sample in recent if sample.queue > LONG_QUEUE + 3 * sample.jitter]
    if len(waits) < QUEUE_SHARE * len(recent):
        return None
    rate = fmean(sample.sent_bps for sample in recent)
    return (
        f"Others fill the queue on the path: packets wait {median(waits) * 1e3:.0f} ms in it, and {_rate(rate)} is "
        "what is left for this tunnel."
    )


def _policer(samples: Sequence[Sample]) -> str | None:
    share, count = _loss(samples)
    if share < LOSS or count < LEAST_LOST or median(sample.queue for sample in samples) > LONG_QUEUE:
        return None
    margin = _marginal_loss(samples)
    guilty = sum(sample.guilty for sample in samples)
    if margin is None or margin < (MARGINAL if guilty < GUILTY else MARGINAL / 2):
        return None
    arrived = [sample.sent_bps * (1 - sample.lost / sample.sent) for sample in samples if sample.sent]
    return (
        f"A policer drops what exceeds about {_rate(median(arrived))}: of what is sent beyond, {min(margin, 1):.0%} is "
        "lost, and no queue shows. --max-rate just below it saves the losses."
    )


def _random_loss(samples: Sequence[Sample]) -> str | None:
    share, count = _loss(samples)
    heard, expected = sum(sample.heard for sample in samples), sum(sample.expected for sample in samples)
    inbound = 1 - heard / expected if expected else 0.0
    is_out = share >= LOSS and count >= LEAST_LOST
    is_in = inbound >= LOSS and expected - heard >= LEAST_LOST
    if not is_out and not is_in:
        return None
    ways = [f"{share:.1%} of what we send" if is_out else "", f"{inbound:.1%} of what the peer sends" if is_in else ""]
    return f"The path loses packets whatever the speed: {' and '.join(filter(None, ways))}."


def _nothing(samples: Sequence[Sample]) -> str:
    recent = samples[-RECENT:]
    rate = fmean(sample.sent_bps for sample in recent)
    if sum(sample.backlog > 0 for sample in recent) > len(recent) / 2:
        return f"Nothing is wrong: the path is full at {_rate(rate)}, with next to no loss or queue."
    return f"Nothing is wrong: the path carries all that it is given, {_rate(rate)}."


CAUSES: Final[tuple[tuple[Cause, Callable[[Sequence[Sample]], str | None]], ...]] = (
    (Cause.CPU, _cpu),
    (Cause.FREEZE, _freeze),
    (Cause.BLACKOUT, _blackout),
    (Cause.QUEUE, _queue),
    (Cause.POLICER, _policer),
    (Cause.LOSS, _random_loss),
)


def _silent_seconds(samples: Sequence[Sample]) -> int:
    """How many of the last samples, up to now, had no answer to our probes."""
    count = 0
    for sample in reversed(samples):
        if sample.unanswered < UNANSWERED:
            break
        count += 1
    return count


def _loss(samples: Sequence[Sample]) -> tuple[float, int]:
    """Share and number of our packets lost."""
    sent, lost = sum(sample.sent for sample in samples), sum(sample.lost for sample in samples)
    return (min(1.0, lost / sent) if sent else 0.0), lost


def _marginal_loss(samples: Sequence[Sample]) -> float | None:
    """How many packets more are lost for each one more that is sent; None where the rate hardly varied.

    The slope of lost over sent, second by second: the loss probability where chance decides, 1 behind a policer.
    """
    used = [sample for sample in samples if sample.sent >= 10]
    if len(used) < 5:
        return None
    mean_sent, mean_lost = fmean(sample.sent for sample in used), fmean(sample.lost for sample in used)
    variance = fmean((sample.sent - mean_sent) ** 2 for sample in used)
    if variance < (SWING * mean_sent) ** 2:
        return None
    return fmean((sample.sent - mean_sent) * (sample.lost - mean_lost) for sample in used) / variance


def _rate(bps: float) -> str:
    return f"{bps / 1e6:.1f} Mbit/s" if bps >= 1e6 else f"{bps / 1e3:.0f} kbit/s"

"""Why a tunnel is slow, in one sentence, from what its end has counted over the last half minute.

Once a second a snapshot of the connection becomes a Sample. Causes are tried in the order of the table CAUSES, from the
one that hides all others to none:

    cpu          this process was busy nearly all the time, and something waited
    freeze       nothing we send arrives any more, and yet the peer was heard: somebody drops this flow, one way
    blackout     silence both ways, now or a while ago
    queue        packets wait on the path much longer than our own queue would make them: others fill it
    policer      losses come with our own speed: more sent, more lost, no more delivered
    random loss  losses whatever the speed
    none         the path does what it can

Every number in a sentence is one of the window's, so that the reader can see for himself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from statistics import fmean, median
from typing import Any, Final

WINDOW: Final = 30  # samples, one a second: long enough to see a policer's rate come and go
RECENT: Final = 10  # of them, for what changes quickly

BUSY: Final = 0.9  # of the time at work: a process that waits for nothing but itself
MUTE: Final = 3  # seconds in which nothing of ours arrived: longer than round trips and runs of losses
HEARD: Final = 2  # of them, with packets of the peer: one alone may be the end of a blackout
LONG_QUEUE: Final = 0.045  # seconds: our own queue is kept at 6 ms, and noise and slow starts at a multiple
QUEUE_SHARE: Final = 0.6  # of the recent samples with such a queue
LOSS: Final = 0.005  # share of the packets lost that is worth a word
LEAST_LOST: Final = 5  # packets
POLICED_BPS: Final = 200e3  # on average: a few pings and their copies are below every policer, their sums chance
GUILTY: Final = 2  # trials that found the rate to be the cause of a loss: one may be chance
MARGINAL: Final = 0.7
"""Of each packet more that is sent, so much is lost: behind a policer all of them, by chance as many as of the others.
Measured over a hundred labelled runs: 0.45 at most where 40 % are lost by chance, 0.7 and more in most policed ones."""
SWING: Final = 0.06  # of the sending rate, as a share of its mean: without it nothing can be said of the margin
SPELL: Final = 3  # samples: what was sent in them has mostly arrived in them, whatever the round trip
SPELLS: Final = 4
CLIMB: Final = 0.25  # by which the spell of the most is above that of the least before the two are compared


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

    `sent` and `lost` are packets of ours, `acked` the bytes of those known to have arrived; `heard` and `expected` are
    packets of the peer. `loss` is the share of ours that is lost: of those that only acknowledge none is known to be.
    """

    sent: int
    lost: int
    loss: float
    acked: int
    heard: int
    expected: int
    sent_bps: float
    queue: float
    jitter: float
    guilty: int
    backlog: int
    cpu: float

    @property
    def is_mute(self) -> bool:
        """Something was sent, and nothing is known to have arrived."""
        return self.sent > 0 and self.acked == 0


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
                loss=snapshot["loss"],
                acked=grown("acked_bytes"),
                heard=grown("received_packets"),
                expected=grown("expected_packets"),
                sent_bps=grown("sent_bytes") * 8.0,
                queue=snapshot["queue_delay_ms"] / 1e3,
                jitter=snapshot["jitter_ms"] / 1e3,
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
    mute = _mute_seconds(samples)
    since = samples[len(samples) - mute + 1 :]  # in the first of them both ways may have ended
    heard = [sample.heard for sample in since if sample.heard]
    if mute < MUTE or len(heard) < HEARD:
        return None
    before = sum(sample.sent for sample in samples[: len(samples) - mute])
    return (
        f"Somebody on the path drops what we send: for {mute} s nothing of it has arrived, after {before} packets in "
        f"the seconds before, and yet {sum(heard)} packets of the peer were heard. Another port may help."
    )


def _blackout(samples: Sequence[Sample]) -> str | None:
    silent = [index for index, sample in enumerate(samples) if sample.is_mute and not sample.heard]
    if not silent:
        return None
    if silent[-1] == len(samples) - 1:
        return f"The path is silent, both ways, for {_mute_seconds(samples)} s."
    ago = len(samples) - 1 - silent[-1]
    return f"The path was silent for {len(silent)} of the last {len(samples)} s, the last time {ago} s ago."


def _queue(samples: Sequence[Sample]) -> str | None:
    recent = [sample for sample in samples[-RECENT:] if sample.acked]
    waits = [sample.queue for sample in recent if sample.queue > LONG_QUEUE + 3 * sample.jitter]
    if not waits or len(waits) < QUEUE_SHARE * len(recent):
        return None
    rate = fmean(sample.sent_bps for sample in recent)
    return (
        f"Others fill the queue on the path: packets wait {median(waits) * 1e3:.0f} ms in it, and {_rate(rate)} is "
        "what is left for this tunnel."
    )


def _policer(samples: Sequence[Sample]) -> str | None:
    share, count = _loss(samples)
    if share < LOSS or count < LEAST_LOST:
        return None
    margin = max(_marginal_loss(samples), _lost_climb(samples))
    guilty = sum(sample.guilty for sample in samples)
    if sum(sample.sent_bps for sample in samples) < POLICED_BPS * len(samples):
        return None
    if guilty < GUILTY and margin < MARGINAL:
        return None
    evidence = f"{min(margin, 1.0):.0%} of what is sent beyond it is lost" if margin >= MARGINAL else ""
    tried = f"{guilty} times the losses fell when less was sent" if guilty else ""
    arrived = [sample.sent_bps * (1 - min(1.0, sample.lost / sample.sent)) for sample in samples if sample.sent]
    return (
        f"A policer drops what exceeds about {_rate(median(arrived))}: "
        f"{' and '.join(filter(None, (evidence, tried)))}. --max-rate just below it saves the losses."
    )


def _random_loss(samples: Sequence[Sample]) -> str | None:
    share, count = _loss(samples)
    heard, expected = sum(sample.heard for sample in samples), sum(sample.expected for sample in samples)
    inbound = 1 - heard / expected if expected else 0.0
    is_out = share >= LOSS and count >= LEAST_LOST
    is_in = inbound >= LOSS and expected - heard >= LEAST_LOST
    if not is_out and not is_in:
        return None
    outbound = max(share, sum(one.loss * one.sent for one in samples) / max(1, sum(one.sent for one in samples)))
    ways = [
        f"{outbound:.1%} of what we send" if is_out else "",
        f"{inbound:.1%} of what the peer sends" if is_in else "",
    ]
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


def _mute_seconds(samples: Sequence[Sample]) -> int:
    """For how many seconds up to now nothing of ours has arrived; those in which nothing was sent are counted too."""
    mute = 0
    for count, sample in enumerate(reversed(samples), start=1):
        if sample.acked:
            break
        mute = count if sample.sent else mute
    return mute


def _loss(samples: Sequence[Sample]) -> tuple[float, int]:
    """Share and number of our packets lost."""
    sent, lost = sum(sample.sent for sample in samples), sum(sample.lost for sample in samples)
    return (min(1.0, lost / sent) if sent else 0.0), lost


def _marginal_loss(samples: Sequence[Sample]) -> float:
    """How many packets more are lost for each one more that is sent, from one second to the next.

    The loss probability where chance decides, 1 behind a policer, 0 where the rate hardly varied. Only neighbours are
    compared: when a path changes, sending and losing change once, and prove nothing.
    """
    used = [sample for sample in samples if sample.sent >= 10]
    steps = [(later.sent - sample.sent, later.lost - sample.lost) for sample, later in pairwise(used)]
    squares = sum(sent * sent for sent, _ in steps)
    if len(steps) < 5 or squares < len(steps) * (SWING * fmean(sample.sent for sample in used)) ** 2:
        return 0.0
    return sum(sent * lost for sent, lost in steps) / squares


def _lost_climb(samples: Sequence[Sample]) -> float:
    """Of what was sent more in the spell of the most than in that of the least, the share that did not arrive.

    Where the rate climbs slowly, neighbours hardly differ, and yet 1 is a policer. 0 where it hardly varied.
    """
    ends = range(len(samples), SPELL - 1, -SPELL)[:SPELLS]
    spells = [samples[end - SPELL : end] for end in ends]
    known = [(sum(one.sent_bps for one in spell) / 8, sum(one.acked for one in spell)) for spell in spells]
    (least, arrived), (most, more) = min(known, default=(0.0, 0)), max(known, default=(0.0, 0))
    return 1 - (more - arrived) / (most - least) if most > (1 + CLIMB) * least > 0 else 0.0


def _rate(bps: float) -> str:
    return f"{bps / 1e6:.1f} Mbit/s" if bps >= 1e6 else f"{bps / 1e3:.0f} kbit/s"

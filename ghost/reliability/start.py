"""Finding the rate of a path of which nothing is known, as fast as an inner TCP in slow start asks for more.

Four times what was seen is sent for a moment (a push), then no more than that until news of it is here: what was too
much is a short queue, whatever the round trip. A tunnel that only doubled would always be behind an inner TCP, which
doubles as well, and delay its packets: Linux takes that for a full path and leaves slow start (HyStart).

It is over when a queue of ours grows, when one stands, or when sending more no longer makes more arrive, which is all
that a path with jitter or a policer shows.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ghost.constants import FULL_PACKET
from ghost.reliability.delay import JITTER_LIMIT, QueueDelay
from ghost.reliability.loss import SentPacket
from ghost.reliability.rtt import RttEstimator
from ghost.reliability.span import SpanRate

GAIN: Final = 4.0
PUSH: Final = 0.04  # seconds at most of sending more before it is known what became of it, or
PUSH_PACKETS: Final = 4
PUSH_JITTERS: Final = 8  # and these times the jitter at its least: pushes make some
PUSH_QUIET_JITTERS: Final = 16
SPAN: Final = 0.02  # seconds over which rates are measured; at most half a round trip, and long enough for
SPAN_PACKETS: Final = 2
QUEUE_SPAN: Final = 0.01  # seconds of a queue in which what was served is the bottleneck's rate
PAUSE: Final = 0.002  # seconds: a busy host's turn is none
PROSPECT: Final = 4.0  # two round trips ahead, as far as an inner TCP in slow start is
LEAST_QUEUE: Final = 0.006  # seconds, or
QUEUE_SHARE: Final = 0.08  # of the round trip: what scheduling noise does not explain
JITTERS: Final = 3.0
NOISY: Final = 0.005  # seconds of jitter: less is allowed for by what a queue has to exceed
BUNCHES: Final = 8.0  # times the jitter: what is delayed by more is no bunch of packets that keep their order
DEEP: Final = 0.1  # seconds, and two packets: more is a queue, whatever the jitter seems to be
QUIET_SAMPLES: Final = 16
LEAST_SAMPLES: Final = 5
USED: Final = 0.5  # of the rate must be sent, or a queue is not ours
PRESSED: Final = 2.0  # round trips in which something had to wait, or it is not ours either: acknowledgements never do
DISPROVED: Final = 2.0  # more sent than served by this share: what was assumed of the path is far too much
THIN: Final = FULL_PACKET / 0.04  # bytes a second: below it even the least that is assumed is too much
STRETCH: Final = 0.15  # more sent than served by this share: at twice the path's rate it would be 1
STANDING: Final = 2.0  # round trips with a queue: the application fills the path, though its window may limit it
STANDING_NOISY: Final = 6.0
STANDING_BACKLOGGED: Final = 0.5  # where more waits than may leave
RELIEF: Final = 0.5  # of the time with a queue is taken back by the time without
LEAST_ROUND: Final = 0.020  # seconds
MORE: Final = 1.5  # times what was sent a round ago counts as an attempt
STAGNANT: Final = 1.25  # times what was delivered a round ago: less growth than that is none
STAGNANT_ROUNDS: Final = 2
UNPAID_ROUNDS: Final = 6
PAYING: Final = 1.4  # times what was delivered two rounds ago, when up to four times as much is sent
PAYING_SHARE: Final = 0.8  # of the share that was delivered then


class Start:
    """`gain` is what to pace at, in units of the rate; once `is_over` the rate is the bottleneck's, if it is known."""

    __slots__ = (
        "carried",
        "gain",
        "has_rate",
        "is_assumed",
        "is_doubtful",
        "is_over",
        "_backlog_began",
        "_crowded_at",
        "_is_limited",
        "_is_used",
        "_last_peak",
        "_last_rounds",
        "_last_sent",
        "_pressed_at",
        "_pushing_since",
        "_queue_began",
        "_quiet",
        "_round_began",
        "_round_delivered",
        "_round_ends",
        "_round_peak",
        "_round_rate",
        "_samples",
        "_stagnant_rounds",
        "_standing",
        "_unpaid_rounds",
        "_updated",
    )

    def __init__(self, rate: float, now: float) -> None:
        self.carried = 0
        """Bytes known to have arrived since more waits than may leave."""
        self.gain = GAIN
        self.has_rate = False
        """Whether any rate was measured."""
        self.is_assumed = True
        """Whether the rate is still what was assumed at first, and the path was not seen to carry so much."""
        self.is_over = False
        self.is_doubtful = False
        """Whether it is over because of a delay that nobody's sending may explain: the rate is what it was."""
        self._backlog_began: int | None = None  # bytes acknowledged when more began to wait than may leave
        self._crowded_at = float("-inf")
        self._is_limited = False  # whether in this round the application sent less than it might
        self._is_used = False  # whether so much is sent that a queue may be ours
        self._last_peak = 0.0
        self._last_rounds: deque[tuple[float, float]] = deque(maxlen=2)  # most delivered, and its share of the sent
        self._last_sent = (now, 0)  # time and bytes sent of the last reference packet
        self._pressed_at = float("-inf")  # when a packet was heard of behind which more waited
        self._pushing_since: float | None = None
        self._queue_began: tuple[float, int, int] | None = None  # arrival, bytes sent, bytes acknowledged
        self._quiet = float("inf")  # the least jitter yet: our own pushes make more of it
        self._round_began: tuple[float, int] | None = None  # arrival of a packet, bytes acknowledged then
        self._round_delivered = 0.0
        self._round_ends = now
        self._round_peak = 0.0
        self._round_rate = rate  # GAIN times that is believed at most until the round ends
        self._samples = 0
        self._stagnant_rounds = 0
        self._standing = 0.0
        self._unpaid_rounds = 0
        self._updated = now

    def window(self, jitter: float, *, horizon: float, rate: float) -> float:
        """Seconds to measure rates over."""
        paced = rate if self.has_rate else GAIN * rate
        return max(min(0.5 * horizon, SPAN) + 4 * jitter, SPAN_PACKETS * FULL_PACKET / paced)

    @property
    def delivered(self) -> float:
        """Bytes a second at the best of this round and the one before."""
        before = self._last_rounds[-1][0] if self._last_rounds else 0.0
        return max(self._round_delivered, before)

    def is_crowded(self, round_trip: float) -> bool:
        """Whether a queue showed within the last round trip."""
        return self._updated - self._crowded_at < round_trip

    def is_paying(self, span: SpanRate) -> bool:
        """Whether more is delivered than two rounds ago, and as large a share of what was sent.

        So it is where the path has room and loses by itself.
        """
        if self.is_early:
            return False
        delivered, share = self._last_rounds[0]
        return span.delivered > PAYING * delivered and span.delivered > PAYING_SHARE * share * span.rate

    @property
    def is_early(self) -> bool:
        """Whether there was too little to compare with."""
        return len(self._last_rounds) < 2

    def forget(self) -> None:
        """What was delivered in earlier rounds says nothing: the rate was held back meanwhile."""
        self._stagnant_rounds = self._unpaid_rounds = 0
        self._last_peak = 0.0
        self._last_rounds.clear()

    def on_ack(
        self,
        packet: SentPacket,
        *,
        arrived: float,
        acked_bytes: int,
        rate: float,
        queue: float,
        delay: QueueDelay,
        span: SpanRate | None,
        window: float,
        path_loss: float,
        rtt: RttEstimator,
        has_backlog: bool,
        now: float,
    ) -> float:
        """Returns the rate to believe in. `span` is what was measured over the last `window` seconds, if anything.

        `queue` (seconds) is what the delays show; the other arguments are those of CongestionControl.on_ack.
        """
        if not has_backlog:
            self._backlog_began = None
        elif self._backlog_began is None:
            self._backlog_began = acked_bytes
        self.carried = 0 if self._backlog_began is None else acked_bytes - self._backlog_began
        if not packet.is_app_limited:
            self._pressed_at = now
        self._samples += 1
        jitter = delay.jitter  # comparisons written out: a call of `min` or `max` takes ten times as long
        if self._samples >= QUIET_SAMPLES and jitter < self._quiet:
            self._quiet = jitter
        if self._quiet < jitter:
            jitter = self._quiet
        is_noisy = jitter > NOISY and jitter > FULL_PACKET / rate
        if not is_noisy:
            queue = delay.median
        if span is not None:
            sent_rate = span.rate * (1 + span.stretch)  # as it was sent, not as it arrived
            self._is_used = sent_rate > USED * rate and now - self._pressed_at < PRESSED * rtt.smoothed
        has_queue = self._is_used and queue > LEAST_QUEUE
        if has_queue:
            noise = min(JITTERS * jitter, DEEP + 2 * FULL_PACKET / rate)
            has_queue = queue > max(LEAST_QUEUE, QUEUE_SHARE * rtt.min_rtt) + noise
        elapsed, self._updated = now - self._updated, now
        self._standing += elapsed if has_queue else -RELIEF * elapsed
        if self._standing < 0:
            self._standing = 0.0
        if self._has_paused(packet, rate) or not has_queue:
            self._queue_began = None
        if has_queue:
            self._crowded_at = now
            self._queue_began = self._queue_began or (arrived, packet.sent_bytes, acked_bytes)
        self._is_limited = self._is_limited or packet.is_app_limited
        is_limited, average = self._is_limited, None
        if span is not None:
            # Behind a full queue only what arrives tells of the path; in front of it losses would blur the picture.
            self._round_peak = max(self._round_peak, span.delivered if has_queue else span.rate)
            self._round_delivered = max(self._round_delivered, span.delivered)
            has_ended = now >= self._round_ends
            if has_ended:
                average = self._end_round(rate, arrived, acked_bytes, span, delay, rtt, now)
            served = span.delivered / (1 - path_loss)
            believed = min(span.rate, GAIN * self._round_rate, served if has_queue else span.rate)
            if self.is_assumed and self._is_used and span.stretch > DISPROVED and span.rate < THIN:
                rate = span.rate  # sent at what was assumed, and served at this
            self.is_assumed = self.is_assumed and rate > believed
            rate = max(rate, believed)
            if has_ended:
                self._round_rate = rate
            self.has_rate = True
            is_stretched = span.stretch > STRETCH + jitter / window
            is_backlogged = not self._is_limited and self._standing > STANDING_BACKLOGGED * rtt.min_rtt
            is_clear = self._samples >= LEAST_SAMPLES and has_queue and (is_stretched or is_backlogged) and not is_noisy
            if jitter > max(JITTER_LIMIT, queue / BUNCHES):  # packets kept in order are bunched, but not for long
                is_clear = is_clear and self._queue_began is not None and arrived - self._queue_began[0] >= window
            is_standing = self._standing > (STANDING_NOISY if is_noisy else STANDING) * rtt.smoothed
            is_full = self._stagnant_rounds >= STAGNANT_ROUNDS and (has_queue or is_noisy)
            bottleneck = self._bottleneck(packet, arrived, acked_bytes, path_loss)
            if (is_clear and bottleneck is not None) or (is_standing and not is_limited and not is_noisy):
                rate = max(bottleneck or 0.0, min(span.rate, served))  # the latter may have a pause in it
                self.is_over = True
            elif (is_full or (is_standing and not is_limited)) and average is not None:
                rate = min(rate, average / (1 - path_loss))
                self.is_over = True
            elif is_standing and not is_noisy:
                # The application sends no more than this: its window fills the path, or the delay is the path's own.
                # (Under jitter nothing is said: a path that keeps packets in order delays them the more, the more are
                # sent.)
                self.is_over = self.is_doubtful = True
        self._set_gain(packet, rate, delay, rtt, has_backlog, now)
        return rate

    def _has_paused(self, packet: SentPacket, rate: float) -> bool:
        """Whether the sender did since the last news: what it sent in between is no measure."""
        (time, sent_bytes), self._last_sent = self._last_sent, (packet.time, packet.sent_bytes)
        return packet.sent_bytes - sent_bytes < USED * rate * (packet.time - time - PAUSE)

    def _bottleneck(self, packet: SentPacket, arrived: float, acked_bytes: int, path_loss: float) -> float | None:
        """What was served since the queue began, in bytes a second; None if that is too short a time."""
        if self._queue_began is None or arrived - self._queue_began[0] < QUEUE_SPAN:
            return None
        began, sent_bytes, acked_before = self._queue_began
        served = (acked_bytes - acked_before) / (1 - path_loss)
        return min(packet.sent_bytes - sent_bytes, served) / (arrived - began)

    def _end_round(
        self,
        rate: float,
        arrived: float,
        acked_bytes: int,
        span: SpanRate,
        delay: QueueDelay,
        rtt: RttEstimator,
        now: float,
    ) -> float | None:
        """Compares the round with the one before; returns what was delivered in it on average, bytes a second."""
        is_stagnant = self._round_peak < STAGNANT * self._last_peak and not self._is_limited
        self._stagnant_rounds = self._stagnant_rounds + 1 if is_stagnant else 0
        is_more = self._round_peak > MORE * self._last_peak
        before = self._last_rounds[-1][0] if self._last_rounds else 0.0
        is_paid = self._round_delivered > STAGNANT * before
        is_unpaid = (is_more or self._unpaid_rounds) and not is_paid and not self._is_limited
        self._unpaid_rounds = (self._unpaid_rounds + 1) % UNPAID_ROUNDS if is_unpaid else 0
        push = self._push(rate, delay.jitter)
        length = rtt.smoothed + (push if push < rtt.smoothed else 0.0)
        self._round_ends = now + max(length, LEAST_ROUND)
        self._last_peak, self._round_peak = self._round_peak, 0.0
        self._last_rounds.append((self._round_delivered, span.delivered / span.rate))
        self._round_delivered, self._is_limited = 0.0, False
        began, self._round_began = self._round_began, (arrived, acked_bytes)
        return (acked_bytes - began[1]) / (arrived - began[0]) if began and arrived > began[0] else None

    def _set_gain(
        self, packet: SentPacket, rate: float, delay: QueueDelay, rtt: RttEstimator, has_backlog: bool, now: float
    ) -> None:
        """When more was sent and no more arrived, what is lost is looked at for some rounds before more is tried.

        Without a backlog what is sent is the application's doing, which waits for news as well.
        """
        if self._unpaid_rounds or self.is_crowded(rtt.smoothed):
            self.gain = 1.0
            return
        push = self._push(rate, delay.jitter)
        if not has_backlog:
            self._pushing_since = None
        elif self._pushing_since is None or (packet.time >= self._pushing_since and now - self._pushing_since > push):
            self._pushing_since = now
        is_pushing = not self.has_rate or self._pushing_since is None or now - self._pushing_since < push
        self.gain = GAIN if is_pushing else 1.0

    def _push(self, rate: float, jitter: float) -> float:
        noise = min(PUSH_JITTERS * jitter, PUSH_QUIET_JITTERS * self._quiet)
        return max(PUSH, PUSH_PACKETS * FULL_PACKET / rate, noise)

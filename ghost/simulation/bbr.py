"""BBR version 1 as Linux runs it (tcp_bbr.c): the rate is the most that was delivered in ten round trips, the window
twice what that rate needs for the least round trip of ten seconds. Losses change neither.

    STARTUP    both gains 2.885, until three round trips bring less than a quarter more
    DRAIN      pace at 1 / 2.885 until no more is in flight than the path holds
    PROBE_BW   pace at 1.25, 0.75 and six times 1, a round trip each
    PROBE_RTT  once the least round trip is ten seconds old: four segments in flight for 200 ms

While losses are being repaired, the first round trip sends only as much as arrives. What Linux has and this has not:
the policer detection (sampling of a long-term rate), the allowance for aggregated acknowledgements and the idle
restart: the source is never idle.
"""

from __future__ import annotations

import math
from collections import deque
from random import Random
from typing import ClassVar, Final, NamedTuple

INITIAL_WINDOW: Final = 10  # segments
LEAST_WINDOW: Final = 4
QUANTA: Final = 6  # segments: three bursts of two, Linux's offload unit below 24 Mbit/s
HIGH_GAIN: Final = 2.885  # 2 / ln 2: the least that doubles each round trip
WINDOW_GAIN: Final = 2.0
CYCLE: Final = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
MARGIN: Final = 0.99  # paced a little below the rate
RATE_ROUNDS: Final = 10
FULL_GROWTH: Final = 1.25
FULL_ROUNDS: Final = 3
MIN_RTT_WINDOW: Final = 10.0  # seconds
PROBE_RTT_TIME: Final = 0.2
INITIAL_RTT: Final = 0.001  # seconds, before there is a sample


class Sample(NamedTuple):
    """What one acknowledgement says. Counts are segments; `rate` segments a second, None where the sample is void."""

    acked: int
    lost: int
    rate: float | None
    rtt: float | None
    delivered: int
    """Ever."""
    delivered_before: int
    """When the newest segment acknowledged here was sent."""
    in_flight_before: int
    in_flight: int
    is_recovering: bool


class State:
    """No Enum, as ghost.reliability.congestion's Mode is none."""

    __slots__ = ("value",)
    STARTUP: ClassVar[State]
    DRAIN: ClassVar[State]
    PROBE_BW: ClassVar[State]
    PROBE_RTT: ClassVar[State]

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"<{self.value}>"


State.STARTUP, State.DRAIN = State("startup"), State("drain")
State.PROBE_BW, State.PROBE_RTT = State("probe_bw"), State("probe_rtt")


class Bbr:
    """`cwnd` in segments, `pacing_rate` in segments a second."""

    __slots__ = (
        "cwnd",
        "pacing_rate",
        "state",
        "min_rtt",
        "_rng",
        "_rates",
        "_round",
        "_round_end",
        "_is_round_start",
        "_full_rate",
        "_full_rounds",
        "_is_full",
        "_phase",
        "_phase_start",
        "_min_rtt_at",
        "_probe_rtt_end",
        "_has_probed_round",
        "_saved_cwnd",
        "_was_recovering",
        "_is_conserving",
    )

    def __init__(self, rng: Random) -> None:
        self.cwnd = float(INITIAL_WINDOW)
        self.pacing_rate = HIGH_GAIN * INITIAL_WINDOW / INITIAL_RTT
        self.state = State.STARTUP
        self.min_rtt = math.inf
        self._rng = rng
        self._rates: deque[tuple[int, float]] = deque()  # (round, rate), falling rates
        self._round = 0
        self._round_end = 0
        self._is_round_start = False
        self._full_rate = 0.0
        self._full_rounds = 0
        self._is_full = False
        self._phase = 0
        self._phase_start = 0.0
        self._min_rtt_at = 0.0
        self._probe_rtt_end: float | None = None
        self._has_probed_round = False
        self._saved_cwnd = 0.0
        self._was_recovering = False
        self._is_conserving = False

    @property
    def rate(self) -> float:
        """Segments a second that the path is believed to carry."""
        return self._rates[0][1] if self._rates else 0.0

    def on_open(self, rtt: float) -> None:
        """The handshake's round trip."""
        self.pacing_rate = HIGH_GAIN * INITIAL_WINDOW / max(rtt, INITIAL_RTT)

    def on_loss(self) -> None:
        """A recovery begins; the window changes with the next sample."""
        self._save_window()

    def on_timeout(self) -> None:
        """All is believed lost: STARTUP would look again for where the path is full."""
        self._full_rate = 0.0
        self._full_rounds = 0
        self._was_recovering = True
        self._is_conserving = False
        self.cwnd = 1.0

    def undo(self) -> None:
        """The last timeout was none."""
        self.cwnd = max(self.cwnd, self._saved_cwnd)

    def on_ack(self, sample: Sample, now: float) -> None:
        self._update_rate(sample)
        self._update_phase(sample, now)
        self._look_for_full_pipe()
        self._leave_drain(sample, now)
        self._update_min_rtt(sample, now)
        self._set_pacing()
        self._set_window(sample)

    def _update_rate(self, sample: Sample) -> None:
        self._is_round_start = sample.delivered_before >= self._round_end
        if self._is_round_start:
            self._round_end = sample.delivered
            self._round += 1
            self._is_conserving = False
        if sample.rate is not None:
            while self._rates and self._rates[-1][1] <= sample.rate:
                self._rates.pop()
            self._rates.append((self._round, sample.rate))
            while self._rates[0][0] <= self._round - RATE_ROUNDS:
                self._rates.popleft()

    def _update_phase(self, sample: Sample, now: float) -> None:
        if self.state is not State.PROBE_BW:
            return
        gain = CYCLE[self._phase]
        is_over = now - self._phase_start > self.min_rtt
        if gain > 1:
            is_over = is_over and (sample.lost > 0 or sample.in_flight_before >= self._holds(gain))
        elif gain < 1:
            is_over = is_over or sample.in_flight_before <= self._holds(1.0)
        if is_over:
            self._phase = (self._phase + 1) % len(CYCLE)
            self._phase_start = now

    def _look_for_full_pipe(self) -> None:
        if self._is_full or not self._is_round_start:
            return
        if self.rate >= FULL_GROWTH * self._full_rate:
            self._full_rate = self.rate
            self._full_rounds = 0
        else:
            self._full_rounds += 1
            self._is_full = self._full_rounds >= FULL_ROUNDS

    def _leave_drain(self, sample: Sample, now: float) -> None:
        if self.state is State.STARTUP and self._is_full:
            self.state = State.DRAIN
        if self.state is State.DRAIN and sample.in_flight <= self._holds(1.0):
            self._probe_bandwidth(now)

    def _probe_bandwidth(self, now: float) -> None:
        """The cycle begins anywhere but at 0.75, so that flows do not probe in step."""
        self.state = State.PROBE_BW
        self._phase = (len(CYCLE) - self._rng.randrange(len(CYCLE) - 1)) % len(CYCLE)
        self._phase_start = now

    def _update_min_rtt(self, sample: Sample, now: float) -> None:
        is_expired = now > self._min_rtt_at + MIN_RTT_WINDOW
        if sample.rtt is not None and (sample.rtt < self.min_rtt or is_expired):
            self.min_rtt, self._min_rtt_at = sample.rtt, now
        if is_expired and self.state is not State.PROBE_RTT:
            self._save_window()
            self.state = State.PROBE_RTT
            self._probe_rtt_end = None
        if self.state is not State.PROBE_RTT:
            return
        if self._probe_rtt_end is None:
            if sample.in_flight <= LEAST_WINDOW:
                self._probe_rtt_end = now + PROBE_RTT_TIME
                self._has_probed_round = False
                self._round_end = sample.delivered
            return
        self._has_probed_round |= self._is_round_start
        if self._has_probed_round and now > self._probe_rtt_end:
            self._min_rtt_at = now
            self.cwnd = max(self.cwnd, self._saved_cwnd)
            if self._is_full:
                self._probe_bandwidth(now)
            else:
                self.state = State.STARTUP

    def _set_pacing(self) -> None:
        gains = {State.STARTUP: HIGH_GAIN, State.DRAIN: 1 / HIGH_GAIN, State.PROBE_RTT: 1.0}
        gain = CYCLE[self._phase] if self.state is State.PROBE_BW else gains[self.state]
        rate = MARGIN * gain * self.rate
        if self._is_full or rate > self.pacing_rate:
            self.pacing_rate = rate

    def _set_window(self, sample: Sample) -> None:
        if self._recovers_or_restores(sample):
            return
        target = self._holds(WINDOW_GAIN if self.state in (State.PROBE_BW, State.PROBE_RTT) else HIGH_GAIN)
        if self._is_full:
            self.cwnd = min(self.cwnd + sample.acked, target)
        elif self.cwnd < target or sample.delivered < INITIAL_WINDOW:
            self.cwnd += sample.acked
        self.cwnd = max(self.cwnd, LEAST_WINDOW)
        if self.state is State.PROBE_RTT:
            self.cwnd = min(self.cwnd, LEAST_WINDOW)

    def _recovers_or_restores(self, sample: Sample) -> bool:
        """Whether a recovery decides on the window."""
        self.cwnd = max(self.cwnd - sample.lost, 1.0)
        if sample.is_recovering and not self._was_recovering:
            self._is_conserving = True
            self._round_end = sample.delivered
            self.cwnd = float(sample.in_flight + sample.acked)
        elif self._was_recovering and not sample.is_recovering:
            self._is_conserving = False
            self.cwnd = max(self.cwnd, self._saved_cwnd)
        self._was_recovering = sample.is_recovering
        if self._is_conserving:
            self.cwnd = max(self.cwnd, float(sample.in_flight + sample.acked))
        return self._is_conserving

    def _save_window(self) -> None:
        is_normal = not self._was_recovering and self.state is not State.PROBE_RTT
        self._saved_cwnd = self.cwnd if is_normal else max(self._saved_cwnd, self.cwnd)

    def _holds(self, gain: float) -> float:
        """Segments in flight that the path needs, times `gain`."""
        if self.min_rtt == math.inf:
            return float(INITIAL_WINDOW)
        return math.ceil(gain * self.rate * self.min_rtt) + QUANTA

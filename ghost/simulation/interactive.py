"""People at the keyboard and on the phone: a typist over ssh, a call, somebody who opens one page after the other.

Each is an application for a Pair or a Direct; `times` are what people feel, in seconds, in the order of what caused
them, None where nothing has come of it.
"""

from __future__ import annotations

import math
from random import Random
from typing import Final

from ghost.simulation import packets
from ghost.simulation.pair import Path
from ghost.simulation.segments import ACK, Codec, Range, Segment
from ghost.simulation.tcp import DELAYED_ACK, LEAST_VARIATION, MOST_TIMEOUT
from ghost.simulation.times import earliest
from ghost.simulation.workloads import GATEWAY, Bulk, client_address
from ghost.wire.inner import UDP

KEY_SIZE: Final = 36  # bytes of a keystroke or its echo, encrypted, as OpenSSH sends them
KEY_INTERVALS: Final = (0.08, 0.25)  # seconds between two keys of a fluent typist
THOUGHT: Final = (0.5, 2.0)  # seconds, after each word
WORD: Final = 8  # keys

FRAME_INTERVAL: Final = 0.020  # seconds, and
FRAME_SIZE: Final = 172  # bytes of payload: G.711 with its RTP header (RFC 3551)
CALL_PORTS: Final = (40_010, 5010)

PAGE_FIRST: Final = 30_000  # bytes of the page itself, whatever else it needs comes after it
PAGE_PARTS: Final = 6  # connections at once, as browsers open to a host
PAGE_PART: Final = 90_000  # bytes over each
READING: Final = 2.0  # seconds from one page to the next
FIRST_PAGE_PORT: Final = 41_000


class SparseTcp:
    """One end of an open TCP connection that has little to say: small writes, each a segment of its own.

    Losses are found by SACK (RFC 8985 in short), by a probe after two round trips, and by the timeout of RFC 6298 with
    Linux's floor of 200 ms. `received` counts bytes in order.
    """

    __slots__ = (
        "received",
        "_codec",
        "_path",
        "_is_server",
        "_sent",
        "_next",
        "_held",
        "_srtt",
        "_variation",
        "_backoff",
        "_has_probed",
        "_ack_at",
    )

    def __init__(self, path: Path, codec: Codec, *, is_server: bool) -> None:
        self.received = 0
        self._codec = codec
        self._path = path
        self._is_server = is_server
        self._sent: dict[int, tuple[int, float, bool]] = {}  # start to end, time and whether it was sent before
        self._next = 1
        self._held: list[Range] = []
        self._srtt = 0.0
        self._variation = 0.0
        self._backoff = 0
        self._has_probed = False
        self._ack_at: float | None = None

    def write(self, size: int) -> None:
        start, self._next = self._next, self._next + size
        self._transmit(start, self._next, is_repeat=False)

    def next_time(self) -> float | None:
        return earliest(self._ack_at, self._latest() + self._patience() if self._sent else None)

    def handle_timeout(self, now: float) -> None:
        if self._ack_at is not None and self._ack_at <= now:
            self._acknowledge()
        if self._sent and self._latest() + self._patience() <= now:
            if self._has_probed:
                self._backoff += 1
            self._has_probed = True
            oldest = min(self._sent)
            self._transmit(oldest, self._sent[oldest][0], is_repeat=True)

    def receive(self, segment: Segment, now: float) -> None:
        self._on_acknowledged(segment, now)
        if not segment.size:
            return
        start, end, expected = segment.sequence, segment.sequence + segment.size, 1 + self.received
        if start > expected:
            if (start, end) not in self._held:
                self._held.append((start, end))
            self._acknowledge()
            return
        if end > expected:
            self.received = end - 1
            while (follower := next((held for held in self._held if held[0] == 1 + self.received), None)) is not None:
                self._held.remove(follower)
                self.received = follower[1] - 1
        if end <= expected or self._held:
            self._acknowledge()
        elif self._ack_at is None:
            self._ack_at = now + DELAYED_ACK

    def _on_acknowledged(self, segment: Segment, now: float) -> None:
        newest = -math.inf  # when the latest segment left that is known to have arrived
        for start, (end, time, is_repeat) in list(self._sent.items()):
            has_arrived = end <= segment.acknowledgement or any(s <= start and end <= e for s, e in segment.sacks)
            if has_arrived:
                del self._sent[start]
                self._backoff, self._has_probed = 0, False
                newest = max(newest, time)
                if not is_repeat:
                    self._on_rtt(now - time)
        for start, (end, time, _) in list(self._sent.items()):
            if time < newest - self._srtt / 4:
                self._transmit(start, end, is_repeat=True)

    def _on_rtt(self, rtt: float) -> None:
        if self._srtt:
            self._variation += (abs(rtt - self._srtt) - self._variation) / 4
            self._srtt += (rtt - self._srtt) / 8
        else:
            self._srtt, self._variation = rtt, rtt / 2

    def _latest(self) -> float:
        return max(time for _, time, _ in self._sent.values())

    def _patience(self) -> float:
        """Seconds without news until something is sent again."""
        if not self._srtt:
            return min(MOST_TIMEOUT, (1 << self._backoff) * 1.0)
        timeout = self._srtt + max(4 * self._variation, LEAST_VARIATION)
        if self._has_probed:
            return min(MOST_TIMEOUT, timeout * (1 << self._backoff))
        return min(timeout, 2 * self._srtt + (DELAYED_ACK if len(self._sent) == 1 else 0.0))

    def _transmit(self, start: int, end: int, *, is_repeat: bool) -> None:
        self._sent[start] = (end, self._path.now, is_repeat)
        self._emit(start, bytes(end - start))

    def _acknowledge(self) -> None:
        self._emit(self._next, b"")

    def _emit(self, sequence: int, payload: bytes) -> None:
        self._ack_at = None
        packet = self._codec.encode(
            sequence=sequence,
            acknowledgement=1 + self.received,
            flags=ACK,
            payload=payload,
            sacks=tuple(self._held[-4:]),
        )
        self._path.send(packet, from_server=self._is_server)


class Ssh:
    """Somebody types, whatever has been echoed."""

    def __init__(self, path: Path, *, seed: int = 1) -> None:
        near, far = (client_address(path), 40_022), (GATEWAY, 22)
        self._to_far, self._to_near = Codec(near, far), Codec(far, near)
        self._screen = SparseTcp(path, self._to_far, is_server=False)
        self._shell = SparseTcp(path, self._to_near, is_server=True)
        self._rng = Random(seed)
        self._typed: list[float] = []
        self._seen: list[float] = []
        self._next_key = path.now

    def times(self, *, typed_before: float = math.inf) -> list[float | None]:
        """Seconds from each key to its echo on the screen."""
        times: list[float | None] = [seen - typed for typed, seen in zip(self._typed, self._seen, strict=False)]
        times += [None] * (len(self._typed) - len(times))
        return times[: sum(typed < typed_before for typed in self._typed)]

    def next_time(self) -> float | None:
        times = (self._next_key, self._screen.next_time(), self._shell.next_time())
        return min(time for time in times if time is not None)

    def wake(self, pair: Path) -> None:
        self._screen.handle_timeout(pair.now)
        self._shell.handle_timeout(pair.now)
        if self._next_key <= pair.now:
            self._typed.append(pair.now)
            self._screen.write(KEY_SIZE)
            pause = THOUGHT if len(self._typed) % WORD == 0 else KEY_INTERVALS
            self._next_key = pair.now + self._rng.uniform(*pause)

    def on_packet(self, pair: Path, packet: bytes, *, at_server: bool) -> None:
        segment = (self._to_near if at_server else self._to_far).decode(packet)
        if segment is None:
            return
        end = self._shell if at_server else self._screen
        before = end.received
        end.receive(segment, pair.now)
        for _ in range((end.received - before) // KEY_SIZE):
            if at_server:
                end.write(KEY_SIZE)
            else:
                self._seen.append(pair.now)


class Call:
    """Both talk all the time: `times` are the frames' one-way delays, of both directions."""

    def __init__(self, path: Path) -> None:
        self.times: list[float | None] = []
        ends = (client_address(path), CALL_PORTS[0]), (GATEWAY, CALL_PORTS[1])
        self._ends = ends
        self._marks = [packets.udp(*way, b"")[20:24] for way in (ends, ends[::-1])]
        self._sent: list[float] = []
        self._next = path.now

    def next_time(self) -> float:
        return self._next

    def wake(self, pair: Path) -> None:
        self._next = pair.now + FRAME_INTERVAL
        for from_server in (False, True):
            payload = len(self._sent).to_bytes(4, "big") + bytes(FRAME_SIZE - 4)
            self._sent.append(pair.now)
            self.times.append(None)
            ends = self._ends[::-1] if from_server else self._ends
            pair.send(packets.udp(*ends, payload), from_server=from_server)

    def on_packet(self, pair: Path, packet: bytes, *, at_server: bool) -> None:
        if packet[9] != UDP or packet[20:24] != self._marks[not at_server]:
            return
        number = int.from_bytes(packet[28:32], "big")
        if number < len(self.times) and self.times[number] is None:  # without a tunnel it may be a damaged one
            self.times[number] = pair.now - self._sent[number]


class Pages:
    """Pages, one after the other: `times` are from the click until everything is there, `received` counts bytes."""

    def __init__(self, path: Path, *, seed: int = 1) -> None:
        self.times: list[float | None] = []
        self.received = 0
        self._rng = Random(seed)
        self._path = path
        self._parts: list[Bulk] = []
        self._is_first = False
        self._clicked = 0.0
        self._next_click: float | None = path.now
        self._port = FIRST_PAGE_PORT

    def next_time(self) -> float | None:
        return earliest(self._next_click, *[part.next_time() for part in self._parts])

    def wake(self, pair: Path) -> None:
        if self._next_click is not None and self._next_click <= pair.now:
            self._next_click = None
            self._clicked = pair.now
            self._is_first = True
            self.times.append(None)
            self._fetch(1, PAGE_FIRST)
        for part in self._parts:
            due = part.next_time()
            if due is not None and due <= pair.now:
                part.wake(pair)

    def on_packet(self, pair: Path, packet: bytes, *, at_server: bool) -> None:
        for part in self._parts:
            part.on_packet(pair, packet, at_server=at_server)
        if at_server or not self._parts or any(not part.is_complete for part in self._parts):
            return
        self.received += sum(part.sink.received for part in self._parts)
        if self._is_first:
            self._is_first = False
            self._fetch(PAGE_PARTS, PAGE_PART)
        else:
            self.times[-1] = pair.now - self._clicked
            self._parts = []
            self._next_click = pair.now + READING

    def _fetch(self, count: int, size: int) -> None:
        self._parts = []
        for _ in range(count):
            seed = self._rng.getrandbits(32)
            self._parts.append(Bulk(self._path, is_download=True, total=size, client_port=self._port, seed=seed))
            self._port += 1

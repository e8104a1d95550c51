"""Traffic for a connected Pair: a bulk transfer, pings, and a source that always has something to send.

Each is made with the pair, starts at its present time, and runs once it is in `pair.applications`.
"""

from __future__ import annotations

from collections import deque
from ipaddress import IPv4Address
from random import Random
from typing import Any, Final

from ghost.constants import INNER_MTU
from ghost.simulation import packets
from ghost.simulation.measure import bytes_between
from ghost.simulation.pair import Pair, Path
from ghost.simulation.segments import ACK, Codec, Socket
from ghost.simulation.tcp import MSS, Content, TcpSink, TcpSource
from ghost.simulation.times import earliest

GATEWAY: Final = IPv4Address("10.77.0.1")
PING_INTERVAL: Final = 0.050  # seconds
PING_SIZE: Final = 56  # bytes of payload, as ping(8) sends
WIRE_SIZE: Final = INNER_MTU + 64  # bytes of a full inner packet on the path, about
LEAST_TICK: Final = 0.001  # seconds: a finer one costs more CPU than the tunnel
MOST_TICK: Final = 0.020
QUEUED_PACKETS: Final = 4
NOISE_SIZE: Final = 1 << 20  # bytes


def client_address(pair: Path, name: str = "client") -> IPv4Address:
    address = pair.address_of(name)
    if address is None:
        raise AssertionError(f"traffic begins when the {name} is connected: run_until_connected() first")
    return address


class Noise:
    """Bytes that nothing can compress: of one piece from `seed`, which begins one byte later when it is used up."""

    __slots__ = ("_bytes", "_at", "_rounds")

    def __init__(self, seed: int) -> None:
        self._bytes = Random(seed).randbytes(NOISE_SIZE)  # made once: by the segment it took as long as a checksum
        self._at = self._rounds = 0

    def randbytes(self, size: int, /) -> bytes:
        """The next `size` bytes, fewer than there are."""
        if self._at + size > NOISE_SIZE:
            self._rounds += 1
            self._at = self._rounds % (NOISE_SIZE // 2)
        self._at += size
        return self._bytes[self._at - size : self._at]


class Bulk:
    """One TCP connection that a client opens and that carries data one way, for ever or until `total` bytes.

    `deliveries` are (time, payload bytes in order so far) at the receiving end.
    """

    def __init__(
        self,
        pair: Path,
        *,
        is_download: bool,
        total: int | None = None,
        client: str = "client",
        client_port: int = 40001,
        seed: int = 1,
        rng: Content | None = None,
    ) -> None:
        """`rng` makes the content by `randbytes`; without it the content is noise."""
        self.start = pair.now
        near: Socket = (client_address(pair, client), client_port)
        far: Socket = (GATEWAY, 5001)
        source_at, sink_at = (far, near) if is_download else (near, far)
        self._is_download = is_download
        self._to_source = Codec(source_at, sink_at)
        self._to_sink = Codec(sink_at, source_at)
        self.source = TcpSource(
            self._to_source,
            lambda packet, now: pair.send(packet, from_server=is_download, name=client),
            is_opener=not is_download,
            rng=rng or Noise(seed),
            total=total,
        )
        self.sink = TcpSink(
            self._to_sink,
            lambda packet, now: pair.send(packet, from_server=not is_download, name=client),
            is_opener=is_download,
        )
        self._total = total
        self._is_begun = False

    @property
    def deliveries(self) -> list[tuple[float, int]]:
        return self.sink.deliveries

    def goodput_bps(self, start: float, end: float) -> float:
        """Payload bits a second that arrived in order between two times of the pair's clock."""
        return bytes_between(self.deliveries, start, end) * 8 / (end - start)

    @property
    def is_complete(self) -> bool:
        """Whether all that was to be sent has arrived."""
        return self._total is not None and self.sink.received >= self._total

    def time_of(self, count: int) -> float | None:
        """Seconds from the start until `count` payload bytes had arrived in order; None if they have not."""
        return next((time - self.start for time, received in self.deliveries if received >= count), None)

    def next_time(self) -> float | None:
        if not self._is_begun:
            return self.start
        return earliest(self.source.next_time(), self.sink.next_time())

    def wake(self, pair: Path) -> None:
        if not self._is_begun:
            self._is_begun = True
            self.source.open(pair.now)
            self.sink.open(pair.now)
        self.source.handle_timeout(pair.now)
        self.sink.handle_timeout(pair.now)

    def on_packet(self, pair: Path, packet: bytes, *, at_server: bool) -> None:
        is_at_source = at_server is self._is_download
        segment = (self._to_source if is_at_source else self._to_sink).decode(packet)
        if segment is not None:
            (self.source if is_at_source else self.sink).receive(segment, pair.now)


class Pings:
    """ICMP echoes from the client, answered at the server. `rtts` are seconds in order of sending, None where
    nothing has come back."""

    def __init__(self, pair: Path, *, interval: float = PING_INTERVAL) -> None:
        self.rtts: list[float | None] = []
        self._client = client_address(pair)
        self._interval = interval
        self._next = pair.now
        self._times: list[float] = []

    def lost(self, *, sent_before: float) -> int:
        """Echoes sent before that time which have no answer."""
        answered = zip(self._times, self.rtts, strict=True)
        return sum(rtt is None for time, rtt in answered if time < sent_before)

    def next_time(self) -> float:
        return self._next

    def wake(self, pair: Path) -> None:
        self._next = pair.now + self._interval
        sequence = len(self._times)
        self._times.append(pair.now)
        self.rtts.append(None)
        payload = sequence.to_bytes(4, "big") * (PING_SIZE // 4)
        echo = packets.echo(self._client, GATEWAY, sequence=sequence, is_reply=False, payload=payload)
        pair.send(echo, from_server=False)

    def on_packet(self, pair: Path, packet: bytes, *, at_server: bool) -> None:
        if packet[9] != packets.ICMP:
            return
        sequence = int.from_bytes(packet[28:32], "big")
        if at_server:
            reply = packets.echo(GATEWAY, self._client, sequence=sequence, is_reply=True, payload=packet[28:])
            pair.send(reply, from_server=True)
        elif self.rtts[sequence] is None:
            self.rtts[sequence] = pair.now - self._times[sequence]


class Saturate:
    """Keeps a few full packets waiting at one end of the tunnel, so that only the tunnel decides the speed.

    The packets are of one ordered flow. `arrivals` are (time, seconds since the packet left the ingress queue): the
    time in the queue is of this source's making and left out. A tick of the clock is how exactly that is known, and
    the longer time counts. `deliveries` count payload as a TCP of full segments would.
    """

    def __init__(
        self, pair: Pair, *, is_download: bool, client: str = "client", client_port: int = 40002, seed: int = 1
    ) -> None:
        self.arrivals: list[tuple[float, float]] = []
        self.deliveries: list[tuple[float, int]] = []
        self.out_of_order = 0
        self._name = client
        self._client = client_address(pair, client)
        near: Socket = (self._client, client_port)
        far: Socket = (GATEWAY, 5002)
        source_at, sink_at = (far, near) if is_download else (near, far)
        self._is_download = is_download
        self._encoder = Codec(source_at, sink_at)
        self._decoder = Codec(sink_at, source_at)
        self._noise = Noise(seed)
        self._pushed = 0
        self._last_tick = self._next = pair.now
        self._waiting: deque[int] = deque()
        self._left_at: dict[int, float] = {}
        self._expected = 0

    def goodput_bps(self, start: float, end: float) -> float:
        """Payload bits a second delivered between two times of the pair's clock."""
        return bytes_between(self.deliveries, start, end) * 8 / (end - start)

    def next_time(self) -> float:
        return self._next

    def wake(self, pair: Pair) -> None:
        status = self._status(pair)
        if status is None:  # the server believes in a client from its first packet on
            self._next = pair.now + MOST_TICK
            return
        waiting = -(-status["queued_bytes"] // INNER_MTU)
        while len(self._waiting) > waiting:
            self._left_at[self._waiting.popleft()] = self._last_tick
        packet_time = WIRE_SIZE * 8 / status["pacing_rate_bps"]
        tick = min(max(packet_time / 4, LEAST_TICK), MOST_TICK)
        wanted = QUEUED_PACKETS + 2 * tick / packet_time
        while len(self._waiting) < wanted:
            self._waiting.append(self._pushed)
            payload = self._noise.randbytes(MSS)
            sequence = 1 + self._pushed * MSS
            packet = self._encoder.encode(sequence=sequence, acknowledgement=1, flags=ACK, payload=payload)
            pair.send(packet, from_server=self._is_download, name=self._name)
            self._pushed += 1
        self._last_tick, self._next = pair.now, pair.now + tick

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        if at_server is self._is_download:
            return
        segment = self._decoder.decode(packet)
        if segment is None:
            return
        index = segment.sequence // MSS
        self.out_of_order += index != self._expected
        self._expected = index + 1
        left_at = self._left_at.pop(index, self._last_tick)
        self.arrivals.append((pair.now, pair.now - left_at))
        received = self.deliveries[-1][1] if self.deliveries else 0
        self.deliveries.append((pair.now, received + segment.size))

    def _status(self, pair: Pair) -> dict[str, Any] | None:
        """How the sending end sees its connection."""
        if not self._is_download:
            return next(iter(pair.client_of(self._name).snapshot(pair.now)["peers"]), None)
        peers = pair.server.snapshot(pair.now)["peers"]
        return next((peer for peer in peers if peer["address"] == str(self._client)), None)

"""The same TCP without a tunnel: a connection straight over two links, alone for comparison or beside a tunnel."""

from __future__ import annotations

from ipaddress import IPv4Address
from random import Random

from ghost.chaos.link import Link, Way
from ghost.chaos.spec import LinkSpec
from ghost.simulation.measure import bytes_between
from ghost.simulation.segments import Codec, Socket
from ghost.simulation.tcp import Control, TcpSink, TcpSource
from ghost.simulation.times import earliest

SOURCE: Socket = (IPv4Address("192.0.2.1"), 5001)
SINK: Socket = (IPv4Address("192.0.2.2"), 40001)


class PlainConnection:
    """`forth` carries the data, `back` the acknowledgements. The sink opens at `now`, as in a download."""

    def __init__(
        self,
        forth: Way,
        back: Way,
        *,
        rng: Random,
        now: float = 0.0,
        total: int | None = None,
        control: Control | None = None,
    ) -> None:
        self._forth = forth
        self._back = back
        self._at_source = Codec(SOURCE, SINK)
        self._at_sink = Codec(SINK, SOURCE)
        self.source = TcpSource(
            self._at_source,
            lambda packet, now: forth.send(packet, now, overhead=0),
            is_opener=False,
            rng=rng,
            total=total,
            control=control,
        )
        self.sink = TcpSink(self._at_sink, lambda packet, now: back.send(packet, now, overhead=0), is_opener=True)
        self.sink.open(now)

    def next_time(self) -> float | None:
        return earliest(
            self._forth.next_delivery(),
            self._back.next_delivery(),
            self.source.next_time(),
            self.sink.next_time(),
        )

    def step(self, now: float) -> None:
        """All that is due by now."""
        for packet in self._forth.deliver(now):
            if (segment := self._at_sink.decode(packet)) is not None:
                self.sink.receive(segment, now)
        for packet in self._back.deliver(now):
            if (segment := self._at_source.decode(packet)) is not None:
                self.source.receive(segment, now)
        self.source.handle_timeout(now)
        self.sink.handle_timeout(now)

    def goodput_bps(self, start: float, end: float) -> float:
        """Payload bits a second that arrived in order between two times."""
        return bytes_between(self.sink.deliveries, start, end) * 8 / (end - start)


class PlainTransfer:
    """One connection with links and a clock of its own; `now` starts at 0."""

    def __init__(
        self,
        forth: LinkSpec,
        back: LinkSpec | None = None,
        *,
        seed: int = 1,
        total: int | None = None,
        control: Control | None = None,
    ) -> None:
        rng = Random(seed)
        self.now = 0.0
        self.forth = Link(forth, Random(rng.getrandbits(64)))
        self.back = Link(back or forth, Random(rng.getrandbits(64)))
        self._connection = PlainConnection(self.forth, self.back, rng=rng, total=total, control=control)
        self.source, self.sink = self._connection.source, self._connection.sink

    def run(self, duration: float) -> None:
        """Lets `duration` seconds pass."""
        end = self.now + duration
        while (due := self._connection.next_time()) is not None and due <= end:
            self.now = max(self.now, due)
            self._connection.step(self.now)
        self.now = end

    def goodput_bps(self, start: float, end: float) -> float:
        """Payload bits a second that arrived in order between two times."""
        return self._connection.goodput_bps(start, end)

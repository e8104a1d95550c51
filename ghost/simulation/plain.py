"""The same TCP without a tunnel: a transfer straight over two links, for comparison."""

from __future__ import annotations

from ipaddress import IPv4Address
from random import Random

from ghost.chaos.link import Link
from ghost.chaos.spec import LinkSpec
from ghost.simulation.measure import bytes_between
from ghost.simulation.segments import Codec, Socket
from ghost.simulation.tcp import TcpSink, TcpSource

SOURCE: Socket = (IPv4Address("192.0.2.1"), 5001)
SINK: Socket = (IPv4Address("192.0.2.2"), 40001)


class PlainTransfer:
    """`forth` carries the data, `back` the acknowledgements; `now` starts at 0. The sink opens, as in a download."""

    def __init__(
        self, forth: LinkSpec, back: LinkSpec | None = None, *, seed: int = 1, total: int | None = None
    ) -> None:
        rng = Random(seed)
        self.now = 0.0
        self.forth = Link(forth, Random(rng.getrandbits(64)))
        self.back = Link(back or forth, Random(rng.getrandbits(64)))
        self._at_source = Codec(SOURCE, SINK)
        self._at_sink = Codec(SINK, SOURCE)
        self.source = TcpSource(
            self._at_source,
            lambda packet, now: self.forth.send(packet, now, overhead=0),
            is_opener=False,
            rng=rng,
            total=total,
        )
        self.sink = TcpSink(self._at_sink, lambda packet, now: self.back.send(packet, now, overhead=0), is_opener=True)
        self.sink.open(0.0)

    def run(self, duration: float) -> None:
        """Lets `duration` seconds pass."""
        end = self.now + duration
        while (due := self._next_time()) is not None and due <= end:
            now = self.now = max(self.now, due)
            for packet in self.forth.deliver(now):
                if (segment := self._at_sink.decode(packet)) is not None:
                    self.sink.receive(segment, now)
            for packet in self.back.deliver(now):
                if (segment := self._at_source.decode(packet)) is not None:
                    self.source.receive(segment, now)
            self.source.handle_timeout(now)
            self.sink.handle_timeout(now)
        self.now = end

    def goodput_bps(self, start: float, end: float) -> float:
        """Payload bits a second that arrived in order between two times."""
        return bytes_between(self.sink.deliveries, start, end) * 8 / (end - start)

    def _next_time(self) -> float | None:
        times = (
            self.forth.next_delivery(),
            self.back.next_delivery(),
            self.source.next_time(),
            self.sink.next_time(),
        )
        return min((time for time in times if time is not None), default=None)

"""The model of a kernel's TCP, straight over links without a tunnel, and its parts one by one."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import pairwise
from random import Random

import pytest

from ghost.chaos.spec import parse
from ghost.simulation import packets
from ghost.simulation.cubic import BETA, C, Cubic
from ghost.simulation.plain import PlainTransfer
from ghost.simulation.segments import ACK, Codec, Segment
from ghost.simulation.tcp import DELAYED_ACK, MSS, Phase, TcpSink, TcpSource
from ghost.wire import inner

NEAR = (IPv4Address("10.77.0.2"), 40001)
FAR = (IPv4Address("10.77.0.1"), 5001)


def data(index: int) -> Segment:
    return Segment(1 + index * MSS, 1, ACK, MSS, ())


def ack(count: int, *sacks: tuple[int, int]) -> Segment:
    """Everything below segment `count`, and [start, end) segments beyond."""
    ranges = tuple((1 + start * MSS, 1 + end * MSS) for start, end in sacks)
    return Segment(1, 1 + count * MSS, ACK, 0, ranges)


class Outbox:
    """Keeps what an end sends: times, and segments as the other end reads them."""

    def __init__(self, reader: Codec) -> None:
        self.sent: list[tuple[float, Segment]] = []
        self._reader = reader

    def __call__(self, packet: bytes, now: float) -> None:
        segment = self._reader.decode(packet)
        assert segment is not None
        self.sent.append((now, segment))

    def take(self) -> list[int]:
        """Indices of the data segments since the last call."""
        indices = [segment.sequence // MSS for _, segment in self.sent if segment.size]
        self.sent.clear()
        return indices


def open_source(rtt: float = 0.1) -> tuple[TcpSource, Outbox]:
    """A source whose handshake is over and whose initial window is on its way since `rtt`."""
    outbox = Outbox(Codec(NEAR, FAR))
    source = TcpSource(Codec(FAR, NEAR), outbox, is_opener=True, rng=Random(1))
    source.open(0.0)
    source.receive(Segment(0, 1, packets.SYN | packets.ACK, 0, ()), rtt)
    assert outbox.take() == list(range(10))
    return source, outbox


def open_sink() -> tuple[TcpSink, Outbox]:
    outbox = Outbox(Codec(FAR, NEAR))
    return TcpSink(Codec(NEAR, FAR), outbox, is_opener=False), outbox


# ---- segments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"x", b"\xff" * 7, bytes(range(256)) * 4])
def test_a_segment_has_the_bytes_and_checksums_of_a_kernels(payload: bytes) -> None:
    ours = Codec(NEAR, FAR).encode(sequence=7, acknowledgement=9, flags=ACK, payload=payload)
    assert ours == packets.tcp(NEAR, FAR, sequence=7, acknowledgement=9, flags=ACK, payload=payload)


def test_an_acknowledgement_with_sacks_still_counts_as_a_pure_one() -> None:
    blocks = ((10, 20), (30, 40), (50, 60), (70, 80))
    packet = Codec(NEAR, FAR).encode(sequence=1, acknowledgement=5, flags=ACK, sacks=blocks)
    parsed = inner.parse(packet)
    assert parsed is not None
    assert parsed.is_pure_ack
    assert Codec(FAR, NEAR).decode(packet) == Segment(1, 5, ACK, 0, blocks)


def test_a_segment_of_another_connection_is_not_read() -> None:
    packet = Codec(NEAR, FAR).encode(sequence=1, acknowledgement=1, flags=ACK)
    assert Codec((FAR[0], 5002), NEAR).decode(packet) is None


# ---- the sink -----------------------------------------------------------------------------------------------------


def test_every_second_segment_is_acknowledged_and_a_lone_one_after_a_while() -> None:
    sink, outbox = open_sink()
    sink.receive(data(0), 1.0)
    assert not outbox.sent
    sink.receive(data(1), 1.001)
    sink.receive(data(2), 1.002)
    assert sink.next_time() == pytest.approx(1.002 + DELAYED_ACK)
    sink.handle_timeout(1.002 + DELAYED_ACK)
    assert [segment.acknowledgement // MSS for _, segment in outbox.sent] == [2, 3]


def test_a_hole_is_reported_at_once_and_so_is_its_end() -> None:
    sink, outbox = open_sink()
    for index in (0, 2, 3, 5, 1):
        sink.receive(data(index), 1.0)
    reports = [segment for _, segment in outbox.sent]
    assert reports == [ack(1, (2, 3)), ack(1, (2, 4)), ack(1, (5, 6), (2, 4)), ack(4, (5, 6))]
    assert sink.received == 4 * MSS


# ---- the source ---------------------------------------------------------------------------------------------------


def test_slow_start_doubles_the_window_each_round_trip() -> None:
    source, outbox = open_source()
    for count in (2, 4, 6, 8, 10):
        source.receive(ack(count), 0.2)
    assert len(outbox.take()) == 20


def test_three_segments_beyond_a_hole_repair_it_once_and_shrink_the_window_to_seven_tenths() -> None:
    source, outbox = open_source()
    for end in (2, 3):
        source.receive(ack(0, (1, end)), 0.2)
    assert 0 not in outbox.take()
    for end in range(4, 11):
        source.receive(ack(0, (1, end)), 0.2)
    assert outbox.take().count(0) == 1
    source.receive(ack(source.stats.sent - 1), 0.3)
    assert (source.phase, source.stats.recoveries, source.stats.timeouts) == (Phase.OPEN, 1, 0)
    assert source.control.cwnd == pytest.approx(BETA * 12, abs=2)  # two segments had grown the window first


def test_a_repair_that_is_lost_is_repeated_without_a_timeout() -> None:
    source, outbox = open_source()
    source.receive(ack(0, (1, 10)), 0.2)
    sent = outbox.take()
    assert sent[0] == 0
    newest = max(sent)
    source.receive(ack(0, (1, newest + 1)), 0.3)  # sent after the repair, arrived without it
    assert 0 in outbox.take()
    assert source.stats.timeouts == 0


def test_a_silent_path_is_probed_and_then_tried_with_growing_patience() -> None:
    source, outbox = open_source()
    times = []
    while (due := source.next_time()) is not None and due < 10:
        source.handle_timeout(due)
        times += [due] * bool(outbox.take())
    assert times[0] == pytest.approx(0.1 + 2 * 0.1)  # the tail probe, two round trips after the last sending
    waits = [later - earlier for earlier, later in pairwise(times[1:])]
    assert all(later == pytest.approx(2 * earlier) for earlier, later in pairwise(waits))
    assert source.stats.timeouts >= 3
    assert source.control.cwnd == 1


def test_a_timeout_that_was_only_a_delay_is_taken_back() -> None:
    transfer = PlainTransfer(parse("rate=5mbit,delay=30ms,queue=500ms"))
    transfer.run(3)
    window = transfer.source.control.cwnd
    transfer.forth.change(replace(transfer.forth.spec, delay=1.5), transfer.now)
    transfer.run(4)
    assert (transfer.source.stats.timeouts, transfer.source.stats.spurious_timeouts) == (1, 1)
    assert transfer.source.control.cwnd >= BETA * window


# ---- CUBIC --------------------------------------------------------------------------------------------------------


def test_the_window_is_back_at_its_maximum_when_rfc_9438_says_so() -> None:
    cubic = Cubic()
    cubic.cwnd = 400.0
    cubic.on_loss()
    assert cubic.ssthresh == pytest.approx(280)
    cubic.cwnd = cubic.ssthresh
    k = (400 * (1 - BETA) / C) ** (1 / 3)
    now = 0.0
    while now < k:
        cubic.on_acked(int(cubic.cwnd) // 10, now)
        now += 0.01
    assert cubic.cwnd == pytest.approx(400, rel=0.02)


def test_a_flow_that_shrinks_twice_gives_way_further() -> None:
    cubic = Cubic()
    cubic.cwnd = 100.0
    cubic.on_loss()
    cubic.cwnd = 80.0
    cubic.on_loss()
    for second in range(1, 8):
        cubic.cwnd = max(cubic.cwnd, 56.0)
        cubic.on_acked(1, float(second))
    assert cubic._maximum == pytest.approx(80 * (1 + BETA) / 2)


@pytest.mark.parametrize(("later", "is_left"), [(0.104, False), (0.120, True)])
def test_hystart_leaves_slow_start_when_a_round_is_an_eighth_slower(later: float, is_left: bool) -> None:
    cubic = Cubic()
    cubic.cwnd = 32.0
    for step in range(10):
        cubic.on_rtt(0.1, acked_to=1 + step, sent_to=40, now=0.1 + step * 0.005)
    for step in range(10):
        cubic.on_rtt(later, acked_to=41 + step, sent_to=80, now=0.2 + step * 0.005)
    assert (cubic.slow_start_exit is not None) is is_left


# ---- whole transfers ----------------------------------------------------------------------------------------------


def test_a_clean_link_is_filled() -> None:
    transfer = PlainTransfer(parse("rate=10mbit,delay=20ms"))
    transfer.run(10)
    assert transfer.goodput_bps(2, 10) >= 0.95 * 10e6


def test_one_percent_of_loss_leaves_what_the_formulas_say() -> None:
    """At this window CUBIC is as fast as Reno: MSS / RTT * sqrt(1.5 / p)."""
    transfer = PlainTransfer(parse("rate=100mbit,delay=50ms,loss=1%"), parse("rate=100mbit,delay=50ms"))
    transfer.run(120)
    reno = MSS * 8 / 0.1 * (1.5 / 0.01) ** 0.5
    assert 0.6 * reno <= transfer.goodput_bps(10, 120) <= 1.4 * reno


@pytest.mark.parametrize("spec", ["loss=30%", "loss=10%,burst=8", "delay=30ms±20ms,reorder=10%,duplicate=5%"])
def test_everything_arrives_whatever_the_link_does(spec: str) -> None:
    base = "rate=10mbit," if "delay" in spec else "rate=10mbit,delay=20ms,"
    transfer = PlainTransfer(parse(base + spec), seed=3, total=200 * MSS)
    transfer.run(300)
    assert transfer.sink.received == 200 * MSS
    assert transfer.source.next_time() is None

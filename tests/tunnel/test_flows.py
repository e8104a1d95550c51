"""Flows keep their order, take fair turns, and none fills the house."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address

import pytest

from ghost.compression.checksum import complement, remainder
from ghost.compression.trains import SuperPacket, Train
from ghost.simulation import packets
from ghost.tunnel.flows import (
    LEAST_QUEUE,
    MAX_QUEUE_BYTES,
    MAX_QUEUE_SECONDS,
    PATIENCE,
    QUANTUM,
    SPARSE_RATE,
    Flow,
    FlowQueue,
    FlowTable,
)
from ghost.wire import inner
from ghost.wire.inner import tcp_sequence
from ghost.wire.records import MAX_FLOWS

FAST = 1e9  # bytes a second: queues are limited by the bound of all together


def flow_of(table: FlowTable, port: int) -> Flow:
    here, there = IPv4Address("10.77.0.2"), IPv4Address("192.0.2.7")
    packet = packets.tcp((here, port), (there, 443), sequence=0, acknowledgement=0, flags=packets.ACK, payload=b"x")
    parsed = inner.parse(packet)
    assert parsed is not None
    return table.find(parsed, now=0.0)


def flows(count: int) -> list[Flow]:
    table = FlowTable()
    return [flow_of(table, port) for port in range(count)]


def served(queue: FlowQueue, size: int) -> Counter[int]:
    """Bytes of each flow in the next `size` bytes that leave."""
    shares: Counter[int] = Counter()
    while shares.total() < size and (flow := queue.head()) is not None:
        shares[flow.lane.flow_id] += len(queue.pop(flow))
    return shares


def test_a_conversation_is_one_flow_and_another_is_another() -> None:
    table = FlowTable()
    assert flow_of(table, 1) is flow_of(table, 1)
    assert flow_of(table, 1) is not flow_of(table, 2)
    assert len(table) == 2


def test_a_flow_keeps_its_order() -> None:
    queue, (flow,) = FlowQueue(), flows(1)
    for number in range(10):
        queue.push(flow, b"%d" % number, rate=FAST, now=0.0)
    out = []
    while (turn := queue.head()) is not None:
        out.append(int(queue.pop(turn)))
    assert out == list(range(10))
    assert queue.bytes == 0


def test_two_floods_share_by_bytes_and_not_by_packets() -> None:
    queue, (small, large) = FlowQueue(), flows(2)
    for _ in range(500):
        for _ in range(14):
            queue.push(small, bytes(100), rate=FAST, now=0.0)
        queue.push(large, bytes(1400), rate=FAST, now=0.0)
    shares = served(queue, 500_000)
    assert shares[small.lane.flow_id] == pytest.approx(250_000, abs=2 * QUANTUM)
    assert shares[large.lane.flow_id] == pytest.approx(250_000, abs=2 * QUANTUM)


def test_a_packet_of_a_quiet_flow_passes_a_flood() -> None:
    queue, (flood, quiet) = FlowQueue(), flows(2)
    for _ in range(100):
        queue.push(flood, bytes(1400), rate=FAST, now=0.0)
    served(queue, 10_000)
    queue.push(quiet, bytes(60), rate=FAST, now=0.0)
    assert served(queue, 2 * QUANTUM)[quiet.lane.flow_id] == 60


@pytest.mark.parametrize("hosts", [1, 5])
def test_flows_that_never_have_two_packets_waiting_do_not_starve_a_download(hosts: int) -> None:
    queue, (download, *others) = FlowQueue(), flows(hosts + 1)
    shares: Counter[int] = Counter()
    while shares.total() < 1_000_000:
        while download.queued_bytes < 14_000:
            queue.push(download, bytes(1400), rate=FAST, now=0.0)
        for flow in others:
            if not flow.packets:
                queue.push(flow, bytes(1400), rate=FAST, now=0.0)
        for _ in range(hosts):
            flow = queue.head()
            assert flow is not None
            shares[flow.lane.flow_id] += len(queue.pop(flow))
        queue.head()  # the sender looks for more before the next packets come
    fair = 1_000_000 / (hosts + 1)
    assert shares[download.lane.flow_id] == pytest.approx(fair, rel=0.1), shares


def segment(flow: Flow, number: int) -> bytes:
    """A TCP packet of that flow with 960 bytes of its stream."""
    source, destination = (IPv4Address(flow.key[1 + 4 * at : 5 + 4 * at]) for at in (0, 1))
    return packets.tcp(
        (source, 1), (destination, 443), sequence=960 * number, acknowledgement=0, flags=packets.ACK, payload=bytes(960)
    )


def datagrams(count: int) -> list[Flow]:
    """Flows of UDP."""
    table = FlowTable()
    here, there = IPv4Address("10.77.0.2"), IPv4Address("192.0.2.7")
    found = (inner.parse(packets.udp((here, port), (there, 443), b"x")) for port in range(count))
    return [table.find(parsed, now=0.0) for parsed in found if parsed is not None]


def test_a_flow_is_bounded_by_time_at_the_paths_rate() -> None:
    queue, (flow, other) = FlowQueue(), datagrams(2)
    rate = 1e6
    accepted = sum(queue.push(flow, bytes(1000), rate=rate, now=0.0) for _ in range(1000))
    assert accepted == int(rate * MAX_QUEUE_SECONDS / 1000)
    assert queue.dropped == 1000 - accepted
    assert queue.push(other, bytes(1000), rate=rate, now=0.0), "one flow's flood takes no other's room"


def test_a_thin_path_still_takes_a_first_window() -> None:
    queue, (flow,) = FlowQueue(), datagrams(1)
    accepted = sum(queue.push(flow, bytes(1500), rate=1000.0, now=0.0) for _ in range(100))
    assert accepted * 1500 == LEAST_QUEUE


def test_tcp_loses_its_oldest_packet_once_a_window_and_is_not_cut_off() -> None:
    queue, (flow,) = FlowQueue(), flows(1)
    rate, room = 1e6, int(1e6 * MAX_QUEUE_SECONDS / 1000)
    assert all(queue.push(flow, segment(flow, number), rate=rate, now=0.0) for number in range(2 * room))
    assert queue.dropped == 1
    assert flow.packets[0] == segment(flow, 1)
    for number in range(2 * room, 3 * room):  # as many leave as come, until what was queued then is gone
        assert queue.head() is flow
        queue.pop(flow)
        assert queue.push(flow, segment(flow, number), rate=rate, now=0.0)
    assert queue.dropped == 2


def test_what_tcp_sends_again_is_not_its_next_loss() -> None:
    queue, (flow,) = FlowQueue(), flows(1)
    rate, room = 1e6, int(1e6 * MAX_QUEUE_SECONDS / 1000)
    for number in range(2 * room):
        queue.push(flow, segment(flow, number), rate=rate, now=0.0)
    flow.packets.clear()
    queue.bytes = flow.queued_bytes = 0
    for _ in range(2 * room):
        queue.push(flow, segment(flow, 0), rate=rate, now=0.0)
    assert queue.dropped == 1


def test_a_tcp_flow_that_does_not_listen_is_bounded_all_the_same() -> None:
    queue, (flow,) = FlowQueue(), flows(1)
    rate = 1e6
    accepted = sum(queue.push(flow, segment(flow, number), rate=rate, now=0.0) for number in range(10_000))
    assert flow.queued_bytes <= PATIENCE * rate * MAX_QUEUE_SECONDS
    assert queue.dropped == 10_000 - len(flow.packets)
    assert accepted < 10_000


def test_all_flows_together_are_bounded() -> None:
    queue = FlowQueue()
    for flow in flows(1000):
        for _ in range(10):
            queue.push(flow, bytes(1400), rate=FAST, now=0.0)
    assert queue.bytes <= MAX_QUEUE_BYTES
    assert queue.dropped > 0
    shares = served(queue, 2 * MAX_QUEUE_BYTES)
    assert shares.total() <= MAX_QUEUE_BYTES
    assert queue.bytes == 0
    assert queue.head() is None


def test_a_new_flow_takes_the_lane_longest_unused_and_its_sequence_runs_on() -> None:
    table = FlowTable()
    oldest = flow_of(table, 0)
    for _ in range(5):
        oldest.lane.next_sequence()
    for port in range(1, MAX_FLOWS):
        flow_of(table, port)
    flow_of(table, 1)
    newcomer = flow_of(table, 60_000)
    assert (newcomer.lane.flow_id, newcomer.lane.next_sequence()) == (oldest.lane.flow_id, 5)
    assert len(table) == MAX_FLOWS


def test_lanes_are_never_shared_while_one_is_free_and_never_more_than_agreed() -> None:
    table, queue = FlowTable(), FlowQueue()
    everyone = [flow_of(table, port) for port in range(MAX_FLOWS)]
    assert {flow.lane.flow_id for flow in everyone} == set(range(MAX_FLOWS))
    for flow in everyone:
        queue.push(flow, b"x", rate=FAST, now=0.0)
    crowded = flow_of(table, 60_000)
    assert crowded.lane.flow_id in range(MAX_FLOWS)
    assert len(table) == MAX_FLOWS


def test_a_call_is_sparse_and_a_download_is_not() -> None:
    call, download = flows(2)
    assert all(call.is_sparse_with(160, now=number * 0.02) for number in range(1000))
    steps = [download.is_sparse_with(1400, now=number * 0.01) for number in range(1000)]
    assert SPARSE_RATE < 1400 / 0.01
    assert steps[0]
    assert not any(steps[50:])
    assert download.is_sparse_with(1400, now=60.0), "after a rest it is sparse again"


def ecn_capable(packet: bytes) -> bytes:
    head = bytearray(packet[:20])
    head[1] |= 0x02
    head[10:12] = b"\0\0"
    head[10:12] = complement(remainder(head)).to_bytes(2, "big")
    return bytes(head) + packet[20:]


def test_who_understands_marks_loses_nothing() -> None:
    queue, (flow,) = FlowQueue(), flows(1)
    rate, room = 1e6, int(1e6 * MAX_QUEUE_SECONDS / 1000)
    sent = [ecn_capable(segment(flow, number)) for number in range(2 * room)]
    assert all(queue.push(flow, packet, rate=rate, now=0.0) for packet in sent)
    assert (queue.dropped, queue.marked) == (0, 1)
    queue.head()
    out = [queue.pop(flow) for _ in sent]
    assert [tcp_sequence(packet) for packet in out] == [tcp_sequence(packet) for packet in sent]
    assert [packet[1] & 0x03 for packet in out] == [0x03] + [0x02] * (2 * room - 1)
    assert queue.bytes == flow.queued_bytes == 0


def test_a_queue_that_never_empties_tells_its_sender_long_before_it_is_full() -> None:
    queue, (flow,) = FlowQueue(), datagrams(1)
    queue.round_trip = 0.1
    rate, now = 1e6, 0.0
    for _ in range(150):
        queue.push(flow, bytes(1000), rate=rate, now=now)
    assert queue.dropped == 0
    for _ in range(2000):  # as much leaves as comes
        now += 0.001
        queue.push(flow, bytes(1000), rate=rate, now=now)
        queue.head()
        queue.pop(flow)
    assert 2 <= queue.dropped <= 5
    assert queue.bytes == flow.queued_bytes < 150_000


def test_of_a_train_the_first_segment_is_marked_or_lost() -> None:
    for is_capable in (False, True):
        queue, (flow,) = FlowQueue(), flows(1)
        whole = segment(flow, 0)[:40] + bytes(40 * 960)
        whole = whole[:2] + len(whole).to_bytes(2, "big") + whole[4:]
        train = Train.of(SuperPacket(ecn_capable(whole) if is_capable else whole, 960))
        assert train is not None
        queue.push(flow, train, rate=1e5, now=0.0)
        queue.push(flow, segment(flow, 40), rate=1e5, now=0.0)
        assert (queue.dropped, queue.marked) == (not is_capable, is_capable)
        queue.head()
        first = queue.pop(flow)
        assert (tcp_sequence(first), first[1] & 0x03) == ((0, 0x03) if is_capable else (960, 0))
        rest = 0
        while queue.bytes:
            queue.head()
            queue.pop(flow)
            rest += 1
        assert rest == (40 if is_capable else 39)
        assert flow.queued_bytes == 0

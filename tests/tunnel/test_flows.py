"""Flows keep their order, take fair turns, and none fills the house."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address

import pytest

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
        queue.push(flow, b"%d" % number, rate=FAST)
    out = []
    while (turn := queue.head()) is not None:
        out.append(int(queue.pop(turn)))
    assert out == list(range(10))
    assert queue.bytes == 0


def test_two_floods_share_by_bytes_and_not_by_packets() -> None:
    queue, (small, large) = FlowQueue(), flows(2)
    for _ in range(500):
        for _ in range(14):
            queue.push(small, bytes(100), rate=FAST)
        queue.push(large, bytes(1400), rate=FAST)
    shares = served(queue, 500_000)
    assert shares[small.lane.flow_id] == pytest.approx(250_000, abs=2 * QUANTUM)
    assert shares[large.lane.flow_id] == pytest.approx(250_000, abs=2 * QUANTUM)


def test_a_packet_of_a_quiet_flow_passes_a_flood() -> None:
    queue, (flood, quiet) = FlowQueue(), flows(2)
    for _ in range(100):
        queue.push(flood, bytes(1400), rate=FAST)
    served(queue, 10_000)
    queue.push(quiet, bytes(60), rate=FAST)
    assert served(queue, 2 * QUANTUM)[quiet.lane.flow_id] == 60


@pytest.mark.parametrize("hosts", [1, 5])
def test_flows_that_never_have_two_packets_waiting_do_not_starve_a_download(hosts: int) -> None:
    queue, (download, *others) = FlowQueue(), flows(hosts + 1)
    shares: Counter[int] = Counter()
    while shares.total() < 1_000_000:
        while download.queued_bytes < 14_000:
            queue.push(download, bytes(1400), rate=FAST)
        for flow in others:
            if not flow.packets:
                queue.push(flow, bytes(1400), rate=FAST)
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
    accepted = sum(queue.push(flow, bytes(1000), rate=rate) for _ in range(1000))
    assert accepted == int(rate * MAX_QUEUE_SECONDS / 1000)
    assert queue.dropped == 1000 - accepted
    assert queue.push(other, bytes(1000), rate=rate), "one flow's flood takes no other's room"


def test_a_thin_path_still_takes_a_first_window() -> None:
    queue, (flow,) = FlowQueue(), datagrams(1)
    accepted = sum(queue.push(flow, bytes(1500), rate=1000.0) for _ in range(100))
    assert accepted * 1500 == LEAST_QUEUE


def test_tcp_loses_its_oldest_packet_once_a_window_and_is_not_cut_off() -> None:
    queue, (flow,) = FlowQueue(), flows(1)
    rate, room = 1e6, int(1e6 * MAX_QUEUE_SECONDS / 1000)
    assert all(queue.push(flow, segment(flow, number), rate=rate) for number in range(2 * room))
    assert queue.dropped == 1
    assert flow.packets[0] == segment(flow, 1)
    for number in range(2 * room, 3 * room):  # as many leave as come, until what was queued then is gone
        assert queue.head() is flow
        queue.pop(flow)
        assert queue.push(flow, segment(flow, number), rate=rate)
    assert queue.dropped == 2


def test_what_tcp_sends_again_is_not_its_next_loss() -> None:
    queue, (flow,) = FlowQueue(), flows(1)
    rate, room = 1e6, int(1e6 * MAX_QUEUE_SECONDS / 1000)
    for number in range(2 * room):
        queue.push(flow, segment(flow, number), rate=rate)
    flow.packets.clear()
    queue.bytes = flow.queued_bytes = 0
    for _ in range(2 * room):
        queue.push(flow, segment(flow, 0), rate=rate)
    assert queue.dropped == 1


def test_a_tcp_flow_that_does_not_listen_is_bounded_all_the_same() -> None:
    queue, (flow,) = FlowQueue(), flows(1)
    rate = 1e6
    accepted = sum(queue.push(flow, segment(flow, number), rate=rate) for number in range(10_000))
    assert flow.queued_bytes <= PATIENCE * rate * MAX_QUEUE_SECONDS
    assert queue.dropped == 10_000 - len(flow.packets)
    assert accepted < 10_000


def test_all_flows_together_are_bounded() -> None:
    queue = FlowQueue()
    for flow in flows(1000):
        for _ in range(10):
            queue.push(flow, bytes(1400), rate=FAST)
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
        queue.push(flow, b"x", rate=FAST)
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

"""One direction of a bad link, in virtual time: each impairment does what its description says, by its counters."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import pytest

from ghost.chaos.link import IN_FLIGHT_LIMIT, UDP_OVERHEAD, Link
from ghost.chaos.spec import LinkSpec, parse

PACKET = bytes(1372)  # 1400 bytes with its headers


def numbered(count: int) -> list[bytes]:
    return [number.to_bytes(4, "big") for number in range(count)]


def carry(link: Link, packets: list[bytes], interval: float = 0.001, start: float = 0.0) -> list[tuple[float, bytes]]:
    """Send one packet every `interval` and take each delivery at the moment that it is due."""
    arrived: list[tuple[float, bytes]] = []

    def take(until: float) -> None:
        while (due := link.next_delivery()) is not None and due <= until:
            arrived.extend((due, packet) for packet in link.deliver(due))

    for number, packet in enumerate(packets):
        now = start + number * interval
        take(now)
        link.send(packet, now)
    take(math.inf)
    return arrived


def made(text: str, seed: int = 1) -> Link:
    return Link(parse(text), random.Random(seed))


def runs_lost(link: Link, count: int) -> list[int]:
    """Lengths of the runs of consecutive losses."""
    got = {packet for _, packet in carry(link, numbered(count))}
    fates = [packet in got for packet in numbered(count)]
    return [len(list(run)) for arrived, run in itertools.groupby(fates) if not arrived]


def test_perfect_link_delivers_at_once_and_in_order() -> None:
    link = Link(LinkSpec(), random.Random(1))
    assert [packet for _, packet in carry(link, numbered(100))] == numbered(100)
    assert link.next_delivery() is None
    assert (link.stats.in_packets, link.stats.out_packets) == (100, 100)
    assert link.stats.in_bytes == link.stats.out_bytes == 100 * (4 + UDP_OVERHEAD)


def test_packet_is_not_there_before_its_delay() -> None:
    link = made("delay=50ms")
    link.send(PACKET, 1.0)
    assert link.next_delivery() == pytest.approx(1.05)
    assert link.deliver(1.049) == []
    assert link.deliver(1.051) == [PACKET]


@pytest.mark.parametrize("loss", [0.01, 0.3, 0.5])
def test_independent_loss_is_within_five_standard_deviations(loss: float) -> None:
    count = 40_000
    link = Link(LinkSpec(loss=loss), random.Random(7))
    carry(link, numbered(count))
    assert abs(link.stats.lost - count * loss) < 5 * math.sqrt(count * loss * (1 - loss))


@pytest.mark.parametrize(("loss", "burst"), [(0.2, 8.0), (0.3, 3.0), (0.02, 20.0)])
def test_burst_loss_has_its_share_and_its_mean_length(loss: float, burst: float) -> None:
    count = 200_000
    link = Link(LinkSpec(loss=loss, burst=burst), random.Random(7))
    runs = runs_lost(link, count)
    # The state is a two-state Markov chain: its correlation makes count packets worth fewer independent ones.
    correlation = 1 - 1 / burst - (1 / burst) * loss / (1 - loss)
    deviation = math.sqrt(count * loss * (1 - loss) * (1 + correlation) / (1 - correlation))
    assert abs(link.stats.lost - count * loss) < 5 * deviation
    # Lengths are geometric with this mean, whose standard deviation is sqrt(burst * (burst - 1)).
    assert abs(sum(runs) / len(runs) - burst) < 5 * math.sqrt(burst * (burst - 1) / len(runs))


def test_burst_channel_is_as_bad_at_its_start_as_later() -> None:
    seeds = 2000
    lost_first = 0
    for seed in range(seeds):
        link = made("loss=30%,burst=10", seed)
        link.send(PACKET, 0.0)
        lost_first += link.stats.lost
    assert abs(lost_first - seeds * 0.3) < 5 * math.sqrt(seeds * 0.3 * 0.7)


def test_everything_is_lost_at_100_percent() -> None:
    link = made("loss=100%,burst=8")
    assert carry(link, numbered(1000)) == []
    assert link.stats.lost == 1000


def test_rate_spaces_packets_exactly() -> None:
    link = made("rate=10mbit,queue=1s,delay=20ms")
    arrived = carry(link, [PACKET] * 100, interval=0.0)
    serialisation = 1400 * 8 / 10e6
    expected = [0.02 + serialisation * (number + 1) for number in range(100)]
    assert [due for due, _ in arrived] == pytest.approx(expected)


def test_queue_drops_its_tail_and_never_exceeds_its_bound() -> None:
    link = made("rate=1mbit,queue=100ms")
    serialisation = 1400 * 8 / 1e6
    for number in range(1000):
        now = number * 0.001  # ten times what the rate carries
        link.send(PACKET, now)
        assert link.queue_delay(now) <= 0.1 + serialisation
    assert link.stats.queue_dropped > 800
    assert link.stats.in_packets == link.stats.queue_dropped + len(link.deliver(math.inf))
    # The bottleneck never idled: what came out is what the rate carries in that time and in its queue.
    assert link.stats.out_packets == pytest.approx((0.999 + 0.1) / serialisation, abs=2)


def test_queue_drains_with_time() -> None:
    link = made("rate=1mbit,queue=1s")
    for _ in range(10):
        link.send(PACKET, 0.0)
    assert link.queue_delay(0.0) == pytest.approx(0.112)
    assert link.queue_delay(0.1) == pytest.approx(0.012)
    assert link.queue_delay(5.0) == 0.0


def test_link_without_a_rate_is_bounded_all_the_same() -> None:
    link = made("delay=1s")
    for _ in range(IN_FLIGHT_LIMIT + 10):
        link.send(b"", 0.0)
    assert link.stats.queue_dropped == 10


def test_jitter_spreads_the_delay_and_keeps_the_order() -> None:
    link = made("delay=50ms±40ms")
    arrived = carry(link, numbered(5000), interval=0.1)  # far apart, so that order costs nothing
    delays = [due - number * 0.1 for number, (due, _) in enumerate(arrived)]
    assert 0.01 <= min(delays) < 0.012
    assert 0.088 < max(delays) <= 0.09 + 1e-9
    assert sum(delays) / len(delays) == pytest.approx(0.05, abs=5 * 0.04 / math.sqrt(3 * 5000))

    crowded = made("delay=50ms±40ms")
    assert [packet for _, packet in carry(crowded, numbered(5000), interval=0.0001)] == numbered(5000)


def test_reordered_packets_overtake_and_the_rest_stay_in_order() -> None:
    count = 20_000
    link = made("delay=50ms,reorder=5%")
    arrived = carry(link, numbered(count))
    early = {packet for due, packet in arrived if due < int.from_bytes(packet, "big") * 0.001 + 0.01}
    assert len(early) == link.stats.reordered
    assert abs(len(early) - count * 0.05) < 5 * math.sqrt(count * 0.05 * 0.95)
    rest = [packet for _, packet in arrived if packet not in early]
    assert rest == sorted(rest)
    order = [packet for _, packet in arrived]
    assert order != sorted(order)


def test_duplicates_follow_their_original() -> None:
    count = 20_000
    link = made("duplicate=10%")
    order = [packet for _, packet in carry(link, numbered(count))]
    assert order == sorted(order)
    assert len(order) == count + link.stats.duplicated == link.stats.out_packets
    assert set(order) == set(numbered(count))
    assert abs(link.stats.duplicated - count * 0.1) < 5 * math.sqrt(count * 0.1 * 0.9)


def test_corruption_flips_one_bit_and_every_bit_is_at_risk() -> None:
    count = 20_000
    link = made("corrupt=10%")
    damage = [int.from_bytes(packet, "big") for _, packet in carry(link, [bytes(4)] * count)]
    damaged = [value for value in damage if value]
    assert len(damaged) == link.stats.corrupted
    assert all(value.bit_count() == 1 for value in damaged)
    assert {value.bit_length() for value in damaged} == set(range(1, 33))
    assert abs(len(damaged) - count * 0.1) < 5 * math.sqrt(count * 0.1 * 0.9)


def test_mtu_swallows_what_is_bigger_silently() -> None:
    link = made("mtu=1200")
    fits = bytes(1200 - UDP_OVERHEAD)
    assert [packet for _, packet in carry(link, [fits, fits + b"x", fits])] == [fits, fits]
    assert link.stats.too_big == 1
    link.send(bytes(1201), 1.0, overhead=0)
    assert link.stats.too_big == 2


def test_blackout_silences_the_end_of_each_period() -> None:
    link = made("blackout=5s/60s")
    arrived = carry(link, numbered(180), interval=1.0)
    silent = set(range(180)) - {int.from_bytes(packet, "big") for _, packet in arrived}
    assert silent == {*range(55, 60), *range(115, 120), *range(175, 180)}
    assert link.stats.blacked_out == 15


def test_blackout_is_counted_from_the_last_change() -> None:
    link = Link(parse("blackout=5s/60s"), random.Random(1), now=1000.0)
    link.send(PACKET, 1054.0)
    assert link.stats.blacked_out == 0
    link.send(PACKET, 1056.0)
    assert link.stats.blacked_out == 1
    link.change(link.spec, 1056.0)
    link.send(PACKET, 1057.0)
    assert link.stats.blacked_out == 1


def test_lanes_share_the_queue_and_keep_their_packets_apart() -> None:
    link = made("rate=1mbit,delay=10ms,queue=50ms")
    lanes = [link.lane(), link.lane()]
    for number, packet in enumerate(numbered(4)):
        lanes[number % 2].send(packet + bytes(121 - UDP_OVERHEAD), 0.0)  # 125 bytes: a millisecond each
    assert link.next_delivery() is None
    assert [lane.next_delivery() for lane in lanes] == [pytest.approx(0.011), pytest.approx(0.012)]
    arrived = [[packet[:4] for packet in lane.deliver(1.0)] for lane in lanes]
    assert arrived == [numbered(4)[::2], numbered(4)[1::2]]
    assert link.queue_delay(0.0) == pytest.approx(0.004)
    assert (link.stats.in_packets, link.stats.out_packets) == (4, 4)


def test_change_leaves_what_is_under_way_and_keeps_the_order() -> None:
    link = made("delay=500ms")
    link.send(b"before", 0.0)
    link.change(parse("loss=100%"), 0.1)
    link.send(b"lost", 0.1)
    link.change(parse("delay=10ms"), 0.2)
    link.send(b"after", 0.2)
    assert link.deliver(0.4) == []
    assert link.deliver(0.5) == [b"before", b"after"]
    assert link.stats.lost == 1


NASTY = "rate=4mbit,delay=80ms±40ms,loss=25%,burst=4,reorder=3%,duplicate=3%,corrupt=1%,blackout=1s/4s"


def test_same_seed_gives_the_same_bytes_at_the_same_times() -> None:
    packets = [random.Random(number).randbytes(200) for number in range(3000)]
    first, again, other = (carry(made(NASTY, seed), packets) for seed in (5, 5, 6))
    assert first == again
    assert first != other


SEED_1_LOSES = [0, 1, 4, 8, 11, 12, 15, 16, 18, 19]  # of the first 20: the same on any Python and any machine


def test_same_seed_loses_the_same_packets_on_every_machine() -> None:
    link = made("loss=30%", seed=1)
    lost = set(numbered(20)) - {packet for _, packet in carry(link, numbered(20))}
    assert sorted(int.from_bytes(packet, "big") for packet in lost) == SEED_1_LOSES


def test_turning_one_impairment_up_leaves_the_others_alone() -> None:
    base = parse("delay=50ms±40ms,reorder=5%")
    quiet = {packet: due for due, packet in carry(Link(base, random.Random(3)), numbered(2000), interval=0.1)}
    lossy_link = Link(replace(base, loss=0.5, duplicate=0.5), random.Random(3))
    lossy = {packet: due for due, packet in carry(lossy_link, numbered(2000), interval=0.1)}
    assert lossy_link.stats.lost > 900
    assert lossy == {packet: due for packet, due in quiet.items() if packet in lossy}


def test_every_packet_is_accounted_for() -> None:
    link = made(NASTY + ",mtu=1000")
    rng = random.Random(1)
    carry(link, [rng.randbytes(rng.randrange(1200)) for _ in range(10_000)], interval=0.0005)
    stats = link.stats
    gone = stats.lost + stats.queue_dropped + stats.too_big + stats.blacked_out
    assert stats.in_packets + stats.duplicated == stats.out_packets + gone
    assert min(stats.lost, stats.queue_dropped, stats.too_big, stats.blacked_out, stats.corrupted) > 0

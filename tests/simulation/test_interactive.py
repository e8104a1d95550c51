"""People on a link without a tunnel, where what they feel can be worked out: a delay, or what a loss costs."""

from __future__ import annotations

import pytest

from ghost.chaos.spec import parse
from ghost.simulation.direct import Direct
from ghost.simulation.interactive import PAGE_FIRST, PAGE_PART, PAGE_PARTS, READING, Call, Pages, Ssh
from ghost.simulation.measure import percentile
from ghost.simulation.workloads import Bulk


def seen(times: list[float | None]) -> list[float]:
    return [time for time in times if time is not None]


def test_keys_take_the_round_trip_where_nothing_is_lost() -> None:
    path = Direct(parse("delay=40ms"))
    ssh = Ssh(path)
    path.applications.append(ssh)
    path.run(20)
    times = ssh.times(typed_before=19)
    assert len(times) > 40
    assert None not in times
    assert seen(times) == pytest.approx([0.08] * len(times), abs=0.001)


def test_a_lost_key_is_sent_again_and_holds_up_those_behind_it() -> None:
    path = Direct(parse("delay=40ms,loss=20%"), seed=3)
    ssh = Ssh(path)
    path.applications.append(ssh)
    path.run(60)
    times = ssh.times(typed_before=50)
    assert None not in times, "TCP gives nothing up"
    assert percentile(seen(times), 0.5) < 0.4
    assert percentile(seen(times), 0.99) > 0.4
    assert path.up.stats.in_packets < 10 * len(times)


def test_a_call_hears_what_the_link_lets_through() -> None:
    path = Direct(parse("delay=30ms,loss=10%"), seed=2)
    call = Call(path)
    path.applications.append(call)
    path.run(20)
    settled = call.times[:-20]
    assert len(settled) == pytest.approx(2000, abs=25)
    assert seen(settled) == pytest.approx([0.03] * len(seen(settled)), abs=1e-6)
    assert 1 - len(seen(settled)) / len(settled) == pytest.approx(0.1, abs=0.03)


def test_pages_follow_each_other_and_take_as_long_as_their_bytes() -> None:
    path = Direct(parse("rate=8mbit,queue=300ms,delay=20ms"))
    pages = Pages(path)
    path.applications.append(pages)
    path.run(20)
    size = PAGE_FIRST + PAGE_PARTS * PAGE_PART
    complete = seen(pages.times)
    assert len(complete) >= 6
    assert all(size * 8 / 8e6 < time < 2 * size * 8 / 8e6 for time in complete)
    assert pages.received == pytest.approx(len(complete) * size, rel=0.05)
    assert len(pages.times) == pytest.approx(20 / (READING + complete[0]), abs=1.5)


def test_without_a_tunnel_a_new_port_ends_a_tcp_connection() -> None:
    path = Direct(parse("rate=5mbit,delay=10ms,rebind=5s"))
    bulk = Bulk(path, is_download=True)
    path.applications.append(bulk)
    path.run(15)
    assert bulk.goodput_bps(1.0, 4.9) > 3e6
    assert bulk.goodput_bps(5.5, 15.0) == 0

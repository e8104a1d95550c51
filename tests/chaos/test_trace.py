"""What a path did, second by second: it survives being written and read, and a link that plays it does the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.chaos.link import Link
from ghost.chaos.spec import LinkSpec, parse
from ghost.chaos.trace import HEAD, MOMENT, Moment, Observer, Trace, decode, head
from ghost.errors import ConfigError
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Bulk

SOME = Moment(0.1, 0.005, 0.02, 0.3, 0.1, 2.0, 5e6, 3e6, is_silent=False)


def ring(moments: list[Moment], *, capacity: int, count: int | None = None) -> bytes:
    """A file as the recorder leaves it after `count` moments of which these were written last."""
    count = len(moments) if count is None else count
    places = [bytes(MOMENT.size)] * capacity
    for index, moment in enumerate(moments):
        places[(count - len(moments) + index) % capacity] = moment.encode()
    return head(1.0, capacity, count % capacity, count) + b"".join(places)


@given(
    st.builds(
        Moment,
        delay=st.floats(0, 6), jitter=st.floats(0, 6), queue=st.floats(0, 6),
        loss_out=st.floats(0, 1), loss_in=st.floats(0, 1), burst=st.floats(1, 30),
        rate_out_bps=st.floats(0, 1e10), rate_in_bps=st.floats(0, 1e10), is_silent=st.booleans(),
    )
)  # fmt: skip
def test_a_moment_survives_within_the_resolution(moment: Moment) -> None:
    read = Moment.decode(moment.encode())
    for name, tolerance in (("delay", 1e-4), ("jitter", 1e-4), ("queue", 1e-4), ("loss_out", 1e-4), ("loss_in", 1e-4)):
        assert getattr(read, name) == pytest.approx(getattr(moment, name), abs=tolerance)
    assert read.burst == pytest.approx(moment.burst, abs=0.1)
    assert read.rate_out_bps == pytest.approx(moment.rate_out_bps, abs=1e3)
    assert read.is_silent is moment.is_silent
    assert len(moment.encode()) == MOMENT.size == 18


def test_a_ring_is_read_from_its_oldest_moment() -> None:
    moments = [Moment(0.01 * number, 0, 0, 0, 0, 1, 0, 0, is_silent=False) for number in range(1, 8)]
    assert [round(m.delay, 3) for m in decode(ring(moments[:3], capacity=5), "x").moments] == [0.01, 0.02, 0.03]
    full = decode(ring(moments[2:], capacity=5, count=7), "x")
    assert [round(m.delay, 3) for m in full.moments] == [0.03, 0.04, 0.05, 0.06, 0.07]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is no trace"),
        (b"\x7fELF and so on, for long enough to be anything", "is no trace"),
        (ring([SOME], capacity=5)[:20], "cut off in its head"),
        (ring([SOME], capacity=5)[:-1], "cut off after 121 of 122 bytes"),
        (ring([SOME], capacity=5) + b"x", "is a damaged trace"),
        (head(1.0, 5, 9, 1) + bytes(90), "is a damaged trace"),
        (head(0.0, 5, 0, 1) + bytes(90), "is a damaged trace"),
        (head(1.0, 2**32 - 1, 0, 1), "is a damaged trace"),
        (ring([], capacity=5), "is an empty trace"),
    ],
)
def test_what_is_no_trace_is_refused_in_one_line(data: bytes, told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        decode(data, "hotel.trace")
    assert str(refusal.value).startswith("hotel.trace ")
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


@given(st.binary(max_size=200) | st.binary(max_size=120).map(lambda rest: head(1.0, 5, 0, 5) + rest))
def test_any_bytes_are_a_trace_or_refused(data: bytes) -> None:
    try:
        trace = decode(data, "x")
    except ConfigError:
        return
    assert len(trace.up) == len(trace.down) == len(trace.moments)
    assert all(parse(str(link)) == link for link in (*trace.up, *trace.down))


def test_a_moment_becomes_half_of_its_round_trip_each_way() -> None:
    trace = Trace(1.0, (SOME,))
    assert trace.up[0] == LinkSpec(rate_bps=5e6, queue=0.1, delay=0.05, jitter=0.0025, loss=0.3, burst=2.0)
    assert (trace.down[0].loss, trace.down[0].rate_bps) == (0.1, 3e6)


def test_silence_loses_everything_and_keeps_the_delay_that_was() -> None:
    silent = Moment(0.0, 0, 0, 0, 0, 1, 0, 0, is_silent=True)
    links = Trace(1.0, (SOME, silent, SOME)).up
    assert [link.loss for link in links] == [0.3, 1.0, 0.3]
    assert [link.delay for link in links] == [0.05] * 3


def test_a_recorded_path_is_like_the_one_it_was_recorded_on() -> None:
    pair = Pair(parse("rate=4mbit,delay=40ms,loss=10%"), parse("rate=4mbit,delay=40ms,loss=20%"), seed=1)
    pair.run_until_connected()
    pair.applications.append(Bulk(pair, is_download=True))
    observer = Observer()
    moments = []
    for second in range(25):
        if second == 12:
            pair.up.change(parse("loss=100%"), pair.now)
            pair.down.change(parse("loss=100%"), pair.now)
        pair.run(1.0)
        moments.append(observer.moment(pair.client.snapshot(pair.now)["peers"][0]))
    trace = decode(ring(moments, capacity=40), "x")
    calm = slice(4, 12)
    assert sum(link.loss for link in trace.up[calm]) / 8 == pytest.approx(0.1, abs=0.05)
    assert sum(link.loss for link in trace.down[calm]) / 8 == pytest.approx(0.2, abs=0.05)
    assert all(link.delay == pytest.approx(0.04, abs=0.01) for link in trace.up[calm])
    assert all(link.rate_bps == pytest.approx(3.2e6, rel=0.35) for link in trace.down[calm])
    assert [link.loss for link in trace.up[15:]] == [1.0] * 10

    link = Link(LinkSpec(), random.Random(1))
    link.play(trace.down, interval=trace.interval, now=0.0)
    for number in range(24_000):
        link.send(bytes(100), number / 1000)
    assert link.stats.in_packets == 24_000
    assert 0.15 * 12_000 < link.stats.lost - 10_000 < 0.45 * 12_000


def test_the_size_is_bounded() -> None:
    assert HEAD.size + 12 * 3600 * MOMENT.size < 800_000

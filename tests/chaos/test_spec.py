"""The grammar of links: what is written means what it says, and what cannot be meant is explained."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.chaos.spec import LinkSpec, parse
from ghost.errors import ConfigError

EVERYTHING = (
    "rate=10mbit,queue=200ms,police=4mbit/64kb,delay=50ms±10ms,loss=30%,burst=8,reorder=5%,duplicate=1%,corrupt=1%,mtu=1200,"
    "freeze-packets=300,freeze-bytes=16kb,blackout=5s/60s,rebind=60s,jump=10s/120s"
)


def test_every_key_lands_in_its_field() -> None:
    assert parse(EVERYTHING) == LinkSpec(
        rate_bps=10e6,
        queue=0.2,
        police_bps=4e6,
        police_bytes=64_000,
        delay=0.05,
        jitter=0.01,
        loss=0.3,
        burst=8,
        reorder=0.05,
        duplicate=0.01,
        corrupt=0.01,
        mtu=1200,
        freeze_packets=300,
        freeze_bytes=16_000,
        blackout_length=5,
        blackout_period=60,
        rebind_period=60,
        jump=10,
        jump_period=120,
    )


def test_canonical_text_is_stable_and_leaves_defaults_out() -> None:
    assert str(parse(EVERYTHING)) == EVERYTHING
    assert str(parse("queue=100ms,burst=1,loss=30%")) == "loss=30%"
    assert parse(str(LinkSpec())) == LinkSpec()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("delay=50ms+-10ms", "delay=50ms±10ms"),
        (" Delay = 0.05s ± 10000us , LOSS = 2.50% ", "delay=50ms±10ms,loss=2.5%"),
        ("blackout=0.5min/2min", "blackout=30s/120s"),
        ("rate=64000bit", "rate=64kbit"),
        ("delay=0.1ms", "delay=100us"),
        ("police=4mbit/32kb", "police=4mbit"),
        ("police=4mbit/1.5KB", "police=4mbit/1.5kb"),
    ],
)
def test_other_ways_to_write_it_mean_the_same(written: str, meant: str) -> None:
    assert str(parse(written)) == meant


shares = st.floats(0, 1)
seconds = st.floats(0, 60)


@st.composite
def specs(draw: st.DrawFn) -> LinkSpec:
    delay, burst, period = draw(seconds), draw(st.floats(1, 10_000)), draw(st.floats(0, 86_400))
    blackout = draw(st.none() | st.floats(0, period, exclude_max=True)) if period else None
    return LinkSpec(
        rate_bps=draw(st.none() | st.floats(1e3, 1e11)),
        queue=draw(seconds),
        police_bps=(policed := draw(st.none() | st.floats(1e3, 1e11))),
        police_bytes=32_000 if policed is None else draw(st.integers(1500, 10**9)),
        delay=delay,
        jitter=draw(st.floats(0, delay)),
        loss=draw(st.floats(0, burst / (burst + 1))),
        burst=burst,
        reorder=draw(shares),
        duplicate=draw(shares),
        corrupt=draw(shares),
        mtu=draw(st.none() | st.integers(68, 65_535)),
        freeze_packets=draw(st.none() | st.integers(1, 10**9)),
        freeze_bytes=draw(st.none() | st.integers(1, 10**12)),
        blackout_length=blackout or 0.0,
        blackout_period=period,
        rebind_period=draw(st.none() | st.floats(1, 86_400)),
        jump=draw(st.floats(0, 86_400)),
        jump_period=draw(st.floats(1, 86_400)),
    )


@given(specs())
def test_any_valid_spec_survives_being_written_and_read(spec: LinkSpec) -> None:
    assert parse(str(spec)) == spec


@given(st.text(alphabet="0123456789.,=%±/+-abcdefghiklmnopqrstuxy ", max_size=60) | st.text(max_size=30))
def test_any_text_is_parsed_or_refused_in_one_line(text: str) -> None:
    try:
        spec = parse(text)
    except ConfigError as error:
        refusal = str(error)
    else:
        assert parse(str(spec)) == spec
        return
    assert refusal.startswith("link: ")
    assert "\n" not in refusal


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("los=3%", "did you mean loss=30%?"),
        ("dellay=3ms", "did you mean delay=50ms±10ms?"),
        ("xyzzy=1", "the keys are rate, queue, police, delay"),
        ("", "the keys are"),
        ("loss", "loss has no value: write loss=30%"),
        ("loss=1%,loss=2%", "loss is given twice"),
        ("loss=130%", "out of range for loss: give 0% to 100%"),
        ("loss=3", "a number and its unit (%), as in loss=30%"),
        ("delay=-5ms", "-5ms is out of range for delay: give 0s to 60s, as in delay=50ms±10ms"),
        ("freeze=300", "did you mean freeze-"),
        ("freeze-bytes=1.5b", "no whole number of packets or bytes"),
        ("police=4mbit/100b", "100b is out of range for police: give 1.5kb to 1gb"),
        ("rebind=0s", "0s is out of range for rebind: give 1s to 86400s"),
        ("jump=10s", "write jump=10s/60s"),
        ("delay=50", "a number and its unit (us, ms, s, min)"),
        ("delay=61s", "61s is out of range for delay: give 0s to 60s"),
        ("delay=5ms±6ms", "the jitter in delay=DELAY±JITTER must not exceed the delay"),
        ("delay=1ms±1ms±1ms", "too many or too few parts"),
        ("rate=1bit", "1bit is out of range for rate: give 1kbit to 100gbit"),
        ("rate=10mbps", "as in rate=10mbit"),
        ("mtu=1200.5", "no whole number of packets or bytes"),
        ("mtu=20", "20 is out of range for mtu: give 68 to 65535"),
        ("burst=0.5", "0.5 is out of range for burst: give 1 to 10000"),
        ("loss=90%,burst=2", "bursts of 2 lose at most 66.7%: give burst=1 (independent losses) or burst=9"),
        ("blackout=5s", "write blackout=5s/60s"),
        ("blackout=60s/60s", "the length must be below the period"),
    ],
)
def test_refusal_names_the_key_its_range_and_a_cure(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(text)
    assert told in str(refusal.value)


@pytest.mark.parametrize("loss", [-0.1, 1.1, math.inf, math.nan])
def test_spec_made_in_code_is_checked_as_well(loss: float) -> None:
    with pytest.raises(ConfigError, match="out of range for loss"):
        LinkSpec(loss=loss)

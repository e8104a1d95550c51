"""Round-trip estimation against the arithmetic of RFC 9002 section 5, worked by hand."""

from __future__ import annotations

import pytest

from ghost.reliability.rtt import GRANULARITY, INITIAL_RTT, RttEstimator


def estimator(*samples: tuple[float, float]) -> RttEstimator:
    rtt = RttEstimator()
    for sample, ack_delay in samples:
        rtt.update(sample, ack_delay=ack_delay, now=0.0)
    return rtt


def test_before_any_sample_the_probe_timeout_comes_from_the_initial_round_trip() -> None:
    rtt = RttEstimator()
    assert not rtt.has_sample
    assert rtt.probe_timeout(max_ack_delay=0.01) == pytest.approx(INITIAL_RTT + 4 * INITIAL_RTT / 2 + 0.01)


def test_the_first_sample_sets_everything_and_its_ack_delay_is_ignored() -> None:
    rtt = estimator((0.100, 0.030))
    assert rtt.has_sample
    assert (rtt.latest, rtt.min_rtt, rtt.smoothed) == (0.100, 0.100, 0.100)
    assert rtt.variation == pytest.approx(0.050)


def test_a_second_sample_by_hand() -> None:
    rtt = estimator((0.100, 0.0), (0.120, 0.010))
    # adjusted 0.110; rttvar = 3/4 * 0.050 + 1/4 * |0.100 - 0.110|; smoothed = 7/8 * 0.100 + 1/8 * 0.110
    assert rtt.variation == pytest.approx(0.0400)
    assert rtt.smoothed == pytest.approx(0.10125)
    assert rtt.min_rtt == 0.100
    assert rtt.latest == 0.120


def test_an_ack_delay_that_would_push_below_the_minimum_is_not_believed() -> None:
    rtt = estimator((0.100, 0.0), (0.120, 0.010), (0.105, 0.010))
    # 0.105 < 0.100 + 0.010, so adjusted stays 0.105; rttvar = 3/4 * 0.040 + 1/4 * |0.10125 - 0.105|
    assert rtt.variation == pytest.approx(0.0309375)
    assert rtt.smoothed == pytest.approx(0.10171875)


def test_the_probe_timeout_by_hand() -> None:
    rtt = estimator((0.100, 0.0), (0.120, 0.010), (0.105, 0.010))
    assert rtt.probe_timeout(max_ack_delay=0.010) == pytest.approx(0.10171875 + 4 * 0.0309375 + 0.010)


def test_the_minimum_is_of_raw_samples() -> None:
    rtt = estimator((0.100, 0.0), (0.080, 0.050))
    assert rtt.min_rtt == 0.080
    assert rtt.smoothed == pytest.approx(0.100 * 7 / 8 + 0.080 / 8)


def test_a_steady_path_converges_and_the_variation_never_falls_below_the_granularity() -> None:
    rtt = estimator(*[(0.050, 0.0)] * 200)
    assert rtt.smoothed == pytest.approx(0.050)
    assert rtt.variation == pytest.approx(0.0, abs=1e-9)
    assert rtt.probe_timeout(max_ack_delay=0.0) == pytest.approx(0.050 + GRANULARITY)


def test_a_clock_that_stood_still_gives_no_zero() -> None:
    rtt = estimator((0.0, 0.0))
    assert rtt.min_rtt > 0
    assert rtt.smoothed > 0

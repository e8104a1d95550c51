"""A repair is due for what the receiver lacks, and for no more than that."""

from __future__ import annotations

import pytest

from ghost.constants import FULL_PACKET, MAX_MEMBERS
from ghost.reliability.repair import LEAST_LOSS, LEAST_WINDOW, RepairPolicy, coding_window

MEGABIT = 125_000.0  # bytes a second


def told(policy: RepairPolicy, *, missing: int, rank: int = 0, late: float = 0.0) -> None:
    """News of the newest packet sent."""
    policy.on_ack(
        sources=policy.sources, repairs=policy.repairs, missing=missing, rank=rank, late=late,
        arrived=10, redundant=0, is_app_limited=False, now=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("missing", "rank", "late", "need"), [(3, 0, 0.0, 3), (3, 2, 0.0, 1), (3, 0, 2.5, 0.5), (3, 2, 4.0, 0)]
)
def test_equations_that_wait_and_packets_that_are_only_late_are_not_needed_again(
    missing: int, rank: int, late: float, need: float
) -> None:
    policy = RepairPolicy(0.0)
    told(policy, missing=missing, rank=rank, late=late)
    assert policy.need == need
    assert policy.is_repair_due(0.0, is_app_limited=False) is (need >= 0.5)


@pytest.mark.parametrize("loss", [0.05, 0.3, 0.5])
def test_repairs_make_up_for_the_loss_ahead_of_news(loss: float) -> None:
    policy = RepairPolicy(0.0)
    policy.margin = 0.0
    for _ in range(1000):
        if policy.is_repair_due(loss, is_app_limited=False):
            policy.repairs += 1
        else:
            policy.sources += 1
    assert policy.repairs / 1000 == pytest.approx(loss, abs=0.01)


def test_the_coding_window_shrinks_with_what_it_costs_and_is_none_where_it_does_not_pay() -> None:
    assert coding_window(LEAST_LOSS / 2, MEGABIT) == 0
    assert coding_window(0.3, MEGABIT) == MAX_MEMBERS
    windows = [coding_window(0.3, rate * MEGABIT) for rate in (10, 50, 100, 200, 400, 800)]
    assert windows == sorted(windows, reverse=True)
    assert all(window == 0 or window >= LEAST_WINDOW for window in windows)
    assert coding_window(0.5, 1e6 * FULL_PACKET) == 0

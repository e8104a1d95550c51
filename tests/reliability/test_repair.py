"""A repair is due for what the receiver lacks, and for no more than that."""

from __future__ import annotations

import pytest

from ghost.constants import FULL_PACKET, MAX_MEMBERS
from ghost.reliability.repair import (
    LEAST_LOSS,
    LEAST_WINDOW,
    MARGIN_MOST,
    URGENT_AFTER,
    WASTE_MOST,
    RepairPolicy,
    coding_window,
    waste,
)

MEGABIT = 125_000.0  # bytes a second


def told(
    policy: RepairPolicy, *, missing: int, rank: int = 0, late: float = 0.0, floor: int = 1, now: float = 0.0
) -> None:
    """News of the newest packet sent, over a round trip of 0.1 s."""
    policy.on_ack(
        sources=policy.sources, repairs=policy.repairs, missing=missing, rank=rank, late=late, floor=floor, srtt=0.1,
        arrived=10, redundant=0, loss=0.3, is_app_limited=False, now=now,
    )  # fmt: skip


def is_repair_due(policy: RepairPolicy, loss: float, *, is_app_limited: bool) -> bool:
    return policy.sources_until_repair(loss, is_app_limited=is_app_limited, most=1) == 0


@pytest.mark.parametrize(
    ("missing", "rank", "late", "need"), [(3, 0, 0.0, 3), (3, 2, 0.0, 1), (3, 0, 2.5, 0.5), (3, 2, 4.0, 0)]
)
def test_equations_that_wait_and_packets_that_are_only_late_are_not_needed_again(
    missing: int, rank: int, late: float, need: float
) -> None:
    policy = RepairPolicy(0.0)
    told(policy, missing=missing, rank=rank, late=late)
    assert policy.need == need
    assert is_repair_due(policy, 0.0, is_app_limited=False) is (need >= 0.5)


@pytest.mark.parametrize("loss", [0.05, 0.3, 0.5])
def test_repairs_make_up_for_the_loss_ahead_of_news(loss: float) -> None:
    policy = RepairPolicy(0.0)
    policy.margin = 0.0
    for _ in range(1000):
        if is_repair_due(policy, loss, is_app_limited=False):
            policy.repairs += 1
        else:
            policy.sources += 1
    assert policy.repairs / 1000 == pytest.approx(loss, abs=0.01)


@pytest.mark.parametrize("is_app_limited", [False, True])
@pytest.mark.parametrize("margin", [-MARGIN_MOST, 0.0, 0.7])
def test_sources_are_foreseen_until_a_repair_is_due(margin: float, is_app_limited: bool) -> None:
    policy = RepairPolicy(0.0)
    policy.margin = margin
    lengths = []
    for _ in range(100):
        foreseen = policy.sources_until_repair(0.1, is_app_limited=is_app_limited, most=64)
        for _ in range(foreseen):
            assert not is_repair_due(policy, 0.1, is_app_limited=is_app_limited)
            policy.sources += 1
        lengths.append(foreseen)
        if foreseen < 64:
            assert is_repair_due(policy, 0.1, is_app_limited=is_app_limited)
            policy.repairs += 1
    assert max(lengths) > 5


def test_the_coding_window_shrinks_with_what_it_costs_and_is_none_where_it_does_not_pay() -> None:
    assert coding_window(LEAST_LOSS / 2, MEGABIT) == 0
    assert coding_window(0.3, MEGABIT) == MAX_MEMBERS
    windows = [coding_window(0.3, rate * MEGABIT) for rate in (10, 50, 100, 200, 400, 800)]
    assert windows == sorted(windows, reverse=True)
    assert all(window == 0 or window >= LEAST_WINDOW for window in windows)
    assert coding_window(0.5, 1e6 * FULL_PACKET) == 0


@pytest.mark.parametrize(("arrivals", "share", "way"), [(1, 0.3, -1), (1, 0.0, 1), (2, 0.2, -1), (40, 0.3, -1)])
def test_what_is_too_much_lowers_the_margin_however_few_packets_an_interval_has(
    arrivals: int, share: float, way: int
) -> None:
    policy = RepairPolicy(0.0)
    policy.margin = 0.0
    arrived = redundant = 0
    for interval in range(1, 200):
        arrived += arrivals
        redundant = int(arrived * share)
        policy.on_ack(
            sources=0, repairs=0, missing=0, rank=0, late=0.0, floor=0, srtt=0.1,
            arrived=arrivals, redundant=redundant, loss=0.3, is_app_limited=False, now=interval * 0.3,
        )  # fmt: skip
    assert policy.margin == pytest.approx(way * MARGIN_MOST, abs=0.1)


def test_more_is_sent_for_what_repairs_have_failed_to_mend_before() -> None:
    def repairs_due(*, missing: int, floor: int) -> int:
        policy = RepairPolicy(0.0)
        policy.margin, policy.sources = 0.0, 100
        told(policy, missing=4, floor=7)
        policy.sources += 50  # sent since
        told_sources = policy.sources
        told(policy, missing=missing, floor=floor, now=URGENT_AFTER * 0.1 + 0.001)
        policy.sources = told_sources + 50
        while is_repair_due(policy, 0.3, is_app_limited=False):
            policy.repairs += 1
        return policy.repairs

    usual = repairs_due(missing=4, floor=8)
    assert repairs_due(missing=4, floor=7) > usual + 3
    assert repairs_due(missing=0, floor=7) < usual, "an idle connection's floor stands still as well"


def test_goodput_is_worth_more_than_delay_where_little_is_lost() -> None:
    wasted = [waste(loss) for loss in (0.0, 0.1, 0.2, 0.3, 0.5)]
    assert wasted == sorted(wasted)
    assert wasted[0] < wasted[-1] == WASTE_MOST

from __future__ import annotations

import select
import time

from ghost.runtime.clock import Alarm, now, wall_offset


def is_ringing(alarm: Alarm, timeout: float) -> bool:
    return bool(select.select([alarm.fileno()], [], [], timeout)[0])


def test_the_clock_counts_seconds_and_knows_the_date() -> None:
    before = now()
    time.sleep(0.01)
    assert 0.01 <= now() - before < 5
    assert abs(now() + wall_offset() - time.time()) < 1


def test_an_alarm_rings_at_its_time_and_until_acknowledged() -> None:
    alarm = Alarm()
    due = now() + 0.02
    alarm.set(due)
    assert is_ringing(alarm, 5)
    assert now() >= due
    alarm.acknowledge()
    assert not is_ringing(alarm, 0)
    alarm.acknowledge()
    alarm.close()


def test_a_time_that_is_past_rings_at_once_and_a_new_one_replaces_the_old() -> None:
    alarm = Alarm()
    for past in (0.0, -1.0, now() - 1):
        alarm.set(past)
        assert is_ringing(alarm, 5)
        alarm.set(now() + 1000)
        assert not is_ringing(alarm, 0)
    alarm.close()

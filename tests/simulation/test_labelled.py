"""The diagnosis on runs whose cause is known: one of each here, hundreds with `ghosttunnel sim --diagnose`."""

from __future__ import annotations

import pytest

from ghost.simulation.labelled import LABELS, run, setting
from ghost.tunnel.diagnosis import Cause


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.value)
def test_the_cause_that_was_put_in_is_found(label: Cause) -> None:
    outcome = run(setting(label, 1))
    assert outcome.is_right, f"{outcome.setting}: {outcome.finding}"


def test_a_setting_is_decided_by_its_label_and_seed() -> None:
    for label in LABELS:
        assert setting(label, 7) == setting(label, 7)
        assert setting(label, 7).calm != setting(label, 8).calm

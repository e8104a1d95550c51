from __future__ import annotations

from typing import Any

import pytest

from ghost.commands.sim_diagnose import table
from ghost.commands.why import reasons
from ghost.simulation.labelled import Outcome, setting
from ghost.tunnel.diagnosis import Cause, Finding

from .conftest import Run

PEER = {"name": "laptop", "cause": "random loss", "diagnosis": "The path loses packets whatever the speed."}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"role": "server", "state": "listening", "peers": []}, ["Nobody is connected."]),
        ({"role": "server", "state": "listening", "peers": [PEER]}, [f"laptop: {PEER['diagnosis']}"]),
        (
            {"role": "client", "state": "connecting", "peers": []},
            ["Not connected: the server does not answer. The log says since when."],
        ),
    ],
)
def test_there_is_a_line_for_each_peer(status: dict[str, Any], told: list[str]) -> None:
    assert reasons(status) == told


def test_what_was_put_in_on_purpose_is_said_first() -> None:
    lines = reasons({"role": "client", "state": "connected", "chaos": "loss=30%", "peers": [PEER]})
    assert "on purpose" in lines[0]
    assert lines[0].endswith(": loss=30%")
    assert "server says it of downloads" in lines[-1]


def test_without_a_daemon_there_is_nothing_to_ask(ghosttunnel: Run) -> None:
    done = ghosttunnel("why", "--state-dir", "/no/such/dir")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)


def test_the_table_counts_what_was_right_and_shows_what_was_not() -> None:
    outcomes = [
        Outcome(setting(Cause.LOSS, 1), Finding(Cause.LOSS, "Right.")),
        Outcome(setting(Cause.LOSS, 2), Finding(Cause.QUEUE, "Wrong.")),
    ]
    lines = table(outcomes)
    assert next(line.split() for line in lines if line.startswith("random loss")) == ["random", "loss", "1", "1"]
    assert "right in 1 of 2 runs, 50.0%" in lines
    assert lines[-1].endswith(": Wrong.")


def test_diagnose_refuses_a_senseless_number(ghosttunnel: Run) -> None:
    done = ghosttunnel("sim", "--diagnose", "0")
    assert (done.returncode, "give 1 to 100000" in done.stderr) == (2, True)

"""`ghosttunnel sim` as a user runs it: a table, JSON, a sweep, a picture, and the same bytes each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ghost.chaos.trace import Moment, head

from .conftest import Run

LINK = "rate=2mbit,delay=20ms,loss=20%"


def test_a_run_is_a_table_and_the_same_bytes_each_time(ghosttunnel: Run) -> None:
    runs = [ghosttunnel("sim", LINK, "--secs=4") for _ in range(2)]
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stderr == "", "no progress where nobody watches"
    assert runs[0].stdout == runs[1].stdout
    rows = {line[:24].strip(): line.split() for line in runs[0].stdout.splitlines()}
    assert rows["goodput"][-2:] == ["1.60", "Mbit/s"]
    assert rows["up after"][-1] == "-"


def test_a_sweep_has_a_row_a_value_and_json_has_every_figure(ghosttunnel: Run) -> None:
    arguments = ("sim", "rate=2mbit,delay=20ms", "--secs=3", "--workload=ssh", "--sweep=loss=0..40%/3")
    lines = ghosttunnel(*arguments).stdout.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["0%", "20%", "40%"]
    told = json.loads(ghosttunnel(*arguments, "--json").stdout)
    assert told["sweep"] == {"key": "loss", "values": ["0%", "20%", "40%"]}
    assert [point["up"] for point in told["points"]][1] == "rate=2mbit,delay=20ms,loss=20%"
    assert told["points"][2]["tunnel"]["latencies"]["key"]["count"] > 0
    assert told["points"][0]["plain"]["goodput_bps"] is None


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
@pytest.mark.parametrize(
    "options", [(), ("--sweep=loss=0..20%/2",), ("--workload=voip",), ("--sweep=loss=99..100%/2",)]
)
def test_a_plot_is_a_picture_of_the_kind_asked_for(
    name: str, start: bytes, options: tuple[str, ...], tmp_path: Path, ghosttunnel: Run
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / name
    done = ghosttunnel("sim", LINK, "--secs=3", "--plot", path, *options)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("sim loss=130%", "130% is out of range for loss: give 0% to 100%"),
        ("sim hotell", "did you mean hotel?"),
        ("sim --sweep loss=9%", "write KEY=FROM..TO"),
        ("sim --secs 1", "give 3 to 3600"),
        ("sim --plot loss.pdf", "ends in neither of .png, .svg"),
        ("sim --plot /no/such/dir/loss.png --secs 3 delay=1ms", "is in no directory that exists"),
    ],
)
def test_a_mistake_is_one_line(arguments: str, told: str, ghosttunnel: Run) -> None:
    done = ghosttunnel(*arguments.split())
    assert done.returncode in (2, 3)
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_a_recorded_path_is_played_in_place_of_a_link(tmp_path: Path, ghosttunnel: Run) -> None:
    path = tmp_path / "hotel.trace"
    moment = Moment(0.08, 0.002, 0.0, 0.2, 0.1, 1.0, 2e6, 2e6, is_silent=False)
    path.write_bytes(head(1.0, 3, 0, 3) + 3 * moment.encode())
    done = ghosttunnel("sim", "--trace", path, "--secs=4")
    assert done.returncode == 0, done.stderr
    assert "as recorded in hotel.trace" in done.stdout
    assert "1.80 Mbit/s" in done.stdout, "the ceiling, (1 - loss) * rate of the way down"
    path.write_bytes(path.read_bytes()[:-1])
    assert ghosttunnel("sim", "--trace", path).stderr.count("is cut off after 85 of 86 bytes") == 1
    assert "leave the others out" in ghosttunnel("sim", "hotel", "--trace", path).stderr

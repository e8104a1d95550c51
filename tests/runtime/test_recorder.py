"""The flight recorder's file: it never grows, is continued, and nobody else's file is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ghost.chaos.spec import LinkSpec
from ghost.errors import ConfigError, HostError
from ghost.runtime.recorder import Recorder, read_trace
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Pings


@pytest.fixture
def snapshots() -> Any:
    pair = Pair(LinkSpec(delay=0.02), seed=1)
    pair.run_until_connected()
    pair.applications.append(Pings(pair))
    pair.run(1.0)
    return lambda: pair.client.snapshot(pair.now)


def test_a_file_has_its_size_from_the_start_and_keeps_the_latest(tmp_path: Path, snapshots: Any) -> None:
    path = tmp_path / "hotel.trace"
    recorder = Recorder(path, snapshots, capacity=4)
    size = path.stat().st_size
    for _ in range(7):
        recorder.record()
    recorder.close()
    assert path.stat().st_size == size
    assert path.stat().st_mode & 0o777 == 0o600
    trace = read_trace(path)
    assert len(trace.moments) == 4
    assert trace.moments[-1].delay == pytest.approx(0.04, abs=0.01)


def test_a_trace_is_continued(tmp_path: Path, snapshots: Any) -> None:
    path = tmp_path / "hotel.trace"
    for capacity in (6, 99):
        recorder = Recorder(path, snapshots, capacity=capacity)
        recorder.record()
        recorder.record()
        recorder.close()
    assert len(read_trace(path).moments) == 4


def test_without_a_connection_there_is_silence(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "x", lambda: {"peers": []}, capacity=4)
    recorder.record()
    recorder.close()
    assert [moment.is_silent for moment in read_trace(tmp_path / "x").moments] == [True]


def test_another_file_is_not_written_over(tmp_path: Path, snapshots: Any) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("all of it")
    with pytest.raises(ConfigError, match="is no trace"):
        Recorder(path, snapshots)
    assert path.read_text() == "all of it"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, snapshots: Any) -> None:
    with pytest.raises(HostError, match="choose another --record"):
        Recorder(tmp_path / "none" / "x", snapshots)
    with pytest.raises(ConfigError, match="cannot read the trace"):
        read_trace(tmp_path / "none")

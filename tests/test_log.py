from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from ghost import log as logs
from ghost.log import Repetition, Ring


@pytest.fixture
def ghost_log() -> Iterator[logging.Logger]:
    """The program's log, put back as it was."""
    root = logging.getLogger("ghost")
    before = root.handlers[:], root.level, root.propagate
    yield logging.getLogger("ghost.test")
    root.handlers[:], root.level, root.propagate = before


def record(message: str, *arguments: object, created: float = 0.0) -> logging.LogRecord:
    made = logging.LogRecord("ghost", logging.INFO, "", 0, message, arguments, None)
    made.created = created
    return made


def test_a_line_as_json_has_time_level_and_message(
    ghost_log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up("info", "json")
    ghost_log.warning("lost %s", "it")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["message"]) == ("warning", "lost it")
    assert line["time"].endswith("Z")


def test_a_traceback_stays_inside_its_json_line(ghost_log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("debug", "json")
    try:
        raise ValueError("x")
    except ValueError:
        ghost_log.debug("traceback", exc_info=True)
    [line] = capsys.readouterr().err.splitlines()
    assert "ValueError: x" in json.loads(line)["traceback"]


def test_a_log_set_up_anew_keeps_its_memory(ghost_log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info")
    last = logs.RING.since(0)[-1:]
    ghost_log.info("before")
    logs.set_up("info", "json")
    ghost_log.info("after")
    after = logs.RING.since(last[0]["number"] if last else 0)
    assert [line["message"] for line in after] == ["before", "after"]
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_what_repeats_itself_is_left_out_and_counted() -> None:
    quiet = Repetition()
    shown = [quiet.filter(record("trying again in %d s", second, created=second)) for second in range(10)]
    assert shown == [True] * 3 + [False] * 7
    later = record("trying again in %d s", 99, created=61.0)
    assert quiet.filter(later)
    assert later.getMessage() == "trying again in 99 s (7 more like this were left out)"


def test_ports_do_not_make_messages_different_but_names_do() -> None:
    quiet = Repetition()
    for port in range(3):
        assert quiet.filter(record("laptop connected from 192.0.2.1:%d", port))
    assert not quiet.filter(record("laptop connected from 192.0.2.1:%d", 4))
    assert quiet.filter(record("phone connected from 192.0.2.1:%d", 4))


def test_the_ring_forgets_the_oldest_and_numbers_go_on() -> None:
    ring = Ring()
    for number in range(600):
        ring.emit(record("line %d", number))
    kept = ring.since(0)
    assert len(kept) == 500
    assert (kept[-1]["number"], kept[-1]["message"]) == (600, "line 599")
    assert [line["message"] for line in ring.since(598)] == ["line 598", "line 599"]

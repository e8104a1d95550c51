from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ghost.errors import HostError
from ghost.host.changes import JOURNAL, Argv, Changes, Outcome, run_command
from ghost.runtime.state import StateDirectory


class FakeRunner:
    """Runs nothing, remembers everything; a command that contains `failing` fails."""

    def __init__(self, failing: str = "") -> None:
        self.ran: list[str] = []
        self.failing = failing

    def __call__(self, argv: Argv) -> Outcome:
        self.ran.append(" ".join(argv))
        if self.failing and self.failing in self.ran[-1]:
            return Outcome("", "RTNETLINK answers: Operation not permitted")
        return Outcome("")


@pytest.fixture
def store(tmp_path: Path) -> StateDirectory:
    return StateDirectory.create(tmp_path)


def apply(changes: Changes, *names: str) -> None:
    for name in names:
        changes.apply(("add", name), ("del", name), cure="try again")


def journal(store: StateDirectory) -> Any:
    return (store.read_json(JOURNAL) or {}).get("undo")


def test_changes_are_undone_in_reverse_and_the_journal_is_gone(store: StateDirectory) -> None:
    run = FakeRunner()
    changes = Changes(store, run)
    apply(changes, "a", "b", "c")
    changes.undo_all()
    assert run.ran == ["add a", "add b", "add c", "del c", "del b", "del a"]
    assert journal(store) is None
    changes.undo_all()
    assert len(run.ran) == 6


def test_the_undo_is_on_disk_before_the_change_is_made(store: StateDirectory) -> None:
    at_run = []

    def run(argv: Argv) -> Outcome:
        at_run.append(journal(store))
        return Outcome("")

    apply(Changes(store, run), "a")
    assert at_run == [[["del", "a"]]]


def test_what_a_killed_process_left_is_undone_first(store: StateDirectory) -> None:
    apply(Changes(store, FakeRunner()), "a", "b")
    run = FakeRunner()
    assert Changes(store, run).undo_leftovers() == 2
    assert run.ran == ["del b", "del a"]
    assert Changes(store, run).undo_leftovers() == 0


def test_a_kill_during_the_undo_leaves_the_rest_for_the_next_start(store: StateDirectory) -> None:
    run = FakeRunner()
    changes = Changes(store, run)
    apply(changes, "a", "b")

    def killed(argv: Argv) -> Outcome:
        if argv == ("del", "a"):
            raise KeyboardInterrupt
        return run(argv)

    changes._run = killed
    with pytest.raises(KeyboardInterrupt):
        changes.undo_all()
    assert journal(store) == [["del", "a"]]


def test_undoing_what_is_gone_is_no_error_and_the_others_are_undone(store: StateDirectory) -> None:
    run = FakeRunner(failing="del b")
    changes = Changes(store, run)
    apply(changes, "a", "b", "c")
    changes.undo_all()
    assert run.ran[3:] == ["del c", "del b", "del a"]
    assert journal(store) is None


def test_a_change_that_fails_says_what_and_how_to_go_on_and_needs_no_undo(store: StateDirectory) -> None:
    run = FakeRunner(failing="add b")
    changes = Changes(store, run)
    apply(changes, "a")
    with pytest.raises(HostError) as caught:
        apply(changes, "b")
    assert str(caught.value) == "`add b` failed (RTNETLINK answers: Operation not permitted): try again"
    changes.undo_all()
    assert run.ran == ["add a", "add b", "del a"]


def test_one_change_can_be_undone_before_the_others(store: StateDirectory) -> None:
    run = FakeRunner()
    changes = Changes(store, run)
    apply(changes, "a", "b")
    changes.revert(("del", "a"))
    changes.revert(("del", "never made"))
    assert run.ran[2:] == ["del a"]
    assert journal(store) == [["del", "b"]]


def test_a_change_that_vanishes_with_the_device_is_not_in_the_journal(store: StateDirectory) -> None:
    changes = Changes(store, FakeRunner())
    changes.apply(("ip", "link", "set", "tun0", "up"), cure="")
    assert journal(store) is None


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("true",), ""),
        (("false",), "exit code 1"),
        (("sh", "-c", "echo cause >&2; echo more >&2; exit 2"), "cause"),
        (("no-such-program",), "no-such-program: command not found"),
    ],
)
def test_an_outcome_is_one_line(argv: Argv, error: str) -> None:
    assert run_command(argv).error == error

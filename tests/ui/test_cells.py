from __future__ import annotations

import pytest

from ghost.ui.cells import Grid, fitted, plain, shortened, wrapped
from ghost.ui.editing import LineEditor


@pytest.mark.parametrize(
    ("text", "width", "result"),
    # What takes two columns, and what would move the cursor, must not reach a terminal.
    [("abc", 5, "abc  "), ("abcdef", 4, "abc~"), ("平板", 4, "??  "), ("a\tb\x1b", 4, "a?b?"), ("abc", 0, "")],
)
def test_text_is_made_to_fit(text: str, width: int, result: str) -> None:
    assert fitted(text, width) == result


@pytest.mark.parametrize(
    ("width", "result"),
    [
        (60, "Others fill it: packets wait 180 ms in it, and 2 are left."),
        (50, "Others fill it: packets wait 180 ms in it."),
        (30, "Others fill it."),
        (9, "Others f~"),
    ],
)
def test_a_sentence_loses_whole_clauses(width: int, result: str) -> None:
    assert shortened("Others fill it: packets wait 180 ms in it, and 2 are left.", width) == result


def test_what_is_outside_is_cut_off() -> None:
    grid = Grid(4, 2)
    grid.put(-2, 0, "abcdefgh")
    grid.put(3, 1, "xy")
    grid.put(0, 7, "nowhere")
    assert plain(grid.lines()) == ["cdef", "   x"]


def test_lines_are_runs_of_one_style_and_make_the_same_grid_again() -> None:
    grid = Grid(5, 1)
    grid.put(1, 0, "ab", "bold")
    lines = grid.lines()
    assert lines == [((" ", "plain"), ("ab", "bold"), ("  ", "plain"))]
    assert Grid.of(lines).lines() == lines


def test_a_dab_goes_where_nothing_is() -> None:
    grid = Grid(2, 1)
    grid.put(0, 0, "a", "bold")
    grid.dab(0, 0, "x", "rain1")
    grid.dab(1, 0, "x", "rain1")
    assert plain(grid.lines()) == ["ax"]


def test_words_stay_whole_unless_they_are_too_long() -> None:
    assert wrapped("one two three", 7) == ["one two", "three"]
    assert wrapped("abcdefgh i", 3) == ["abc", "def", "gh", "i"]
    assert wrapped("rate=1mbit,loss=3%,burst=2", 20) == ["rate=1mbit,loss=3%,", "burst=2"]


def test_a_line_is_edited_at_its_cursor() -> None:
    editor = LineEditor("10mbt")
    for key in ("left", "i", "end", "!", "backspace", "home", "delete", "5"):
        assert editor.press(key)
    assert (editor.text, editor.cursor) == ("50mbit", 1)
    assert not editor.press("f5")
    assert editor.window(3) == ("50m", 1)
    editor.press("end")
    assert editor.window(4) == ("bit", 3)
    editor.press("clear")
    assert (editor.text, editor.cursor) == ("", 0)

"""The form: what is typed is checked at once, and said beside the field."""

from __future__ import annotations

import pytest

from ghost.commands.configure import fields
from ghost.config import MODES, OPTIONS, ClientConfig, ServerConfig
from ghost.ui.cells import plain
from ghost.ui.glyphs import UNICODE
from ghost.ui.options import OptionsDesk, paint_options


def desk_of(mode: str = "server", **values: str) -> OptionsDesk:
    return OptionsDesk(fields(MODES), {"mode": mode} | values, place="/etc/ghost.conf")


def go_to(desk: OptionsDesk, name: str) -> None:
    desk.row = [field.name for field in desk.fields].index(name)


def write(desk: OptionsDesk, name: str, text: str) -> None:
    go_to(desk, name)
    for key in ("enter", "clear", *text):
        desk.press(key)


def row_of(desk: OptionsDesk, name: str) -> str:
    return next(line for line in plain(paint_options(desk, 120, 40, UNICODE)) if f" {name} " in line)


@pytest.mark.parametrize(("mode", "names"), [("server", ServerConfig.OPTIONS), ("client", ClientConfig.OPTIONS)])
def test_each_mode_has_its_options_with_meaning_and_default(mode: str, names: tuple[str, ...]) -> None:
    shown = {field.name for field in desk_of(mode).fields}
    assert shown == {"mode", *names} - {"tui", "ascii"}
    for field in desk_of(mode).fields[1:]:
        assert field.meaning == OPTIONS[field.name].help
        assert field.effect.startswith("It counts")


@pytest.mark.parametrize(("mode", "own"), [("server", "listen"), ("client", "invite")])
def test_what_only_this_mode_has_comes_first(mode: str, own: str) -> None:
    assert [field.name for field in desk_of(mode).fields[:2]] == ["mode", own]
    assert fields((mode,))[0].name == own


def test_a_wrong_value_is_explained_beside_the_field_while_it_is_typed() -> None:
    desk = desk_of()
    write(desk, "listen", "0.0.0.0")
    assert "is no address to listen on: write for example 0.0.0.0:8000" in row_of(desk, "listen")
    for key in ":8000":
        desk.press(key)
    assert "is no" not in row_of(desk, "listen")


def test_letters_are_text_while_a_field_is_edited_and_escape_forgets_it() -> None:
    desk = desk_of()
    write(desk, "tun-name", "qs")
    assert desk.text(desk.field) == "qs"
    desk.press("escape")
    assert "tun-name" not in desk.values
    assert not desk.is_changed
    write(desk, "tun-name", "qs")
    desk.press("enter")
    assert desk.values["tun-name"] == "qs"
    assert desk.is_changed


def test_choices_and_switches_turn() -> None:
    desk = desk_of()
    go_to(desk, "no-nat")
    desk.press(" ")
    assert desk.values["no-nat"] == "true"
    desk.press("left")
    assert desk.values["no-nat"] == "false"
    go_to(desk, "log-level")
    desk.press("right")
    assert desk.values["log-level"] == "warning"  # the one after the default


def test_an_emptied_field_has_its_default_again() -> None:
    desk = desk_of(subnet="10.9.0.0/24")
    go_to(desk, "subnet")
    desk.press("delete")
    assert "subnet" not in desk.values
    assert "10.77.0.0/24" in row_of(desk, "subnet")


def test_another_mode_has_other_fields() -> None:
    desk = desk_of("client")
    assert "invite" in [field.name for field in desk.fields]
    desk.row = 0
    desk.press("right")
    assert "invite" not in [field.name for field in desk.fields]


@pytest.mark.parametrize("height", [13, 21, 37])
def test_the_chosen_field_is_always_in_sight(height: int) -> None:
    desk = desk_of()
    for field in desk.fields:
        lines = plain(paint_options(desk, 80, height, UNICODE))
        assert [len(line) for line in lines] == [80] * height
        assert any(line.startswith(f"│ ▸ {field.name}") for line in lines)
        desk.press("down")
    assert desk.row == 0

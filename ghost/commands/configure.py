"""`ghosttunnel configure`: the options of a server or client on a form, checked as they are typed, kept in a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ghost.commands.reload import report
from ghost.config import MODES, OPTIONS, ClientConfig, Option, Parser, ServerConfig, configured_items
from ghost.config_file import read, write
from ghost.errors import ConfigError, GhostError
from ghost.ui import terminal
from ghost.ui.model import Model
from ghost.ui.options import MODE, Field, OptionsDesk
from ghost.ui.screens import Context, OptionsScreen

HELP = "Fill in the options of a server or client on a form, and keep them in a file."

DEFAULT_FILE = "/etc/ghost.conf"

_NAMES = {"server": ServerConfig.OPTIONS, "client": ClientConfig.OPTIONS}
_DEVICES: dict[tuple[str, ...], str] = {("server",): "ghosts", ("client",): "ghostc"}
_AT_ONCE = ("log-level", "log-format", "max-rate")
_NEXT_CONNECTION = ("profile", "compression")
_ELSEWHERE = ("tui", "ascii")  # how somebody looks at it is no matter of the file


def configure(parser: Parser) -> None:
    # No option: a file that --config names has to exist already.
    parser.add_argument("file", nargs="?", metavar="FILE", help=f"the file to write (default: {DEFAULT_FILE})")
    parser.add_options("ascii")


def run(options: argparse.Namespace) -> int:
    terminal.require_terminal("write `key = value` lines into the file with an editor")
    path = Path(options.file or options.config or DEFAULT_FILE)
    desk = OptionsDesk(fields(MODES), {MODE: "client", **read_values(path)}, place=str(path))
    context = Context(Model(), _no_daemon, terminal.fitting_glyphs(is_ascii=options.ascii))
    context.model.on_silence("Nothing has to run for this: what is saved counts at the next start.")

    def keep(values: dict[str, str]) -> list[tuple[str, str]]:
        return [*save(path, values, reload=None), (f"Start it: sudo ghosttunnel --config {path}", "label")]

    terminal.Terminal([OptionsScreen(context, desk, keep)], context, None, is_over=lambda: False).run()
    if desk.is_changed:
        print(f"What was changed after the last s is not in {path}.")
    return 0


def fields(modes: tuple[str, ...]) -> tuple[Field, ...]:
    """The options of these modes, those of one mode alone first; with more than one to choose from, the mode itself."""
    made = []
    if len(modes) > 1:
        made.append(
            Field(MODE, "what to run", "a mode", "", modes, modes, "It counts at the next start.", _complaint_of(modes))
        )
    names = dict.fromkeys(name for mode in modes for name in _NAMES[mode] if name not in _ELSEWHERE)
    for name in sorted(names, key=lambda name: all(name in known for known in _NAMES.values())):
        made.append(_field(name, OPTIONS[name], tuple(mode for mode in modes if name in _NAMES[mode])))
    return tuple(made)


def read_values(path: Path) -> dict[str, str]:
    """The file's options as texts, nothing when there is no file. Raises ConfigError when it cannot be understood."""
    text = read(path)
    return {} if text is None else {key: str(value) for key, value in configured_items(text, str(path)).items()}


def save(path: Path, values: dict[str, str], *, reload: Callable[[], dict[str, Any]] | None) -> list[tuple[str, str]]:
    """Writes the file, lets a running daemon read it, and says what came of it. Raises GhostError when not written."""
    former = read(path) or ""
    wanted = {name: values.get(name) for name in [*configured_items(former, str(path)), *values]}
    write(path, former, wanted, check=lambda text: configured_items(text, str(path)))
    said = [("Saved.", "good")]  # where, stands above the form; a long path would push out what follows
    if reload is not None:
        try:
            said += [(f"{line[:1].upper()}{line[1:]}.", "label") for line in report(reload())]
        except GhostError as error:
            said.append((f"The daemon did not take it: {error}", "bad"))
    return said


def _field(name: str, option: Option, modes: tuple[str, ...]) -> Field:
    choices = option.choices or (("false", "true") if option.parse is None else ())
    effect = (
        "It counts at once."
        if name in _AT_ONCE
        else "It counts for connections that begin later."
        if name in _NEXT_CONNECTION
        else "It counts after a restart."
    )
    default = _DEVICES.get(modes, "ghosts or ghostc") if name == "tun-name" else option.default
    default = "false" if option.parse is None else default or ""
    complaint = _complaint_of(choices) if choices else _complaint_by(option.parse)
    return Field(name, option.help, option.metavar, default, choices, modes, effect, complaint)


def _complaint_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    return lambda text: "" if text in choices else f"is one of {', '.join(choices)}"


def _complaint_by(parse: Callable[[str], Any] | None) -> Callable[[str], str]:
    def complaint(text: str) -> str:
        try:
            if parse is not None:
                parse(text)
        except (argparse.ArgumentTypeError, ConfigError) as error:
            return str(error).removeprefix(f"'{text}' ")  # it stands beside the text
        return ""

    return complaint


def _no_daemon(request: dict[str, Any]) -> dict[str, Any]:
    raise GhostError("nothing is asked here")

"""`ghosttunnel top`: the dashboard of a running server or client, a process of its own."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from ghost.commands.configure import DEFAULT_FILE, fields, read_values, save
from ghost.config import Parser
from ghost.errors import ConfigError, GhostError
from ghost.runtime.asking import SOCKET_NAME, Conversation, Subscription
from ghost.ui import terminal
from ghost.ui.model import Model
from ghost.ui.options import OptionsDesk
from ghost.ui.screens import (
    ChaosScreen,
    Context,
    DashboardScreen,
    HelpScreen,
    LogScreen,
    OptionsScreen,
    PeersScreen,
)

HELP = "Watch and steer the server or client that runs on the state directory."


def configure(parser: Parser) -> None:
    parser.add_options("state-dir", "ascii")


def run(options: argparse.Namespace) -> int:
    show(Path(options.state_dir), is_ascii=options.ascii, is_over=lambda: False)
    return 0


def show(state_dir: Path, *, is_ascii: bool, is_over: Callable[[], bool]) -> None:
    """Until the user leaves. Raises NoDaemonError when nobody answers at the start; later it waits and asks on."""
    terminal.require_terminal("see `ghosttunnel status --watch`")
    conversation = Conversation(state_dir / SOCKET_NAME, timeout=2.0)
    status = conversation.demand({"request": "status"})["status"]
    model = Model()
    model.on_answer({"status": status}, time.monotonic())
    context = Context(model, conversation.demand, terminal.fitting_glyphs(is_ascii=is_ascii))
    source = Subscription(state_dir / SOCKET_NAME, {"request": "stats"})
    path = Path(status.get("config_file") or DEFAULT_FILE)

    def save_and_reload(values: dict[str, str]) -> list[tuple[str, str]]:
        return save(path, values, reload=lambda: conversation.demand({"request": "reload"}))

    desk = _options(path, status["role"])
    screens = [
        DashboardScreen(context),
        PeersScreen(context, qr_modules),
        ChaosScreen(context),
        LogScreen(context),
        OptionsScreen(context, desk, save_and_reload),
        HelpScreen(context),
    ]
    terminal.Terminal(screens, context, source, is_over=is_over).run()


def _options(path: Path, role: str) -> OptionsDesk:
    """The form; a file that this user may not read, or that is damaged, is said there and hinders nothing else."""
    try:
        return OptionsDesk(fields((role,)), read_values(path), place=str(path))
    except ConfigError as error:
        desk = OptionsDesk(fields((role,)), {}, place=str(path))
        desk.messages = [(str(error), "bad")]
        return desk


def qr_modules(text: str) -> list[list[bool]] | None:
    """The rows of a QR code, True is dark; None where the package for it is missing."""
    try:
        from ghost.commands.qr import modules
    except GhostError:
        return None
    return modules(text)

"""The screens: which keys do what on each of them, and what they ask the daemon.

A screen knows neither the terminal nor the socket: keys are words ("up", "enter", "q"), the daemon is a function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ghost.errors import GhostError
from ghost.ui import peers as peers_
from ghost.ui.cells import Line
from ghost.ui.chaos import ChaosDesk, paint_chaos
from ghost.ui.dashboard import paint_dashboard, rain_rows
from ghost.ui.editing import LineEditor
from ghost.ui.frame import Tab
from ghost.ui.glyphs import Glyphs
from ghost.ui.help import paint_help
from ghost.ui.logview import paint_log
from ghost.ui.model import Model
from ghost.ui.options import OptionsDesk, paint_options

Ask = Callable[[dict[str, Any]], dict[str, Any]]
"""One request to the daemon; GhostError when it refuses or does not answer."""
Save = Callable[[dict[str, str]], list[tuple[str, str]]]
"""Writes the options down; what to tell the user, or GhostError."""
QrCode = Callable[[str], "list[list[bool]] | None"]

_PAGE = 10
_LINES_KEPT = 500


@dataclass(slots=True)
class Context:
    """What all screens share."""

    model: Model
    ask: Ask
    glyphs: Glyphs
    rain_scale: int = 0


class Screen(ABC):
    """One of the dashboard's forms. `refresh` is called once a second while it is shown."""

    tab: Tab
    keys = ""

    def __init__(self, context: Context) -> None:
        self.context = context

    @property
    def takes_letters(self) -> bool:
        """While a text is typed, letters are not commands."""
        return False

    def rain_rows(self, height: int) -> int:
        return 0

    def refresh(self) -> None:  # noqa: B027 - most screens show the model and ask for nothing more
        pass

    def press(self, key: str) -> bool:
        """Whether the key meant something."""
        return False

    @abstractmethod
    def paint(self, width: int, height: int) -> list[Line]:
        """The form's body: `height` lines of `width` columns."""


class DashboardScreen(Screen):
    tab = Tab("d", "Dashboard")

    @property
    def keys(self) -> str:  # type: ignore[override]
        return ("arrows peer  " if len(self.context.model.peers) > 1 else "") + "r rain  q quit"

    def rain_rows(self, height: int) -> int:
        return rain_rows(height)

    def press(self, key: str) -> bool:
        if key in ("left", "right"):
            self.context.model.choose(-1 if key == "left" else 1)
        return key in ("left", "right")

    def paint(self, width: int, height: int) -> list[Line]:
        context = self.context
        return paint_dashboard(context.model, width, height, context.glyphs, rain_scale=context.rain_scale)


class PeersScreen(Screen):
    tab = Tab("p", "Peers")

    def __init__(self, context: Context, qr_code: QrCode) -> None:
        super().__init__(context)
        self._qr_code = qr_code
        self._known: list[dict[str, Any]] = []
        self._invites: list[dict[str, Any]] = []
        self._row = 0
        self._name: LineEditor | None = None
        self._doomed: dict[str, Any] | None = None
        self._invite: tuple[str, str] | None = None
        self._message: tuple[str, str] = ("", "label")

    @property
    def keys(self) -> str:  # type: ignore[override]
        if self._invite is not None:
            return "any key back"
        if self._name is not None:
            return "enter make  esc back"
        if self._doomed is not None:
            return "y revoke  any other key back"
        return "n invite  x revoke  q quit" if self.context.model.role == "server" else "q quit"

    @property
    def takes_letters(self) -> bool:
        return bool(self._name or self._doomed or self._invite)

    def refresh(self) -> None:
        if self.context.model.role == "server":
            try:
                answer = self.context.ask({"request": "peers"})
            except GhostError:  # the head of the screen says so
                return
            self._known, self._invites = answer["peers"], answer["invites"]

    def press(self, key: str) -> bool:
        if self._invite is not None:
            self._invite = None
        elif self._name is not None:
            self._type_name(self._name, key)
        elif self._doomed is not None:
            self._decide(self._doomed, key)
        elif key in ("up", "down"):
            self._row += 1 if key == "down" else -1
        elif self.context.model.role == "server" and key == "n":
            self._name = LineEditor()
        elif self.context.model.role == "server" and key == "x" and self._rows:
            self._doomed = self._rows[self._place]
        else:
            return False
        return True

    def paint(self, width: int, height: int) -> list[Line]:
        glyphs = self.context.glyphs
        if self._invite is not None:
            name, line = self._invite
            return peers_.paint_invite(line, name, self._qr_code(line), width, height, glyphs)
        message = self._message
        if self._name is not None:
            message = (f"Whom is the invite for? {self._name.text}_   enter makes it, esc does not", "bright")
        elif self._doomed is not None:
            message = (f"Shut {self._doomed['name']} out for ever? y revokes, any other key does not", "warn")
        return peers_.paint_peers(
            self._rows, self._invites, self._place, width, height, glyphs,
            role=self.context.model.role, message=message,
        )  # fmt: skip

    @property
    def _rows(self) -> list[dict[str, Any]]:
        return peers_.rows(self._known, self.context.model.peers)

    @property
    def _place(self) -> int:
        self._row = max(0, min(self._row, len(self._rows) - 1))
        return self._row

    def _type_name(self, name: LineEditor, key: str) -> None:
        if key == "enter":
            self._name = None
            try:
                answer = self.context.ask({"request": "invite", "name": name.text.strip() or "client"})
            except GhostError as error:
                self._message = (str(error), "bad")
                return
            self._invite = (answer["name"], answer["invite"])
            self._message = ("", "label")
        elif key == "escape":
            self._name = None
        else:
            name.press(key)

    def _decide(self, peer: dict[str, Any], key: str) -> None:
        self._doomed = None
        if key != "y":
            return
        try:
            answer = self.context.ask({"request": "revoke", "peer": peer["public_key"]})
        except GhostError as error:
            self._message = (str(error), "bad")
            return
        self._message = (f"{answer['revoked']} is no client any more.", "good")
        self.refresh()


class ChaosScreen(Screen):
    tab = Tab("c", "Chaos")
    keys = "arrows set  0 off  q quit"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._desk = ChaosDesk()
        self._is_asked = False
        self._in_force: str | None = None
        self._told: str | None = None

    def refresh(self) -> None:
        """What ended by itself, was put in force elsewhere or went with a restart is seen in the status."""
        told = (self.context.model.status or {}).get("chaos")
        if not self._is_asked:
            self._is_asked = True
            self._ask({"request": "chaos"})
        elif told not in (self._told, self._in_force):
            self._adopt(told)
        self._told = told

    def press(self, key: str) -> bool:
        if self._desk.press(key):
            self._ask({"request": "chaos", "link": self._desk.text})
            return True
        return key in ("up", "down", "left", "right")

    def paint(self, width: int, height: int) -> list[Line]:
        return paint_chaos(self._desk, width, height, self.context.glyphs)

    def _ask(self, request: dict[str, Any]) -> None:
        try:
            answer = self.context.ask(request)
        except GhostError as error:
            text = str(error)
            is_unknown = text.startswith("unknown request")
            self._adopt(self._in_force)
            self._desk.message = ("This daemon cannot do it: chaos is not supported." if is_unknown else text, "bad")
            return
        self._adopt(answer.get("link"))

    def _adopt(self, link: str | None) -> None:
        self._in_force = link
        self._desk.adopt(link)


class LogScreen(Screen):
    tab = Tab("l", "Log")
    keys = "up down  q quit"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._lines: list[dict[str, Any]] = []
        self._back = 0

    def refresh(self) -> None:
        since = self._lines[-1]["number"] if self._lines else 0
        try:
            answer = self.context.ask({"request": "log", "since": since})
            if answer["last"] < since:  # another daemon, which counts anew
                self._lines = []
                answer = self.context.ask({"request": "log"})
        except GhostError:  # the head of the screen says so
            return
        self._lines = (self._lines + answer["lines"])[-_LINES_KEPT:]
        if self._back:  # what is read stays where it is
            self._back += len(answer["lines"])

    def press(self, key: str) -> bool:
        steps = {"up": 1, "down": -1, "pageup": _PAGE, "pagedown": -_PAGE, "home": _LINES_KEPT, "end": -_LINES_KEPT}
        if key in steps:
            self._back = max(0, min(self._back + steps[key], len(self._lines) - 1))
        return key in steps

    def paint(self, width: int, height: int) -> list[Line]:
        return paint_log(self._lines, self._back, width, height, self.context.glyphs)


class OptionsScreen(Screen):
    tab = Tab("o", "Options")

    @property
    def keys(self) -> str:  # type: ignore[override]
        return "enter take  esc back" if self.takes_letters else "enter edit  s save  q quit"

    def __init__(self, context: Context, desk: OptionsDesk, save: Save) -> None:
        super().__init__(context)
        self.desk = desk
        self._save = save

    @property
    def takes_letters(self) -> bool:
        return self.desk.editor is not None

    def press(self, key: str) -> bool:
        if not self.takes_letters and key == "s":
            self._write()
            return True
        return self.desk.press(key)

    def paint(self, width: int, height: int) -> list[Line]:
        return paint_options(self.desk, width, height, self.context.glyphs)

    def _write(self) -> None:
        desk = self.desk
        if desk.wrong:
            desk.row = desk.fields.index(desk.wrong[0])
            desk.messages = [(f"Not saved: {desk.wrong[0].name} {desk.complaint(desk.wrong[0])}", "bad")]
            return
        known = {field.name for field in desk.fields}
        try:
            desk.on_saved(self._save({name: text for name, text in desk.values.items() if name in known}))
        except GhostError as error:
            desk.messages = [(f"Not saved: {error}", "bad")]


class HelpScreen(Screen):
    tab = Tab("h", "Help")
    keys = "q quit"

    def paint(self, width: int, height: int) -> list[Line]:
        return paint_help(width, height, self.context.glyphs)

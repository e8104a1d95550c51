"""What the screens ask the daemon, and what they make of its answers, without a terminal."""

from __future__ import annotations

from typing import Any

from ghost.errors import NoDaemonError
from ghost.ui.cells import plain
from ghost.ui.glyphs import UNICODE
from ghost.ui.model import Model
from ghost.ui.screens import ChaosScreen, Context, PeersScreen

from .fake_daemon import status


class Daemon:
    """Has a link in force, and may be gone."""

    def __init__(self) -> None:
        self.link: str | None = None
        self.is_here = True
        self.model = Model()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if not self.is_here:
            raise NoDaemonError("no ghosttunnel runs")
        if "link" in request:
            self.link = None if request["link"] == "off" else request["link"]
        return {"link": self.link}

    def tell(self) -> None:
        """A second passes."""
        told = status("client") | ({"chaos": self.link} if self.link else {})
        self.model.on_answer({"status": told}, 0.0)


def shown(screen: ChaosScreen) -> str:
    return plain(screen.paint(80, 21))[0]


def screen_on(daemon: Daemon) -> ChaosScreen:
    daemon.tell()
    screen = ChaosScreen(Context(daemon.model, daemon.ask, UNICODE))
    screen.refresh()
    return screen


def test_the_keys_below_are_those_that_work_now() -> None:
    model = Model()
    model.on_answer({"status": status("server")}, 0.0)
    screen = PeersScreen(
        Context(model, lambda request: {"name": "a", "invite": "ghost://x"}, UNICODE), lambda text: None
    )
    told = [screen.keys]
    for key in ("n", "a", "enter", "q", "x", "z"):
        screen.press(key)
        told.append(screen.keys)
    usual = "n invite  x revoke  q quit"
    naming, shown, asking = "enter make  esc back", "any key back", "y revoke  any other key back"
    assert told == [usual, naming, naming, shown, usual, asking, usual]


def test_a_link_that_ends_by_itself_or_is_changed_elsewhere_is_seen() -> None:
    daemon = Daemon()
    screen = screen_on(daemon)
    for link, text in (("hostile-30", "hostile-30"), ("loss=5%", "loss=5%"), (None, " off ")):
        daemon.link = link
        daemon.tell()
        screen.refresh()
        assert text in shown(screen)


def test_a_status_from_before_a_key_does_not_take_the_key_back() -> None:
    daemon = Daemon()
    screen = screen_on(daemon)
    screen.press("right")
    screen.refresh()  # the status knows nothing yet
    assert " clean " in shown(screen)
    daemon.tell()
    screen.refresh()
    screen.press("right")
    screen.refresh()
    assert " satellite " in shown(screen)


def test_what_could_not_be_put_in_force_is_not_shown_as_if_it_were() -> None:
    daemon = Daemon()
    screen = screen_on(daemon)
    screen.press("right")
    daemon.is_here = False
    screen.press("right")
    assert " clean " in shown(screen)
    assert any("no ghosttunnel runs" in line for line in plain(screen.paint(80, 21)))

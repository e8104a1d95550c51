"""The terminal: npyscreen's forms around our screens, keys, colours, sizes. No other file knows npyscreen or curses.

Each screen is a form with one widget, a pane that draws painted lines. A turn waits for a key, the daemon's next line
or the time of the next picture, whichever is first; between two answers only the rows change in which it rains.
"""

from __future__ import annotations

import contextlib
import curses
import locale
import os
import random
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import npyscreen

from ghost.errors import GhostError, HostError
from ghost.ui.cells import Grid, Line
from ghost.ui.frame import FOOT, HEAD, SMALLEST, paint_frame, paint_small
from ghost.ui.glyphs import ASCII, UNICODE, Glyphs
from ghost.ui.rain import Rain
from ghost.ui.screens import Context, Screen

FRAME = 0.2
"""Seconds between two pictures of the rain: five a second fall smoothly enough and cost little."""
_LONGEST_WAIT = 1.0
_ESCAPE_DELAY_MS = 25  # a lone escape key is one after that; ssh delivers sequences in one piece
_MOST_HOLLOW = 100
"""Times that input may be announced and not come: an escape sequence does so a few times, a terminal that is gone for
ever."""
_BLACK = 16

# Style: colour of 256, colour of 8, attributes, background of 256 or None for black.
_STYLES: dict[str, tuple[int, int, int, int | None]] = {
    "plain": (250, curses.COLOR_WHITE, 0, None),
    "dim": (242, curses.COLOR_WHITE, curses.A_DIM, None),
    "label": (71, curses.COLOR_GREEN, 0, None),
    "value": (157, curses.COLOR_WHITE, 0, None),
    "bright": (231, curses.COLOR_WHITE, curses.A_BOLD, None),
    "good": (46, curses.COLOR_GREEN, curses.A_BOLD, None),
    "warn": (214, curses.COLOR_YELLOW, curses.A_BOLD, None),
    "bad": (203, curses.COLOR_RED, curses.A_BOLD, None),
    "title": (_BLACK, curses.COLOR_GREEN, curses.A_REVERSE, 34),
    "key": (_BLACK, curses.COLOR_GREEN, curses.A_REVERSE, 71),
    "chaos": (_BLACK, curses.COLOR_YELLOW, curses.A_REVERSE, 214),
    "shown": (46, curses.COLOR_GREEN, curses.A_BOLD | curses.A_UNDERLINE, None),
    "chosen": (_BLACK, curses.COLOR_GREEN, curses.A_REVERSE, 40),
    "field": (231, curses.COLOR_WHITE, curses.A_UNDERLINE, 22),
    "cursor": (_BLACK, curses.COLOR_WHITE, curses.A_REVERSE, 231),
    "changed": (214, curses.COLOR_YELLOW, curses.A_BOLD, None),
    "frame": (28, curses.COLOR_GREEN, curses.A_DIM, None),
    "graph": (40, curses.COLOR_GREEN, curses.A_BOLD, None),
    "price": (22, curses.COLOR_GREEN, curses.A_DIM, None),
    "trend": (40, curses.COLOR_GREEN, 0, None),
    "head": (231, curses.COLOR_WHITE, curses.A_BOLD, None),
    "rain1": (46, curses.COLOR_GREEN, curses.A_BOLD, None),
    "rain2": (34, curses.COLOR_GREEN, 0, None),
    "rain3": (22, curses.COLOR_GREEN, curses.A_DIM, None),
    "mend1": (51, curses.COLOR_CYAN, curses.A_BOLD, None),
    "mend2": (38, curses.COLOR_CYAN, 0, None),
    "mend3": (24, curses.COLOR_BLUE, 0, None),
    "lost": (160, curses.COLOR_RED, 0, None),
    "qr": (231, curses.COLOR_WHITE, curses.A_BOLD, None),
}
_FIRST_PAIR = 30  # npyscreen's themes take the pairs below

_KEYS = {
    curses.KEY_UP: "up", curses.KEY_DOWN: "down", curses.KEY_LEFT: "left", curses.KEY_RIGHT: "right",
    curses.KEY_HOME: "home", curses.KEY_END: "end", curses.KEY_PPAGE: "pageup", curses.KEY_NPAGE: "pagedown",
    curses.KEY_DC: "delete", curses.KEY_BACKSPACE: "backspace", curses.KEY_ENTER: "enter", curses.KEY_BTAB: "up",
    "\n": "enter", "\r": "enter", "\x7f": "backspace", "\b": "backspace", "\x1b": "escape", "\t": "tab",
    "\x15": "clear", "\x0c": "redraw", "\x03": "interrupt",
}  # fmt: skip


class Source(Protocol):
    """Where the daemon's lines come from (runtime.asking.Subscription)."""

    def fileno(self) -> int | None: ...

    def poll(self) -> list[dict[str, Any]]: ...


def require_terminal(instead: str) -> None:
    """Raises HostError, with what to do instead, where no screen can be drawn."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise HostError(f"standard input and output are no terminal: {instead}")
    for name in ("LINES", "COLUMNS"):  # curses believes them more than the terminal, and would leave one that is larger
        os.environ.pop(name, None)  # with its lower rows unable to scroll
    try:
        curses.setupterm()
    except curses.error:
        kind = os.environ.get("TERM") or "none"
        raise HostError(
            f"unknown type of terminal, TERM={kind}: set TERM, for example to xterm, or {instead}"
        ) from None
    if curses.tigetstr("cup") is None:
        raise HostError(f"a terminal of type {os.environ.get('TERM')} has no screen to draw on: {instead}")


def fitting_glyphs(*, is_ascii: bool) -> Glyphs:
    """Unicode where the locale has it and the terminal is likely to have the characters."""
    try:
        locale.setlocale(locale.LC_ALL, "")
    except locale.Error:  # such as one that ssh brought along and this machine lacks; npyscreen would fail over it
        os.environ["LC_ALL"] = "C.UTF-8"
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, "")
    has_unicode = locale.nl_langinfo(locale.CODESET).upper() == "UTF-8"
    is_plain = os.environ.get("TERM", "").startswith(("linux", "vt"))  # consoles with 256 or 512 characters
    return ASCII if is_ascii or not has_unicode or is_plain else UNICODE


class Terminal(npyscreen.NPSAppManaged):
    """Shows the screens, the first one first, until the user leaves or `is_over` says that there is nothing to show."""

    def __init__(
        self, screens: list[Screen], context: Context, source: Source | None, *, is_over: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.screens = {screen.tab.name: screen for screen in screens}
        self.tabs = tuple(screen.tab for screen in screens) if len(screens) > 1 else ()
        self.context = context
        self.NEXT_ACTIVE_FORM = screens[0].tab.name
        self.rain = Rain(random.Random())
        self.is_rainy = source is not None
        self.attributes: dict[str, int] = {}
        self.typed: deque[str] = deque()
        self._hollow = 0
        self._source = source
        self._is_over = is_over
        self._poll_at = 0.0
        self._stepped_at = time.monotonic()
        self._wakeup = os.pipe()

    def run(self) -> None:  # type: ignore[override]
        """Until the user leaves; the terminal is left as it was."""
        os.environ.setdefault("ESCDELAY", str(_ESCAPE_DELAY_MS))
        for end in self._wakeup:
            os.set_blocking(end, False)
        former = signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        handlers = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._on_end),
            signal.SIGHUP: signal.signal(signal.SIGHUP, self._on_end),
        }
        try:
            with contextlib.suppress(KeyboardInterrupt):
                super().run(fork=False)
        finally:
            signal.set_wakeup_fd(former)
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def onStart(self) -> None:
        curses.mousemask(0)  # npyscreen takes the mouse, and with it the terminal's own selection
        # After curses installed its own: the wake-up pipe is written to for handled signals only.
        signal.signal(signal.SIGWINCH, lambda *_: None)
        self._define_colours()
        for name, screen in self.screens.items():
            self.registerForm(name, _Form(screen=screen, parentApp=self, minimum_lines=1, minimum_columns=1))

    # ---- what a pane asks -----------------------------------------------------------------------------------------

    def wait(self) -> bool:
        """Until a key, an answer, a signal or the next picture; True when there may be more to paint than rain."""
        is_raining = self.is_rainy and self.rain.is_falling
        files = [sys.stdin.fileno(), self._wakeup[0]]
        source = self._source.fileno() if self._source else None
        if source is not None:
            files.append(source)
        readable, _, _ = select.select(files, [], [], FRAME if is_raining else _LONGEST_WAIT)
        self._hollow += files[0] in readable
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup[0], 64)
        now = time.monotonic()
        self.rain.step(now - self._stepped_at)
        self._stepped_at = now
        has_news = source in readable or now >= self._poll_at
        if has_news:
            self._poll_at = now + _LONGEST_WAIT
            self._listen(now)
        if self._is_over() or self._hollow > _MOST_HOLLOW:
            self.leave()
        return has_news or not is_raining

    def take(self, keys: list[str]) -> None:
        """Keeps what was typed until a screen has use for it."""
        if keys:
            self._hollow = 0
            self.typed.extend(keys)

    def on_key(self, key: str) -> None:
        screen = self.screens[self.ACTIVE_FORM_NAME]
        if key == "interrupt":
            self.leave()
        elif screen.takes_letters:
            screen.press(key)
        elif screen.press(key):
            pass
        elif key == "q":
            self.leave()
        elif key == "r" and self._source is not None:
            self.is_rainy = not self.is_rainy
        else:
            self._go(key)

    def leave(self) -> None:
        self.setNextForm(None)
        self.switchFormNow()

    def _go(self, key: str) -> None:
        wanted = "h" if key == "?" else key
        for tab in self.tabs:
            if tab.key == wanted and tab.name != self.ACTIVE_FORM_NAME:
                self.screens[tab.name].refresh()
                self.switchForm(tab.name)

    def _listen(self, now: float) -> None:
        if self._source is None:
            return
        model = self.context.model
        try:
            for answer in self._source.poll():
                received, sent = model.on_answer(answer, now)
                peer = model.peer or {}
                spare = peer.get("redundancy", 0.0)
                self.rain.pour(received=received, sent=sent, lost=peer.get("loss", 0.0), mended=spare / (1 + spare))
                self.screens[self.ACTIVE_FORM_NAME].refresh()
        except GhostError as error:
            model.on_silence(str(error))
        self.context.rain_scale = self.rain.scale if self.is_rainy else 0

    def _on_end(self, *_: object) -> None:
        self.leave()

    def _define_colours(self) -> None:
        has_colours = curses.has_colors() and not os.environ.get("NO_COLOR")
        if not has_colours:
            npyscreen.disableColor()
            with contextlib.suppress(curses.error):  # which also forgets the white on black of start_color
                curses.use_default_colors()
        many = has_colours and curses.COLORS >= 256
        for number, (style, (colour, simple, attributes, background)) in enumerate(_STYLES.items(), start=_FIRST_PAIR):
            if not has_colours or number >= curses.COLOR_PAIRS:
                self.attributes[style] = attributes
                continue
            if many:
                curses.init_pair(number, colour, _BLACK if background is None else background)
                attributes &= curses.A_BOLD | curses.A_UNDERLINE
            else:
                curses.init_pair(number, simple, curses.COLOR_BLACK)
            self.attributes[style] = curses.color_pair(number) | attributes


class _Form(npyscreen.FormBaseNew):
    """A form as large as the terminal, whatever its size, for one pane."""

    FRAMED = False
    FIX_MINIMUM_SIZE_WHEN_CREATED = False
    BLANK_LINES_BASE = BLANK_COLUMNS_RIGHT = 0
    DEFAULT_NEXTRELY = DEFAULT_X_OFFSET = 0

    def __init__(self, screen: Screen, **keywords: Any) -> None:
        self.screen = screen
        super().__init__(**keywords)

    def create(self) -> None:
        self.pane = self.add(_Pane)

    def display(self, clear: bool = False) -> None:
        for pane in self._widgets__:
            pane.update()
        self.refresh()

    def DISPLAY(self) -> None:
        self.curses_pad.redrawwin()
        for pane in self._widgets__:
            pane.repaint()
        self.display()

    def _create_screen(self) -> None:
        """A pad with a row and a column to spare: curses cannot write into a window's last corner."""
        rows, columns = self._max_physical()
        if curses.is_term_resized(rows + 1, columns + 1):  # since curses looked
            curses.resizeterm(rows + 1, columns + 1)
        self.lines, self.columns = rows + 2, columns + 2
        self.curses_pad = curses.newpad(self.lines, self.columns)
        self.max_y, self.max_x = self.lines, self.columns

    def _max_physical(self) -> tuple[int, int]:
        """The last row and column; npyscreen asks standard error, which may be a file."""
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
        return max(1, rows) - 1, max(1, columns) - 1


class _Pane(npyscreen.wgwidget.Widget):
    """Draws the lines that its form's screen paints, and gives it the keys."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self._base: Grid | None = None
        self._drawn: list[Line] = []
        super().__init__(*arguments, **keywords)

    def repaint(self) -> None:
        """The next update draws everything."""
        self._base, self._drawn = None, []

    def update(self, clear: bool = True) -> None:
        app, screen = self.parent.parentApp, self.parent.screen
        rows, columns = (last + 1 for last in self.parent._max_physical())
        height = rows - HEAD - FOOT
        is_small = columns < SMALLEST[0] or rows < SMALLEST[1]
        wet = 0 if is_small else screen.rain_rows(height)
        if self._base is None:
            now = time.monotonic()
            if is_small:
                lines = paint_small(app.context.model, columns, rows, now)
            else:
                body = screen.paint(columns, height)
                lines = paint_frame(
                    app.context.model, body, columns, rows, tabs=() if screen.takes_letters else app.tabs,
                    shown=screen.tab.name, keys=screen.keys, glyphs=app.context.glyphs, now=now,
                )  # fmt: skip
            self._base = Grid.of(lines)
            self._draw(lines, 0)
        if wet and app.is_rainy:
            app.rain.resize(columns, wet, app.context.glyphs)
            picture = self._base.copy()
            app.rain.paint(picture, 0, HEAD)
            self._draw([picture.line(HEAD + row) for row in range(wet)], HEAD)

    def _edit_loop(self) -> None:
        self.parent.editing = True
        self.repaint()
        while self.editing and self.parent.editing:
            self.display()
            self._turn()

    def _turn(self) -> None:
        app = self.parent.parentApp
        if not app.typed and app.wait():
            self._base = None
        rows, columns = self.parent._max_physical()
        if (self.parent.lines, self.parent.columns) != (rows + 2, columns + 2):
            self.parent._resize()
        app.take(self._keys())
        while app.typed and self.editing:  # what was typed after a change of the screen is for the next one
            key = app.typed.popleft()
            self._base = None
            if key == "redraw":
                curses.doupdate()
                self.parent.DISPLAY()
            elif key:
                app.on_key(key)

    def _keys(self) -> list[str]:
        """What was typed since the last time, as words; "" for a key that has none."""
        pad = self.parent.curses_pad
        pad.keypad(True)
        pad.nodelay(True)
        keys = []
        with contextlib.suppress(curses.error):
            while True:
                key = pad.get_wch()
                keys.append(_KEYS.get(key, key if isinstance(key, str) and key.isprintable() else ""))
        return keys

    def _draw(self, lines: list[Line], first: int) -> None:
        """Rows that are not yet on the screen as they should be."""
        pad, attributes = self.parent.curses_pad, self.parent.parentApp.attributes
        is_ascii = not self.parent.parentApp.context.glyphs.has_braille
        if len(self._drawn) < first + len(lines):
            self._drawn += [()] * (first + len(lines) - len(self._drawn))
        for row, line in enumerate(lines, start=first):
            if self._drawn[row] == line:
                continue
            self._drawn[row] = line
            pad.move(row, 0)
            for text, style in line:
                shown = text.encode("ascii", "replace").decode() if is_ascii else text
                pad.addstr(shown, attributes.get(style, 0))

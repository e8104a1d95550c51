"""Make the pictures of the README: the dashboard while a download crosses a bad link whose loss rises and falls.

    sudo .venv/bin/python packaging/pictures.py [FOLDER]

Wants root, /dev/net/tun and tmux; everything happens in two network namespaces of its own. Each screen is captured from
tmux with its colours and written as text and as SVG, in which every character is drawn at its place: lines, blocks and
braille as shapes, so that no font can tear them, and the katakana of the rain by strokes that only resemble them.
"""

from __future__ import annotations

import html
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from ghost.commands.demo_stage import INNER_SERVER, Download, Interruption, start_tunnel
from ghost.runtime.namespaces import NamespacePair, Side

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = (sys.executable, str(ROOT / "ghosttunnel.py"))
LINK = "rate=10mbit,delay=50ms±5ms,loss={loss}%"
STORY = ((12, 2), (12, 30), (10, 50), (12, 20), (60, 30))
"""Seconds, and the loss in per cent meanwhile."""
PICTURES: tuple[tuple[str, Side, int, int, tuple[str, ...]], ...] = (
    ("dashboard-80x24", "a", 80, 24, ("d",)),
    ("dashboard-120x40", "a", 120, 40, ("d",)),
    ("peers-80x24", "b", 80, 24, ("p",)),
    ("invite-120x40", "b", 120, 40, ("p", "n", "p", "h", "o", "n", "e", "Enter")),
    (
        "chaos-80x24",
        "a",
        80,
        24,
        ("c", "Down", "Right", "Right", "Right", "Down", "Down", "Right", "Right", "Down", "Right"),
    ),
    ("options-80x24", "b", 80, 24, ("o", *["Down"] * 7, "Enter", "9", "5", "8", "x")),
    ("log-80x24", "b", 80, 24, ("l",)),
)
"""Name, side whose dashboard it is, size, keys to be pressed before."""

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 9.0, 19.0, 15.0
BACKGROUND = "#050805"
_BASIC = ("#000000", "#cd3131", "#0dbc79", "#e5e510", "#2472c8", "#bc3fbc", "#11a8cd", "#e5e5e5")
_SEQUENCE = re.compile("\x1b\\[([0-9;:]*)m|\x0e|\x0f")
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_DOTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))  # column and row of each bit of braille


@dataclass(frozen=True, slots=True)
class Look:
    colour: str = "#bcbcbc"
    ground: str = BACKGROUND
    is_bold: bool = False
    is_dim: bool = False
    is_reverse: bool = False

    @property
    def ink(self) -> str:
        return self.ground if self.is_reverse else self.colour

    @property
    def paper(self) -> str:
        return self.colour if self.is_reverse else self.ground


class Window:
    """tmux with one window, in which a command runs."""

    def __init__(self, folder: Path, command: list[str], *, width: int, height: int) -> None:
        self._socket = folder / f"tmux-{width}-{height}-{time.monotonic_ns()}"
        line = "TERM=screen-256color LC_ALL=C.UTF-8 " + shlex.join(command)
        self._run("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), line)

    def press(self, key: str) -> None:
        self._run("send-keys", key)

    def capture(self, *options: str) -> str:
        return self._run("capture-pane", "-p", *options)

    def close(self) -> None:
        self._run("kill-server")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-S", self._socket, *arguments], capture_output=True, text=True, timeout=10)
        return done.stdout


def colour_of(number: int) -> str:
    """One of a terminal's 256 colours."""
    if number < 8:
        return _BASIC[number]
    if number < 16:
        return ("#666666", "#f14c4c", "#23d18b", "#f5f543", "#3b8eea", "#d670d6", "#29b8db", "#ffffff")[number - 8]
    if number < 232:
        levels = (0, 95, 135, 175, 215, 255)
        place = number - 16
        red, green, blue = levels[place // 36], levels[place // 6 % 6], levels[place % 6]
        return BACKGROUND if place == 0 else f"#{red:02x}{green:02x}{blue:02x}"
    grey = 8 + 10 * (number - 232)
    return f"#{grey:02x}{grey:02x}{grey:02x}"


def styled(capture: str) -> Iterator[tuple[str, Look]]:
    """The characters of a captured screen, ends of lines among them, and how each looks."""
    look, at = Look(), 0
    for match in [*_SEQUENCE.finditer(capture), None]:
        for character in capture[at : match.start() if match else len(capture)]:
            yield character, look
        if match is not None:
            at = match.end()
            look = _applied(look, match[1] or "0")


def _applied(look: Look, codes: str) -> Look:
    numbers = [int(code or 0) for code in codes.replace(":", ";").split(";")]
    while numbers:
        code = numbers.pop(0)
        if code == 0:
            look = Look()
        elif code in (1, 2, 7):
            look = replace(
                look,
                is_bold=look.is_bold or code == 1,
                is_dim=look.is_dim or code == 2,
                is_reverse=look.is_reverse or code == 7,
            )
        elif code in (38, 48) and len(numbers) >= 2 and numbers[0] == 5:
            colour = colour_of(numbers[1])
            look = replace(look, colour=colour) if code == 38 else replace(look, ground=colour)
            numbers = numbers[2:]
        elif 30 <= code <= 37:
            look = replace(look, colour=_BASIC[code - 30])
        elif code == 39:
            look = replace(look, colour=Look().colour)
        elif code == 49:
            look = replace(look, ground=BACKGROUND)
    return look


def svg(capture: str, width: int, height: int) -> str:
    """The picture of a captured screen."""
    across, down = width * CELL_WIDTH, height * CELL_HEIGHT
    grounds, shapes, texts = [], [], []
    row = column = 0
    for character, look in styled(capture):
        if character == "\n":
            row, column = row + 1, 0
            continue
        x, y = column * CELL_WIDTH, row * CELL_HEIGHT
        column += 1
        if look.paper != BACKGROUND:
            grounds.append(_box(x, y, CELL_WIDTH + 0.5, CELL_HEIGHT + 0.5, look.paper))
        if character == " ":
            continue
        drawn = _shape(character, x, y, look.ink)
        if drawn:
            shapes.append(drawn)
        else:
            weight = ' font-weight="bold"' if look.is_bold else ""
            place = f'x="{x + CELL_WIDTH / 2:g}" y="{y + 14.5:g}"'
            texts.append(f'<text {place} fill="{look.ink}"{weight}>{html.escape(character)}</text>')
    border = 10
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-border} {-border} {across + 2 * border:g} '
        f'{down + 2 * border:g}" font-family="DejaVu Sans Mono, Menlo, Consolas, Noto Sans Mono CJK JP, monospace" '
        f'font-size="{FONT_SIZE:g}" text-anchor="middle">',
        f'<rect x="{-border}" y="{-border}" width="{across + 2 * border:g}" height="{down + 2 * border:g}" rx="8" '
        f'fill="{BACKGROUND}"/>',
        *grounds, *shapes, *texts, "</svg>", "",
    ])  # fmt: skip


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{colour}"/>'


def _shape(character: str, x: float, y: float, colour: str) -> str:
    """What a font would draw with gaps; "" for everything else."""
    wide, high = CELL_WIDTH, CELL_HEIGHT
    middle, centre = x + wide / 2, y + high / 2
    if character in _EIGHTHS:
        tall = high * _EIGHTHS.index(character) / 8
        return _box(x, y + high - tall, wide + 0.3, tall, colour)
    if character == "▀":
        return _box(x, y, wide + 0.3, high / 2, colour)
    if 0x2800 <= ord(character) <= 0x28FF:
        return "".join(
            f'<circle cx="{x + wide * (0.27 + 0.46 * column):g}" cy="{y + high * (0.125 + 0.25 * row):g}" r="1.7" '
            f'fill="{colour}"/>'
            for bit, (column, row) in enumerate(_DOTS)
            if ord(character) >> bit & 1
        )
    if 0xFF66 <= ord(character) <= 0xFF9D:
        # Half-width katakana: few fonts have them, so some strokes stand for each, the same whenever it comes.
        chance = Random(character)
        strokes = "".join(
            f"M{x + wide * chance.uniform(0.15, 0.85):.1f} {y + high * chance.uniform(0.2, 0.45):.1f}"
            f"L{x + wide * chance.uniform(0.15, 0.85):.1f} {y + high * chance.uniform(0.45, 0.8):.1f}"
            f"h{wide * chance.choice((-0.3, 0, 0.3)):.1f}"
            for _ in range(3)
        )
        return f'<path d="{strokes}" stroke="{colour}" stroke-width="1.1" fill="none"/>'
    paths = {
        "─": f"M{x:g} {centre:g}h{wide:g}",
        "│": f"M{middle:g} {y:g}v{high:g}",
        "╭": f"M{middle:g} {y + high:g}V{centre + 4:g}Q{middle:g} {centre:g} {x + wide:g} {centre:g}",
        "╮": f"M{middle:g} {y + high:g}V{centre + 4:g}Q{middle:g} {centre:g} {x:g} {centre:g}",
        "╯": f"M{middle:g} {y:g}V{centre - 4:g}Q{middle:g} {centre:g} {x:g} {centre:g}",
        "╰": f"M{middle:g} {y:g}V{centre - 4:g}Q{middle:g} {centre:g} {x + wide:g} {centre:g}",
    }
    path = paths.get(character)
    return f'<path d="{path}" stroke="{colour}" stroke-width="1.3" fill="none"/>' if path else ""


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "pictures")
    folder.mkdir(exist_ok=True)
    sys.argv[0] = PROGRAM[1]  # the program that entry_command() starts again
    stop = Interruption()
    with tempfile.TemporaryDirectory() as name, NamespacePair("pictures") as pair:
        state = Path(name)
        link = pair.impaired(LINK.format(loss=STORY[0][1]))
        start_tunnel(pair, stop, state)
        download = Download(pair, INNER_SERVER, seconds=sum(seconds for seconds, _ in STORY) + 30, seed=1)
        reports = download.reports(stop)
        for seconds, loss in STORY[:-1]:
            link.change("both", LINK.format(loss=loss))
            print(f"pictures: {loss} % loss for {seconds} s", flush=True)
            for _ in range(seconds):
                next(reports)
        link.change("both", LINK.format(loss=STORY[-1][1]))
        for picture in PICTURES:
            _take(pair, state, folder, *picture)
            stop.check()
        download.close()


def _take(
    pair: NamespacePair,
    state: Path,
    folder: Path,
    name: str,
    side: Side,
    width: int,
    height: int,
    keys: tuple[str, ...],
) -> None:
    where = state / ("client" if side == "a" else "server")
    command = ["ip", "netns", "exec", pair.namespaces[side], *PROGRAM, "top", "--state-dir", str(where)]
    window = Window(state, command, width=width, height=height)
    try:
        time.sleep(5)
        for key in keys:
            window.press(key)
            time.sleep(0.3)
        time.sleep(1.2)
        (folder / f"{name}.txt").write_text(window.capture(), encoding="utf-8")
        (folder / f"{name}.svg").write_text(svg(window.capture("-e", "-N"), width, height), encoding="utf-8")
        print(f"pictures: {folder / name}.svg", flush=True)
    finally:
        window.close()


if __name__ == "__main__":
    main()

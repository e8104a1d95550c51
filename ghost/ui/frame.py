"""What all screens share: the title, the sentence below it, the keys at the bottom, panels, dialogs."""

from __future__ import annotations

from dataclasses import dataclass

from ghost import units
from ghost.chaos.profiles import known_as
from ghost.ui.cells import Grid, Line, fitted, shortened, wrapped
from ghost.ui.glyphs import Glyphs
from ghost.ui.model import Model

HEAD = 2
FOOT = 1
SMALLEST = (60, 16)


@dataclass(frozen=True, slots=True)
class Tab:
    key: str
    name: str


def paint_frame(
    model: Model, body: list[Line], width: int, height: int, *, tabs: tuple[Tab, ...], shown: str, keys: str,
    glyphs: Glyphs, now: float,
) -> list[Line]:  # fmt: skip
    """The whole screen: head, `body`, in the last row the screens' keys, then as many of this screen's as fit, with the
    last of them, which leaves, before the others."""
    grid = Grid(width, height)
    _head(grid, model, glyphs, now)
    grid.paste(0, HEAD, body[: height - HEAD - FOOT])
    words = keys.split("  ")
    wide = sum(4 + len(tab.name) for tab in tabs)
    step = 4 if wide + len(keys) <= width else 3  # closer together where all would not fit
    x = 0
    for tab in tabs:
        is_shown = tab.name == shown
        grid.put(x, height - 1, f" {tab.key} ", "key")
        grid.put(x + 3, height - 1, tab.name + " " * (step - 3), "shown" if is_shown else "label")
        x += step + len(tab.name)
    while words and len("  ".join(words)) + 1 > width - x:
        del words[-2 if len(words) > 1 else -1]
    grid.put_right(width, height - 1, "  ".join(words), "dim")
    return grid.lines()


def _head(grid: Grid, model: Model, glyphs: Glyphs, now: float) -> None:
    grid.put(0, 0, fitted(" GHOSTTUNNEL", grid.width), "title")
    status = model.status
    if status is not None:
        place = "  ".join(str(part) for part in (status["role"], status.get("device"), status["inner_address"]) if part)
        age = f"up {units.duration(status['uptime_s'])}"
        grid.put(14, 0, place, "title")
        grid.put_right(grid.width - 1, 0, age, "title")
        chaos = f"chaos: {known_as(status['chaos'])}" if status.get("chaos") else ""
        room = grid.width - len(place) - len(age) - 20
        if chaos and room > 0:  # made on purpose: nobody should look for the fault elsewhere
            grid.put(16 + len(place), 0, f" {fitted(chaos, min(room, len(chaos)))} ", "chaos")
    text, style = model.sentence(now)
    grid.put(1, 1, glyphs.bullet, style)
    grid.put(3, 1, shortened(text, grid.width - 4), style)


def panel(
    grid: Grid, x: int, y: int, width: int, height: int, title: str, *, glyphs: Glyphs, note: str = "",
    style: str = "value",
) -> None:  # fmt: skip
    """A frame with a title in its upper left and a note in its upper right corner; what is inside stays."""
    first, second, third, fourth = tuple(glyphs.corners)
    line = glyphs.horizontal * (width - 2)
    grid.put(x, y, first + line + second, "frame")
    for row in range(y + 1, y + height - 1):
        grid.put(x, row, glyphs.vertical, "frame")
        grid.put(x + width - 1, row, glyphs.vertical, "frame")
    grid.put(x, y + height - 1, fourth + line + third, "frame")
    room = width - 4 - (len(note) + 3 if note else 0)
    if title and room > 0:
        grid.put(x + 2, y, f" {fitted(title, min(room, len(title)))} ", "label")
    if note:
        grid.put_right(x + width - 2, y, f" {note} ", style)


def fact(grid: Grid, x: int, y: int, width: int, label: str, value: str, style: str = "value") -> None:
    """A label on the left, or the short one behind its bar where there is no room, its value on the right."""
    room = max(0, width - len(value) - 1)
    words = label.split("|")
    grid.put(x, y, next((word for word in words if len(word) <= room), words[-1][:room]), "label")
    grid.put_right(x + width, y, value, style)


def paint_small(model: Model, width: int, height: int, now: float) -> list[Line]:
    """For a terminal in which nothing else fits: the sentence, and the advice."""
    grid = Grid(width, height)
    text, style = model.sentence(now)
    lines = [*((line, style) for line in wrapped(text, width)), ("", "plain")]
    lines += [(line, "dim") for line in wrapped(f"More at {SMALLEST[0]} x {SMALLEST[1]} and up. q leaves.", width)]
    for row, (line, style) in enumerate(lines[:height]):
        grid.put(0, row, line, style)
    return grid.lines()


def notes(grid: Grid, x: int, y: int, width: int, texts: list[tuple[str, str]]) -> int:
    """Paragraphs of (text, style), wrapped; returns the row after them."""
    for text, style in texts:
        for line in wrapped(text, width) if text else [""]:
            grid.put(x, y, line, style)
            y += 1
    return y

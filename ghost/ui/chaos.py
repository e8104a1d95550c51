"""Chaos: a bad link made on purpose, chosen by name or pushed together, while the tunnel runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ghost import units
from ghost.chaos.profiles import PROFILES
from ghost.chaos.spec import LinkSpec, parse
from ghost.errors import ConfigError
from ghost.ui.cells import Grid, Line, fitted, wrapped
from ghost.ui.frame import notes, panel
from ghost.ui.glyphs import Glyphs

OFF = "off"
_NAMES = (OFF, *PROFILES)
_SHARES = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_LABEL, _VALUE = 12, 13


@dataclass(frozen=True, slots=True)
class Slider:
    """A field of a LinkSpec and the values that it steps through."""

    label: str
    field: str
    steps: tuple[Any, ...]
    show: Callable[[Any], str]


def _rate(value: float | None) -> str:
    return "no limit" if value is None else units.rate(value)


def _time(value: float) -> str:
    return units.milliseconds(1000 * value)


SLIDERS = (
    Slider("loss", "loss", (0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8), units.percent),
    Slider("in a row", "burst", (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 50.0), lambda value: f"{value:g}"),
    Slider("delay", "delay", (0, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0), _time),
    Slider("jitter", "jitter", (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2), _time),
    Slider("rate", "rate_bps", (64e3, 128e3, 256e3, 512e3, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6, 100e6, None), _rate),
    Slider("queue", "queue", (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0), _time),
    Slider("reorder", "reorder", _SHARES, units.percent),
    Slider("duplicate", "duplicate", _SHARES, units.percent),
    Slider("corrupt", "corrupt", _SHARES, units.percent),
)


class ChaosDesk:
    """What is set: `name` of a profile, "off", or "" for a mixture; `row` 0 is the name, the sliders follow."""

    def __init__(self) -> None:
        self.row = 0
        self.name = OFF
        self.spec = LinkSpec()
        self.message: tuple[str, str] = ("", "label")

    @property
    def text(self) -> str:
        """As the daemon is told."""
        return OFF if self.name == OFF else self.name or str(self.spec)

    def adopt(self, text: str | None) -> None:
        """What the daemon says is in force."""
        if not text or text == OFF:
            self.name, self.spec = OFF, LinkSpec()
            return
        named = PROFILES.get(text)
        try:
            self.spec = parse(named.text if named else text)
        except ConfigError as error:
            self.message = (str(error), "warn")
            return
        self.name = next((name for name, profile in PROFILES.items() if parse(profile.text) == self.spec), "")

    def press(self, key: str) -> bool:
        """True when something else is to be in force now."""
        step = {"left": -1, "right": 1}.get(key)
        if key in ("up", "down"):
            self.row = (self.row + (1 if key == "down" else -1)) % (1 + len(SLIDERS))
        elif step is not None and self.row == 0:
            self._take((_NAMES.index(self.name) + step) % len(_NAMES) if self.name else 0)
            return True
        elif step is not None:
            return self._slide(SLIDERS[self.row - 1], step)
        elif key == "0":
            self._take(0)
            return True
        return False

    def _take(self, index: int) -> None:
        self.name = _NAMES[index]
        self.spec = LinkSpec() if self.name == OFF else parse(PROFILES[self.name].text)
        self.message = ("", "label")

    def _slide(self, slider: Slider, step: int) -> bool:
        value = getattr(self.spec, slider.field)
        place = min(max(position(slider, value) + step, 0), len(slider.steps) - 1)
        try:
            spec = replace(self.spec, **{slider.field: slider.steps[place]})
        except ConfigError as error:  # such as a jitter above the delay
            self.message = (str(error).removeprefix("link: "), "warn")
            return False
        self.message = ("", "label")
        is_new = spec != self.spec
        self.spec = spec
        if is_new:
            self.name = OFF if spec == LinkSpec() else ""
        return is_new


def position(slider: Slider, value: float | None) -> int:
    """The step nearest to the value."""
    limit = float("inf")
    return min(
        range(len(slider.steps)),
        key=lambda index: (
            0
            if slider.steps[index] == value
            else abs((slider.steps[index] or limit) - (value or limit))
            if slider.field == "rate_bps"
            else abs(slider.steps[index] - (value or 0))
        ),
    )


def paint_chaos(desk: ChaosDesk, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    grid = Grid(width, height)
    panel(grid, 0, 0, width, height, "chaos: a bad link, made here on purpose", note=desk.text[: width - 46],
          glyphs=glyphs, style="dim" if desk.name == OFF else "warn")  # fmt: skip
    _mark(grid, 1, desk.row == 0, glyphs)
    grid.put(4, 1, "profile", "label")
    first = _names(grid, desk, width) + 1
    for row, slider in enumerate(SLIDERS):
        y = first + row
        value = getattr(desk.spec, slider.field)
        across = width - _LABEL - _VALUE - 8
        place = position(slider, value) * (across - 1) // (len(slider.steps) - 1)
        is_chosen = desk.row == row + 1
        _mark(grid, y, is_chosen, glyphs)
        grid.put(4, y, slider.label, "value" if is_chosen else "label")
        grid.put(4 + _LABEL, y, glyphs.groove * across, "frame")
        grid.put(4 + _LABEL, y, glyphs.full * place, "graph" if is_chosen else "price")
        grid.put(4 + _LABEL + place, y, glyphs.knob, "bright")
        grid.put_right(width - 2, y, slider.show(value), "value")
    source = PROFILES[desk.name].source if desk.name in PROFILES else ""
    texts = [desk.message] if desk.message[0] else []
    texts += [(source, "dim")] if source else []
    texts += [("Holds for what this end sends and receives, at once. 0 ends it.", "dim")]
    y = first + len(SLIDERS) + 1
    room = height - 1 - y
    lines = [(line, style) for text, style in texts for line in wrapped(text, width - 6)][:room]
    notes(grid, 4, y, width - 6, [(fitted(line, width - 6).rstrip(), style) for line, style in lines])
    return grid.lines()


def _names(grid: Grid, desk: ChaosDesk, width: int) -> int:
    """The profiles, in as many rows as they need; returns the row after them."""
    x, y = 4 + _LABEL, 1
    for name in (*_NAMES, *([] if desk.name else ["mixed"])):
        if x + len(name) + 2 >= width:
            x, y = 4 + _LABEL, y + 1
        grid.put(x, y, f" {name} ", "chosen" if name == (desk.name or "mixed") else "dim")
        x += len(name) + 2
    return y + 1


def _mark(grid: Grid, y: int, is_chosen: bool, glyphs: Glyphs) -> None:
    if is_chosen:
        grid.put(2, y, glyphs.cursor, "bright")

"""Matrix rain that carries the traffic: a drop is so many packets, what arrives falls, what is sent climbs.

With little traffic each packet is a drop of its own, with more a drop stands for 2, 4, 8 ... packets, and `scale` says
for how many. As many of the climbing drops break off on their way as packets are lost on theirs, and as many have
another colour as are sent for mending. No traffic, no rain.
"""

from __future__ import annotations

from random import Random

from ghost.ui.cells import Grid
from ghost.ui.glyphs import Glyphs

DROPS_PER_COLUMN = 0.6
"""A second, at most: more would be a wall of green."""
_MOST_STEP = 1.0  # seconds: after a pause the rain goes on where it was


class Rain:
    """`step` lets time pass, `pour` says what came since the last call, `paint` fills what is blank."""

    def __init__(self, rng: Random) -> None:
        self.scale = 1
        self._rng = rng
        self._size = (0, 0)
        self._drops: list[_Drop] = []
        self._coming: list[tuple[float, _Drop]] = []
        self._glyphs: list[str] = []
        self._time = 0.0

    @property
    def is_falling(self) -> bool:
        return bool(self._drops or self._coming)

    def resize(self, width: int, height: int, glyphs: Glyphs) -> None:
        if self._size != (width, height):
            self._size = (width, height)
            self._drops.clear()
            self._coming.clear()
            self._glyphs = self._rng.choices(glyphs.rain, k=width * height)

    def pour(self, *, received: int, sent: int, lost: float, mended: float, seconds: float = 1.0) -> None:
        """Packets of the last second, and which shares of the sent were lost and were for mending."""
        width, height = self._size
        if not width or not height:
            return
        self.scale = 1
        while (received + sent) / self.scale > max(8.0, width * DROPS_PER_COLUMN):
            self.scale *= 2
        rng = self._rng
        # Rounded up: a single packet among thousands the other way is still to be seen.
        for count, is_climbing in ((-(-received // self.scale), False), (-(-sent // self.scale), True)):
            for _ in range(count):
                style = "mend" if is_climbing and rng.random() < mended else "rain"
                end = rng.uniform(0.2, 0.7) if is_climbing and rng.random() < lost else None
                drop = _Drop(
                    column=rng.randrange(width),
                    speed=max(5.0, height * rng.uniform(0.35, 0.8)),
                    length=rng.randint(3, max(4, min(12, height // 2))),
                    is_climbing=is_climbing,
                    style=style,
                    end=None if end is None else end * height,
                )
                self._coming.append((self._time + rng.random() * seconds, drop))

    def step(self, seconds: float) -> None:
        seconds = min(seconds, _MOST_STEP)
        self._time += seconds
        for drop in self._drops:
            drop.head += drop.speed * seconds
        height = self._size[1]
        self._drops = [drop for drop in self._drops if drop.head - drop.length < (drop.end or height)]
        self._drops += [drop for time, drop in self._coming if time <= self._time]
        self._coming = [(time, drop) for time, drop in self._coming if time > self._time]
        for _ in range(len(self._glyphs) // 100):
            here, there = (int(self._rng.random() * len(self._glyphs)) for _ in range(2))
            self._glyphs[here] = self._glyphs[there]

    def paint(self, grid: Grid, x: int, y: int) -> None:
        """Into what is blank of the rectangle at (x, y) of this rain's size, which must be inside."""
        width, height = self._size
        for drop in self._drops:
            head = int(drop.head)
            shades = drop.shades
            is_broken = drop.end is not None and head >= drop.end
            for back in range(drop.length):
                row = head - back
                if not 0 <= row < height or (drop.end is not None and row > drop.end):
                    continue
                place = height - 1 - row if drop.is_climbing else row
                glyph = self._glyphs[place * width + drop.column]
                grid.dab(x + drop.column, y + place, glyph, "lost" if is_broken else shades[back])


class _Drop:
    """`head` is its way so far in rows; one that breaks off does so at row `end`."""

    __slots__ = ("column", "speed", "length", "is_climbing", "shades", "end", "head")

    def __init__(
        self, *, column: int, speed: float, length: int, is_climbing: bool, style: str, end: float | None
    ) -> None:
        self.column = column
        self.speed = speed
        self.length = length
        self.is_climbing = is_climbing
        self.shades = ["head", *(f"{style}{min(3, 1 + 3 * back // length)}" for back in range(1, length))]
        self.end = end
        self.head = 0.0

"""How fast a thin path is, from how far apart it delivers what was sent together.

A prompt record and its copy leave one right behind the other (prompts.py). Where they arrive much further apart, the
path took that long for the second of them (packet pairs, Keshav 1991). Who sends nothing but prompts cannot know this
by itself: what it is told of is the first of a burst. So who receives them tells it, once a second, and no copies
will fill the path that nobody measured. Noise, other traffic and busy hosts pull pairs apart as well, but not all of
them: the closest of the last ones counts.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ghost.reliability.prompts import COPY_GAP

PAIRS: Final = 8  # looked at together
LEAST_PAIRS: Final = 8  # from which something is told
LEAST_SPREAD: Final = 4 / 3 * COPY_GAP
"""Seconds between the two of every pair; below it they may have left like that."""
TOLD_INTERVAL: Final = 1.0  # seconds


class Dispersion:
    """Pairs as they arrive: packets with consecutive numbers that carry the same prompt record."""

    __slots__ = ("_last", "_last_time", "_pairs", "_told")

    def __init__(self) -> None:
        self._last = (-1, -1)  # packet number and prompt id of the packet before, which came
        self._last_time = 0.0
        self._pairs: deque[tuple[float, int]] = deque(maxlen=PAIRS)  # seconds between them, and size of the second
        self._told = float("-inf")

    def on_prompt(self, prompt_id: int, *, packet_number: int, size: int, now: float) -> None:
        """A prompt came in the packet of that number, which takes `size` bytes of the path. Of several in a packet
        the first counts."""
        number, last_id = self._last
        if packet_number == number:
            return
        if packet_number == number + 1 and prompt_id == last_id:
            self._pairs.append((now - self._last_time, size))
        self._last = packet_number, prompt_id
        self._last_time = now

    def rate_to_tell(self, now: float) -> int | None:
        """The path's rate in bytes a second, where it limits pairs and is due to be told."""
        if len(self._pairs) < LEAST_PAIRS or now - self._told < TOLD_INTERVAL:
            return None
        if min(self._pairs)[0] < LEAST_SPREAD:
            return None
        self._told = now
        rate = max(size / gap for gap, size in self._pairs)
        self._pairs.clear()
        return int(rate)

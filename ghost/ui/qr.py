"""A QR code in characters: two modules to a character, light on dark as terminals are."""

from __future__ import annotations

from ghost.ui.cells import Line
from ghost.ui.glyphs import Glyphs

QUIET = 2
"""Modules of light around it. The standard wants 4, phones read it with 2, and 24 rows hold no more."""


def paint_qr(modules: list[list[bool]], glyphs: Glyphs) -> list[Line]:
    """`modules` row by row, True is dark. Without half blocks a module is two characters wide and one high."""
    side = len(modules) + 2 * QUIET
    light = [[True] * side for _ in range(side + side % 2)]
    for row, line in enumerate(modules):
        for column, is_dark in enumerate(line):
            light[row + QUIET][column + QUIET] = not is_dark
    if not glyphs.has_braille:
        return [(("".join("##" if is_light else "  " for is_light in line), "qr"),) for line in light[:side]]
    looks = {(True, True): glyphs.full, (True, False): glyphs.upper_half, (False, True): glyphs.lower_half}
    return [
        (("".join(looks.get(pair, " ") for pair in zip(upper, lower, strict=True)), "qr"),)
        for upper, lower in zip(light[::2], light[1::2], strict=True)
    ]

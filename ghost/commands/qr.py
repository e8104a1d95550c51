"""QR codes by the package segno."""

from __future__ import annotations

from typing import TextIO

from ghost.errors import HostError

try:
    import segno
except ImportError:
    raise HostError("a QR code needs the Python package segno: install it with pip, or do without") from None


def draw(text: str, out: TextIO) -> None:
    """Writes it as two modules a character."""
    segno.make(text, error="l").terminal(out=out, compact=True)


def modules(text: str) -> list[list[bool]]:
    """Its rows without a margin, True is dark."""
    return [[bool(module) for module in row] for row in segno.make(text, error="l").matrix]

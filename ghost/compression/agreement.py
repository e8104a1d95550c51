"""What both ends of a connection agreed to compress: the features of the two hellos."""

from __future__ import annotations

from dataclasses import dataclass

from ghost.compression.payload import is_available
from ghost.wire import hello

MODES = ("auto", "headers", "off")


def offered(mode: str) -> int:
    """The features that this end is ready to use in a mode; an agreement is what both are ready for."""
    if mode == "off":
        return 0
    if mode == "headers" or not is_available():
        return hello.FEATURE_HEADERS
    return hello.FEATURE_HEADERS | hello.FEATURE_ZSTD


@dataclass(frozen=True, slots=True)
class Agreement:
    """What either end may send and must understand."""

    headers: bool = False
    zstd: bool = False

    @classmethod
    def of(cls, features: int) -> Agreement:
        return cls(headers=bool(features & hello.FEATURE_HEADERS), zstd=bool(features & hello.FEATURE_ZSTD))

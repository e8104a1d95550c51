"""What both ends of a connection agreed to compress: the features of the two hellos."""

from __future__ import annotations

from dataclasses import dataclass

from ghost.compression.streams import MAX_COUNT, MEMORY
from ghost.compression.zstd import is_available
from ghost.wire import hello

MODES = ("auto", "headers", "off")
DEFAULT_MEMORY = 16 << 20
"""Bytes that a connection's streams of history may take at their sender."""


def offered(mode: str) -> int:
    """The features that this end is ready to use in a mode; an agreement is what both are ready for."""
    if mode == "off":
        return 0
    if mode == "headers" or not is_available():
        return hello.FEATURE_HEADERS
    return hello.FEATURE_HEADERS | hello.FEATURE_ZSTD | hello.FEATURE_HISTORY | hello.FEATURE_DNS | hello.FEATURE_GROUPS


def streams_of(memory: int) -> int:
    """How many streams of history this much memory holds, in bytes."""
    return min(memory // MEMORY, MAX_COUNT)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What either end may send and must understand; `streams` is how many flows may have a history at once."""

    headers: bool = False
    zstd: bool = False
    streams: int = 0
    dns: bool = False
    """Packets by themselves may build on the dictionary of DNS."""
    groups: bool = False
    """Several packets of a flow may share a piece of its history."""

    @classmethod
    def of(cls, features: int, streams: int) -> Agreement:
        has_history = features & hello.FEATURE_HISTORY and features & hello.FEATURE_HEADERS
        return cls(
            headers=bool(features & hello.FEATURE_HEADERS),
            zstd=bool(features & hello.FEATURE_ZSTD),
            streams=streams if has_history else 0,
            dns=bool(features & hello.FEATURE_DNS),
            groups=bool(has_history and features & hello.FEATURE_GROUPS),
        )

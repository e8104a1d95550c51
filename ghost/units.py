"""Numbers for people: the same words for the same number wherever the program shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def duration(seconds: float) -> str:
    """Two units at most: 3 d 4 h, 5 min 6 s, 7.8 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, smaller, smaller_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"


def size(value: float) -> str:
    """Bytes: 1.5 KiB."""
    return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def rate(value: float) -> str:
    """Bits a second: 2.5 Mbit/s."""
    return _scaled(value, 1000, ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"))


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def milliseconds(value: float) -> str:
    return f"{value:.1f} ms"


def endpoint(value: Any) -> str:
    """HOST:PORT of a text, or of the pair that an address is."""
    if isinstance(value, list) and len(value) >= 2:
        return f"[{value[0]}]:{value[1]}" if ":" in str(value[0]) else f"{value[0]}:{value[1]}"
    return str(value)


def words(name: str) -> str:
    return name.replace("_", " ")


SHARES = frozenset({"loss", "redundancy", "compression_saved"})
"""Fields that are shares of one."""

_BY_SUFFIX: dict[str, Callable[[Any], str]] = {
    "_s": duration,
    "_ms": milliseconds,
    "_bytes": size,
    "_bps": rate,
}


def labelled(key: str, value: Any) -> tuple[str, str]:
    """A field of a status as people read it: rtt_ms, 12.345 -> "rtt", "12.3 ms"."""
    for suffix, show in _BY_SUFFIX.items():
        if key.endswith(suffix) and key != suffix:
            return words(key.removesuffix(suffix)), show(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return words(key), ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return words(key), ", ".join(f"{words(name)} {count}" for name, count in value.items() if count) or "none"
    return words(key), percent(value) if key in SHARES else endpoint(value)


def _scaled(value: float, base: int, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if value < base:
            return f"{value:.4g} {unit}"
        value /= base
    return f"{value:.4g} {units[-1]}"

"""Several values of one key of a link's description: `loss=0..50%`, `rate=64kbit..10mbit/8`.

From and to are written as in ghost.chaos.spec; the first may leave its unit to the second. Rates and sizes, where both
ends are above zero, are spread by equal ratios, all others by equal steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ghost.chaos.spec import LinkSpec, number_of, parse, quantity_of, stands_alone, sweepable
from ghost.errors import ConfigError

DEFAULT_COUNT = 6
MOST = 100
RATIO_FROM = 8.0
"""Ends that are further apart than this factor are spread by equal ratios."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """`key` of the grammar, whose first number takes each of `values`."""

    key: str
    values: tuple[float, ...]

    def put(self, link: LinkSpec, value: float) -> LinkSpec:
        """`link` with this value; ConfigError where the two contradict each other."""
        return replace(link, **{sweepable(self.key): value})  # type: ignore[arg-type]

    def name(self, value: float) -> str:
        """The value as the grammar writes it."""
        return quantity_of(self.key, value)


def parse_sweep(text: str) -> Sweep:
    """The sweep that `text` describes; ConfigError says what is wrong and how it is written."""
    key, equals, ends = (part.strip() for part in text.lower().partition("="))
    first, dots, rest = (part.strip() for part in ends.partition(".."))
    last, slash, count_text = (part.strip() for part in rest.partition("/"))
    if not equals or not dots or not first or not last:
        raise ConfigError(f"sweep: cannot read {text!r}: write KEY=FROM..TO, such as loss=0..50%")
    field = sweepable(key)
    high = number_of(key, last)
    unit = last.lstrip("0123456789.- ")
    low = number_of(key, first if first.lstrip("0123456789.- ") else first + unit)
    count = DEFAULT_COUNT
    if slash:
        if not count_text.isascii() or not count_text.isdigit() or not 2 <= int(count_text) <= MOST:
            raise ConfigError(f"sweep: {count_text!r} is no number of values: give 2 to {MOST}, as in loss=0..50%/6")
        count = int(count_text)
    if stands_alone(key):
        for end in (high, low):
            parse(f"{key}={quantity_of(key, end)}")  # out of range: said of the end, not of a value in between
    if low == high:
        raise ConfigError(f"sweep: {text!r} begins where it ends: give two values, such as loss=0..50%")
    is_by_ratio = min(low, high) > 0 and max(low, high) / min(low, high) >= RATIO_FROM
    values = [_between(low, high, step / (count - 1), is_by_ratio=is_by_ratio) for step in range(count)]
    whole = isinstance(getattr(parse("delay=0s"), field), int) or field in ("mtu", "freeze_packets", "freeze_bytes")
    return Sweep(key, tuple(dict.fromkeys(round(value) if whole else float(f"{value:.4g}") for value in values)))


def _between(low: float, high: float, share: float, *, is_by_ratio: bool) -> float:
    return low * (high / low) ** share if is_by_ratio else low + (high - low) * share

"""A link described in one line, such as `rate=10mbit,delay=50ms±10ms,loss=30%,burst=8`.

Owns the grammar and the valid ranges; every option, command and test that speaks of a link goes through
`parse`. Rules: a key appears once, numbers carry their unit, probabilities are percentages, and a `LinkSpec`
that exists is valid. `str(spec)` is the canonical text: keys that hold their default are left out, and it
parses back to an equal spec, bit for bit, because numbers are converted in decimal.

    key        fields                              unit                       range
    rate       rate_bps                            bit kbit mbit gbit         1kbit to 100gbit; absent: no limit
    queue      queue                               us ms s min                0s to 60s of waiting for the rate
    delay      delay, jitter (after ± or +-)       us ms s min                0s to 60s, jitter no more than the delay
    loss       loss                                %                          0% to 100%
    burst      burst                               packets                    1 to 10000; 1: losses are independent
    reorder    reorder                             %                          0% to 100%
    duplicate  duplicate                           %                          0% to 100%
    corrupt    corrupt                             %                          0% to 100%
    mtu        mtu                                 bytes                      68 to 65535; absent: no limit
    blackout   blackout_length / blackout_period   us ms s min                0s to 86400s, shorter than its period
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from ghost.errors import ConfigError

DEFAULT_QUEUE = 0.1
"""Seconds of waiting that a queue allows unless told: about one round trip, the classic size of a router's
buffer."""

_Units = dict[str, Decimal]
_DURATION: _Units = {"us": Decimal("0.000001"), "ms": Decimal("0.001"), "s": Decimal(1), "min": Decimal(60)}
_RATE: _Units = {"bit": Decimal(1), "kbit": Decimal(1000), "mbit": Decimal(10) ** 6, "gbit": Decimal(10) ** 9}
_SHARE: _Units = {"%": Decimal("0.01")}
_COUNT: _Units = {"": Decimal(1)}


class _Key(NamedTuple):
    """One key of the grammar: its fields, what parts them, the units, the range of each field, and an
    example."""

    fields: tuple[str, ...]
    separator: str
    units: _Units
    low: float
    high: float
    example: str


_KEYS = {
    "rate": _Key(("rate_bps",), "", _RATE, 1e3, 1e11, "10mbit"),
    "queue": _Key(("queue",), "", _DURATION, 0, 60, "100ms"),
    "delay": _Key(("delay", "jitter"), "±", _DURATION, 0, 60, "50ms±10ms"),
    "loss": _Key(("loss",), "", _SHARE, 0, 1, "30%"),
    "burst": _Key(("burst",), "", _COUNT, 1, 10_000, "8"),
    "reorder": _Key(("reorder",), "", _SHARE, 0, 1, "5%"),
    "duplicate": _Key(("duplicate",), "", _SHARE, 0, 1, "1%"),
    "corrupt": _Key(("corrupt",), "", _SHARE, 0, 1, "1%"),
    "mtu": _Key(("mtu",), "", _COUNT, 68, 65_535, "1200"),  # RFC 791: every IPv4 link passes 68 bytes
    "blackout": _Key(("blackout_length", "blackout_period"), "/", _DURATION, 0, 86_400, "5s/60s"),
}
_NUMBER = re.compile(r"(\d{1,20}(?:\.\d*)?|\.\d+)\s*([a-z%]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """One direction of a link; the default is a perfect one.

    rate_bps         bits per second of the bottleneck, None for no limit
    queue            seconds of waiting for the bottleneck beyond which packets are dropped
    delay, jitter    seconds; each packet takes a uniform draw from [delay - jitter, delay + jitter]
    loss             stationary probability that a packet is lost
    burst            mean packets lost in a row: 1 draws each alone, more is a Gilbert-Elliott channel
    reorder          probability that a packet overtakes those before it
    duplicate        probability that a packet arrives twice
    corrupt          probability that one bit of a packet arrives flipped
    mtu              bytes of the largest whole IP packet that passes, None for any; bigger ones vanish silently
    blackout_length  seconds of silence at the end of every blackout_period seconds; both 0 for none

    Raises ConfigError, naming the key and its range, for anything out of range.
    """

    rate_bps: float | None = None
    queue: float = DEFAULT_QUEUE
    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    burst: float = 1.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    mtu: int | None = None
    blackout_length: float = 0.0
    blackout_period: float = 0.0

    def __post_init__(self) -> None:
        for name, key in _KEYS.items():
            for field in key.fields:
                value = getattr(self, field)
                if value is not None and not key.low <= value <= key.high:
                    low, high = (_quantity(bound, key.units) for bound in (key.low, key.high))
                    raise ConfigError(
                        f"link: {_quantity(value, key.units)} is out of range for {name}: give {low} to {high}, "
                        f"as in {name}={key.example}"
                    )
        if self.jitter > self.delay:
            raise ConfigError("link: the jitter in delay=DELAY±JITTER must not exceed the delay, as in delay=50ms±10ms")
        if self.blackout_length > 0 and self.blackout_length >= self.blackout_period:
            raise ConfigError("link: in blackout=LENGTH/PERIOD the length must be below the period, as in 5s/60s")
        if self.burst > 1 and self.burst / (self.burst + 1) < self.loss < 1:
            # Two bursts are at least one packet apart, so short bursts cannot add up to a large loss.
            enough = math.ceil(round(self.loss / (1 - self.loss), 6))
            raise ConfigError(
                f"link: bursts of {self.burst:g} lose at most {self.burst / (self.burst + 1):.1%}: give burst=1 "
                f"(independent losses) or burst={enough} or more for this loss"
            )

    def __str__(self) -> str:
        parts = []
        for name, key in _KEYS.items():
            values = [getattr(self, field) for field in key.fields]
            if values != [getattr(_PERFECT, field) for field in key.fields]:
                shown = values if values[-1] or key.separator == "/" else values[:1]
                parts.append(f"{name}={key.separator.join(_quantity(value, key.units) for value in shown)}")
        return ",".join(parts) or "delay=0s"


_PERFECT = LinkSpec()


def parse(text: str) -> LinkSpec:
    """The spec that `text` describes; ConfigError with the offending key, its range and a cure otherwise."""
    fields: dict[str, float | int] = {}
    for part in text.lower().replace("+-", "±").split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        key = _KEYS.get(name)
        if key is None or not equals or not value:
            raise ConfigError(_misfit(part.strip(), name, known=key is not None))
        if key.fields[0] in fields:
            raise ConfigError(f"link: {name} is given twice: keep one")
        fields.update(zip(key.fields, _values(name, key, value), strict=False))
    return LinkSpec(**fields)  # type: ignore[arg-type]  # mtu is the one int, and _values made it one


def _misfit(part: str, name: str, *, known: bool) -> str:
    if known:
        return f"link: {name} has no value: write {name}={_KEYS[name].example}"
    near = difflib.get_close_matches(name, _KEYS, n=1)
    hint = f"did you mean {near[0]}={_KEYS[near[0]].example}?" if near else f"the keys are {', '.join(_KEYS)}"
    return f"link: {part!r} is not KEY=VALUE with a known key: {hint}"


def _values(name: str, key: _Key, text: str) -> list[float | int]:
    """The numbers in `text`, in the order of `key.fields`; only the jitter may be missing."""
    pieces = text.split(key.separator) if key.separator else [text]
    matches = [_NUMBER.fullmatch(piece.strip()) for piece in pieces]
    values: list[float | int] = []
    for match in matches:
        if match is None or match[2] not in key.units:
            units = f"a number and its unit ({', '.join(key.units)})" if "" not in key.units else "a number"
            raise ConfigError(f"link: cannot read {name}={text}: give {units}, as in {name}={key.example}")
        number = Decimal(match[1]) * key.units[match[2]]
        values.append(int(number) if name == "mtu" and number == int(number) else float(number))
    if len(values) > len(key.fields) or (key.separator == "/" and len(values) != 2):
        raise ConfigError(f"link: {name}={text} has too many or too few parts: write {name}={key.example}")
    if name == "mtu" and not isinstance(values[0], int):
        raise ConfigError(f"link: mtu={text} is not a whole number of bytes: write mtu={key.example}")
    return values


def _quantity(value: float, units: _Units) -> str:
    """`value` in its largest unit that leaves 1 or more, exactly; minutes are read but never written."""
    exact = Decimal(repr(value))
    if not exact.is_finite():
        return str(value)
    if exact == 0:
        return "0s" if units is _DURATION else f"0{next(iter(units))}"
    unit = next((name for name in reversed(units) if name != "min" and exact >= units[name]), next(iter(units)))
    return f"{(exact / units[unit]).normalize():f}{unit}"

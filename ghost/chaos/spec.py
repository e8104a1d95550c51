"""A link described in one line, such as `rate=10mbit,delay=50ms±10ms,loss=30%,burst=8`.

Owns the grammar and the valid ranges; every option, command and test that speaks of a link goes through
`parse`. Rules: a key appears once, numbers carry their unit, probabilities are percentages, and a `LinkSpec`
that exists is valid. `str(spec)` is the canonical text: keys that hold their default are left out, and it
parses back to an equal spec, bit for bit, because numbers are converted in decimal.

    key             fields                              unit                  range
    rate            rate_bps                            bit kbit mbit gbit    1kbit to 100gbit; absent: no limit
    queue           queue                               us ms s min           0s to 60s of waiting for the rate
    police          police_bps / police_bytes           bit ..., b kb mb gb   1kbit to 100gbit; 1.5kb to 1gb
    delay           delay, jitter (after ± or +-)       us ms s min           0s to 60s, jitter no more than the delay
    loss            loss                                %                     0% to 100%
    burst           burst                               packets               1 to 10000; 1: losses are independent
    reorder         reorder                             %                     0% to 100%
    duplicate       duplicate                           %                     0% to 100%
    corrupt         corrupt                             %                     0% to 100%
    mtu             mtu                                 bytes                 68 to 65535; absent: no limit
    freeze-packets  freeze_packets                      packets               1 to 1000000000; absent: never
    freeze-bytes    freeze_bytes                        b kb mb gb            1b to 1000gb; absent: never
    blackout        blackout_length / blackout_period   us ms s min           0s to 86400s, shorter than its period
    rebind          rebind_period                       us ms s min           1s to 86400s; absent: never
    jump            jump / jump_period                  us ms s min           0s to 86400s; every 1s to 86400s

As in tc(8), `kbit` is 1000 bits and `kb` 1000 bytes. `rebind` and `jump` are not a link's doing but that of the host at
its sending end (its NAT, its clock); whoever owns that end obeys them, a Link passes over them.
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

DEFAULT_POLICE_BYTES = 32_000
"""Bytes that a policer's bucket holds unless told: 22 full packets, in the range that providers configure."""

_Units = dict[str, Decimal]
_DURATION: _Units = {"us": Decimal("0.000001"), "ms": Decimal("0.001"), "s": Decimal(1), "min": Decimal(60)}
_RATE: _Units = {"bit": Decimal(1), "kbit": Decimal(1000), "mbit": Decimal(10) ** 6, "gbit": Decimal(10) ** 9}
_SIZE: _Units = {"b": Decimal(1), "kb": Decimal(1000), "mb": Decimal(10) ** 6, "gb": Decimal(10) ** 9}
_SHARE: _Units = {"%": Decimal("0.01")}
_COUNT: _Units = {"": Decimal(1)}
_WHOLE = {"mtu", "police_bytes", "freeze_packets", "freeze_bytes"}


class _Field(NamedTuple):
    """One number of a key: the LinkSpec's field, its units and its range."""

    name: str
    units: _Units
    low: float
    high: float


class _Key(NamedTuple):
    """One key of the grammar: its fields, what parts them, how many of them must be there, and an example."""

    fields: tuple[_Field, ...]
    example: str
    separator: str = ""
    needed: int = 1


def _share(name: str) -> tuple[_Field]:
    return (_Field(name, _SHARE, 0, 1),)


_DAY = 86_400
_KEYS = {
    "rate": _Key((_Field("rate_bps", _RATE, 1e3, 1e11),), "10mbit"),
    "queue": _Key((_Field("queue", _DURATION, 0, 60),), "100ms"),
    "police": _Key(
        (_Field("police_bps", _RATE, 1e3, 1e11), _Field("police_bytes", _SIZE, 1500, 1e9)), "4mbit/32kb", "/"
    ),
    "delay": _Key((_Field("delay", _DURATION, 0, 60), _Field("jitter", _DURATION, 0, 60)), "50ms±10ms", "±"),
    "loss": _Key(_share("loss"), "30%"),
    "burst": _Key((_Field("burst", _COUNT, 1, 10_000),), "8"),
    "reorder": _Key(_share("reorder"), "5%"),
    "duplicate": _Key(_share("duplicate"), "1%"),
    "corrupt": _Key(_share("corrupt"), "1%"),
    "mtu": _Key((_Field("mtu", _COUNT, 68, 65_535),), "1200"),  # RFC 791: every IPv4 link passes 68 bytes
    "freeze-packets": _Key((_Field("freeze_packets", _COUNT, 1, 10**9),), "300"),
    "freeze-bytes": _Key((_Field("freeze_bytes", _SIZE, 1, 10**12),), "16kb"),
    "blackout": _Key(
        (_Field("blackout_length", _DURATION, 0, _DAY), _Field("blackout_period", _DURATION, 0, _DAY)),
        "5s/60s", "/", 2,
    ),
    "rebind": _Key((_Field("rebind_period", _DURATION, 1, _DAY),), "60s"),
    "jump": _Key((_Field("jump", _DURATION, 0, _DAY), _Field("jump_period", _DURATION, 1, _DAY)), "10s/60s", "/", 2),
}  # fmt: skip
_NUMBER = re.compile(r"(-?\d{1,20}(?:\.\d*)?|\.\d+)\s*([a-z%]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """One direction of a link; the default is a perfect one.

    rate_bps         bits per second of the bottleneck, None for no limit
    queue            seconds of waiting for the bottleneck beyond which packets are dropped
    police_bps       bits per second beyond which a policer drops without a queue, None for no policer
    police_bytes     bytes that may come at once before it does: the size of its token bucket
    delay, jitter    seconds; each packet takes a uniform draw from [delay - jitter, delay + jitter]
    loss             stationary probability that a packet is lost
    burst            mean packets lost in a row: 1 draws each alone, more is a Gilbert-Elliott channel
    reorder          probability that a packet overtakes those before it
    duplicate        probability that a packet arrives twice
    corrupt          probability that one bit of a packet arrives flipped
    mtu              bytes of the largest whole IP packet that passes, None for any; bigger ones vanish silently
    freeze_packets   packets of one 5-tuple after which nothing of it passes any more, None for no such limit
    freeze_bytes     the same in bytes of whole IP packets, the one that reaches it being the last to pass
    blackout_length  seconds of silence at the end of every blackout_period seconds; both 0 for none
    rebind_period    seconds after which the sender's translated port changes, each time; None for never
    jump             seconds by which the sender's clock leaps ahead every jump_period seconds; 0 for none

    Raises ConfigError, naming the key and its range, for anything out of range.
    """

    rate_bps: float | None = None
    queue: float = DEFAULT_QUEUE
    police_bps: float | None = None
    police_bytes: int = DEFAULT_POLICE_BYTES
    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    burst: float = 1.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    mtu: int | None = None
    freeze_packets: int | None = None
    freeze_bytes: int | None = None
    blackout_length: float = 0.0
    blackout_period: float = 0.0
    rebind_period: float | None = None
    jump: float = 0.0
    jump_period: float = 60.0

    def __post_init__(self) -> None:
        for name, key in _KEYS.items():
            for field in key.fields:
                value = getattr(self, field.name)
                if value is not None and not field.low <= value <= field.high:
                    low, high = (_quantity(bound, field.units) for bound in (field.low, field.high))
                    raise ConfigError(
                        f"link: {_quantity(value, field.units)} is out of range for {name}: give {low} to {high}, "
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
            first, *others = key.fields
            if getattr(self, first.name) is None:
                continue
            if all(getattr(self, field.name) == getattr(_PERFECT, field.name) for field in key.fields):
                continue
            shown = [first]
            shown += [f for f in others if key.needed > 1 or getattr(self, f.name) != getattr(_PERFECT, f.name)]
            values = (_quantity(getattr(self, field.name), field.units) for field in shown)
            parts.append(f"{name}={key.separator.join(values)}")
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
        if key.fields[0].name in fields:
            raise ConfigError(f"link: {name} is given twice: keep one")
        fields.update(_values(name, key, value))
    return LinkSpec(**fields)  # type: ignore[arg-type]  # the whole numbers are int: _number made them so


def sweepable(name: str) -> str:
    """The LinkSpec's field for the first number of a key; ConfigError, with a near miss, where there is no such key."""
    if name not in _KEYS:
        raise ConfigError(_misfit(name, name, known=False))
    return _KEYS[name].fields[0].name


def stands_alone(name: str) -> bool:
    """Whether a key that exists is complete with its first number."""
    return _KEYS[name].needed == 1


def number_of(name: str, text: str) -> float | int:
    """The first number of a key that exists, as it stands alone."""
    key = _KEYS[name]
    return _number(key.fields[0], text, f"{name}={text}", f"{name}={key.example.split(key.separator or None)[0]}")


def quantity_of(name: str, value: float) -> str:
    """`value` of the first number of a key, with its unit."""
    return _quantity(value, _KEYS[name].fields[0].units)


def _misfit(part: str, name: str, *, known: bool) -> str:
    if known:
        return f"link: {name} has no value: write {name}={_KEYS[name].example}"
    near = difflib.get_close_matches(name, _KEYS, n=1)
    hint = f"did you mean {near[0]}={_KEYS[near[0]].example}?" if near else f"the keys are {', '.join(_KEYS)}"
    return f"link: {part!r} is not KEY=VALUE with a known key: {hint}"


def _values(name: str, key: _Key, text: str) -> dict[str, float | int]:
    """The numbers in `text`, by field."""
    pieces = text.split(key.separator) if key.separator else [text]
    values = {}
    for field, piece in zip(key.fields, pieces, strict=False):
        values[field.name] = _number(field, piece, f"{name}={text}", f"{name}={key.example}")
    if not key.needed <= len(pieces) <= len(key.fields):
        raise ConfigError(f"link: {name}={text} has too many or too few parts: write {name}={key.example}")
    return values


def _number(field: _Field, text: str, written: str, example: str) -> float | int:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2] not in field.units:
        units = f"a number and its unit ({', '.join(field.units)})" if "" not in field.units else "a number"
        raise ConfigError(f"link: cannot read {written}: give {units}, as in {example}")
    number = Decimal(match[1]) * field.units[match[2]]
    if field.name not in _WHOLE:
        return float(number)
    if number != int(number):
        raise ConfigError(f"link: {written} is no whole number of packets or bytes: write {example}")
    return int(number)


def _quantity(value: float, units: _Units) -> str:
    """`value` in its largest unit that leaves 1 or more, exactly; minutes are read but never written."""
    exact = Decimal(repr(value))
    if not exact.is_finite():
        return str(value)
    if exact == 0:
        return "0s" if units is _DURATION else f"0{next(iter(units))}"
    unit = next((name for name in reversed(units) if name != "min" and abs(exact) >= units[name]), next(iter(units)))
    return f"{(exact / units[unit]).normalize():f}{unit}"

"""Links known by name, each with where its numbers come from.

A profile is one direction, used for both. The hostile ones and `clean` are the project's own reference links:
round numbers that make runs comparable, not measurements of anyone's network.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

from ghost.chaos.spec import LinkSpec, parse
from ghost.errors import ConfigError


class Profile(NamedTuple):
    """`text` in the grammar of ghost.chaos.spec, and one sentence on where the numbers come from."""

    text: str
    source: str


PROFILES = {
    "clean": Profile(
        "rate=20mbit,delay=25ms",
        "The project's reference for a good home line: 50 ms round trip and no loss.",
    ),
    "satellite": Profile(
        "rate=5mbit,queue=300ms,delay=300ms±10ms,loss=3%",
        "Geostationary: 2 x 35 786 km at the speed of light is 239 ms one way, the rest of the 300 ms, the jitter and "
        "the loss are typical of ground stations, shared scheduling and rain.",
    ),
    "train": Profile(
        "rate=4mbit,queue=500ms,delay=60ms±30ms,loss=8%,burst=12,blackout=4s/60s",
        "Typical of a mobile router on a moving train: losses in bursts at handovers, some seconds without signal in "
        "cuttings and tunnels.",
    ),
    "hotel": Profile(
        "rate=2mbit,queue=400ms,delay=30ms±25ms,loss=4%,burst=3,reorder=1%,duplicate=0.5%",
        "Typical of crowded wireless access: a deep queue, retries that show as jitter, losses a few at a time.",
    ),
    "gprs": Profile(
        "rate=53.6kbit,queue=2s,delay=350ms±100ms,loss=2%,burst=3",
        "Four time slots of coding scheme CS-2, 13.4 kbit/s each (3GPP TS 43.064); delay, queue and loss are typical.",
    ),
    "starlink": Profile(
        "rate=50mbit,queue=150ms,delay=25ms±8ms,loss=1%,burst=5,blackout=150ms/15s",
        "Low orbit: round trips of 40 to 70 ms and a new satellite every 15 s, with losses and delays at the change "
        "(Mohan et al., A Multifaceted Look at Starlink Performance, 2024); the rate is that of a busy cell.",
    ),
    "ship": Profile(
        "rate=256kbit,queue=1s,delay=320ms±20ms,loss=2%,burst=4",
        "A seaman's share of a geostationary terminal; the delay as in satellite, rate and queue are typical.",
    ),
    "policed": Profile(
        "rate=20mbit,police=2mbit/64kb,delay=30ms",
        "A plan over its quota: drops at a token bucket and no queue, as 2 to 7 % of the connections of a large "
        "content network meet, by region (Flach et al., An Internet-Wide Analysis of Traffic Policing, 2016); the "
        "numbers are round ones.",
    ),
    "frozen": Profile(
        "rate=20mbit,delay=40ms,freeze-bytes=16kb",
        "A censor that lets the first 15 to 20 kB of a connection pass and then nothing more of that 5-tuple, as was "
        "reported of Russian networks in 2025 for foreign hosts; rate and delay are typical.",
    ),
    "roaming": Profile(
        "rate=10mbit,delay=40ms±10ms,loss=2%,blackout=2s/30s,rebind=30s",
        "The project's reference for a phone that changes cells: a silence, then another address, every half minute.",
    ),
    "hostile-30": Profile(
        "rate=10mbit,delay=50ms,loss=30%",
        "The project's reference for a hostile network: 100 ms round trip, three packets in ten lost each way.",
    ),
    "hostile-50": Profile(
        "rate=10mbit,delay=50ms,loss=50%",
        "The project's reference for the worst: 100 ms round trip, every other packet lost each way.",
    ),
}


_NAMES = {str(parse(profile.text)): name for name, profile in PROFILES.items()}


def known_as(link: str) -> str:
    """The name of the profile that this description is, else the description."""
    return _NAMES.get(link, link)


def resolve(text: str) -> LinkSpec:
    """The link that `text` means: the name of a profile, or a description in the grammar of ghost.chaos.spec.

    ConfigError with near misses otherwise.
    """
    name = text.strip().lower()
    if name in PROFILES:
        return parse(PROFILES[name].text)
    if "=" in name:
        return parse(name)
    near = difflib.get_close_matches(name, PROFILES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"give one of {', '.join(PROFILES)}, or KEY=VALUE,..."
    raise ConfigError(f"link: there is no profile {text.strip()!r}: {hint}")

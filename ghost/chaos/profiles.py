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
    "hostile-30": Profile(
        "rate=10mbit,delay=50ms,loss=30%",
        "The project's reference for a hostile network: 100 ms round trip, three packets in ten lost each way.",
    ),
    "hostile-50": Profile(
        "rate=10mbit,delay=50ms,loss=50%",
        "The project's reference for the worst: 100 ms round trip, every other packet lost each way.",
    ),
}


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

"""Somebody types: what the tunnel adds to a key and its echo is two datagrams, and nobody waits longer for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ghost.simulation.interactive import Ssh
from ghost.simulation.measure import percentile
from ghost.simulation.pair import Pair

WIREGUARD = 28 + 32  # bytes around an inner packet padded to a multiple of 16
LINKS = ("rate=1mbit,delay=50ms", "rate=10mbit,delay=10ms")


def type_for(pair: Pair, seconds: float, monkeypatch: pytest.MonkeyPatch) -> tuple[Ssh, int, int]:
    """(the session, its bytes on the wire, what they would be in WireGuard)."""
    sizes: list[int] = []
    send = pair.send

    def count(packet: bytes, **kwargs: Any) -> None:
        sizes.append(len(packet))
        send(packet, **kwargs)

    monkeypatch.setattr(pair, "send", count)
    ssh = Ssh(pair)
    pair.applications.append(ssh)
    before = pair.up.stats.in_bytes + pair.down.stats.in_bytes
    pair.run(seconds)
    taken = pair.up.stats.in_bytes + pair.down.stats.in_bytes - before
    return ssh, taken, sum(WIREGUARD + -(-size // 16) * 16 for size in sizes)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("profile", ["noise", "thin"])
def test_a_typist_costs_less_than_in_wireguard(
    link: str, profile: str, connected: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = connected(link, profile=profile)
    ssh, taken, wireguard = type_for(pair, 120.0, monkeypatch)
    assert taken < 0.7 * wireguard, f"{taken / wireguard:.2f}"
    round_trip = 2 * pair.up.spec.delay
    times = [time for time in ssh.times(typed_before=pair.now - 1) if time is not None]
    assert percentile(times, 0.99) < round_trip + 0.005

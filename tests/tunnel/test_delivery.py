"""Whatever the path does, a TCP flow's packets arrive once, in order and unchanged, and no other packet twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from ghost.simulation.pair import Pair
from ghost.simulation.segments import ACK, Codec
from ghost.simulation.workloads import GATEWAY

# With the share of prompt packets that must arrive. A burst is counted in packets, so on a path as quiet as this one a
# long one outlasts what a prompt packet is worth.
LINKS = {
    "everything at once": ("rate=10mbit,delay=50ms±10ms,loss=15%,reorder=10%,duplicate=5%,corrupt=2%", 0.9),
    "half lost": ("rate=10mbit,delay=50ms,loss=50%", 0.9),
    "in short bursts": ("rate=10mbit,delay=50ms,loss=20%,burst=4", 0.9),
    "in long bursts": ("rate=10mbit,delay=50ms,loss=20%,burst=10", 0.3),
    "far and thin": ("rate=256kbit,queue=500ms,delay=300ms,loss=10%", 0.9),
    "much reordering": ("rate=10mbit,delay=50ms,reorder=40%", 1.0),
}


@pytest.mark.parametrize(("link", "prompt_share"), LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("seed", range(4))
def test_every_flow_gets_its_stream(
    link: str, prompt_share: float, seed: int, connected: Callable[..., Pair], talk: Callable[..., Any]
) -> None:
    pair = connected(link, seed=seed)
    conversation = talk(pair, end=pair.now + 4, tcp=2, udp=2, interval=0.2, size=500)
    pair.run(20)
    conversation.assert_complete(f"{link}, seed {seed}")
    for is_up in (True, False):
        for port in (2000, 2001):
            arrived, sent = (len(each[is_up, port]) for each in (conversation.arrivals, conversation.sent))
            assert arrived >= prompt_share * sent, f"{link}, seed {seed}: {arrived} of {sent} prompt packets"
    for end in (pair.client, pair.server):
        assert all(peer["queued_bytes"] == 0 for peer in end.snapshot(pair.now)["peers"])


def test_the_last_words_before_a_long_silence_arrive(connected: Callable[..., Pair], talk: Callable[..., Any]) -> None:
    stalled = []
    for seed in range(100):
        pair = connected("rate=10mbit,delay=50ms±10ms,loss=50%", seed=seed)
        conversation = talk(pair, end=pair.now + 0.05, tcp=1)
        pair.run(15)
        counts = [len(conversation.arrivals[flow]) < len(sent) for flow, sent in conversation.sent.items()]
        stalled += [seed] * any(counts)
    assert stalled == []


class Bursts:
    """A client that acknowledges a fast download, 150 packets each 50 ms."""

    def __init__(self, pair: Pair) -> None:
        assert pair.address is not None
        self._codec = Codec((pair.address, 7), (GATEWAY, 80))
        self._next = pair.now
        self._acknowledged = 0
        self._rng = random.Random(1)
        self.sent: set[bytes] = set()
        self.arrived: list[bytes] = []

    def next_time(self) -> float:
        return self._next

    def wake(self, pair: Pair) -> None:
        self._next += 0.05
        for _ in range(150):
            self._acknowledged += self._rng.randrange(1, 3000)  # evenly, and a wrong one were another's right one
            packet = self._codec.encode(sequence=1, acknowledgement=self._acknowledged, flags=ACK)
            self.sent.add(packet)
            pair.send(packet, from_server=False)

    def on_packet(self, pair: Pair, packet: bytes, *, at_server: bool) -> None:
        self.arrived.append(packet)


@pytest.mark.parametrize("seed", range(3))
def test_acknowledgements_that_overtake_each_other_come_back_as_they_were(
    seed: int, connected: Callable[..., Pair]
) -> None:
    """Hundreds of newer ones pass one that is late, which must still build on what it was built on."""
    pair = connected("rate=50mbit,delay=100ms±80ms,reorder=30%", seed=seed)
    bursts = Bursts(pair)
    pair.applications.append(bursts)
    pair.run(3.0)
    assert len(bursts.arrived) > 3000
    assert set(bursts.arrived) <= bursts.sent


@pytest.mark.parametrize("compression", ["auto", "headers", "off"])
@pytest.mark.parametrize("profile", ["noise", "thin"])
def test_settings_change_bytes_on_the_wire_and_nothing_else(
    compression: str, profile: str, connected: Callable[..., Pair], talk: Callable[..., Any]
) -> None:
    pair = connected("rate=10mbit,delay=20ms,loss=10%", compression=compression, profile=profile)
    conversation = talk(pair, end=pair.now + 1, tcp=2, udp=1, size=1300)
    pair.run(5)
    conversation.assert_complete(f"{compression}, {profile}")
    saved = pair.client.snapshot(pair.now)["peers"][0]["saved_by_compression_bytes"]
    assert (saved > 0) is (compression != "off")


def test_packets_as_large_as_can_be_come_through(connected: Callable[..., Pair], talk: Callable[..., Any]) -> None:
    pair = connected("rate=10mbit,delay=20ms,loss=10%")
    conversation = talk(pair, end=pair.now + 0.3, tcp=2, interval=0.1, size=20_000)
    pair.run(10)
    conversation.assert_complete("parts of large packets")

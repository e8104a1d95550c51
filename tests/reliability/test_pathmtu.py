"""A black hole is told from chance, left behind, and climbed out of as far as it goes."""

from __future__ import annotations

from random import Random

import pytest

from ghost.constants import FULL_PACKET
from ghost.reliability.loss import SentPacket
from ghost.reliability.pathmtu import FIRST_RAISE, PLATEAUS, STEPS, PathMtu

SMALL = 100


def packet(number: int, size: int) -> SentPacket:
    return SentPacket(number, 0.0, size, 0, 0, 0, None, (), False)


class Path:
    """Carries packets of up to `mtu` bytes and loses a share of those."""

    def __init__(self, mtu: int, *, loss: float = 0.0, seed: int = 1) -> None:
        self.mtu = mtu
        self.loss = loss
        self.size = PathMtu()
        self.now = 0.0
        self.fallen = 0  # packets that a fall explained
        self._rng = Random(seed)
        self._number = 0

    def send(self, size: int, *, is_probe: bool = False) -> None:
        one = packet(self._number, size)
        if is_probe:
            self.size.on_probe_sent(self._number, size)
        self._number += 1
        has_arrived = size <= self.mtu and self._rng.random() >= self.loss
        acked, lost = ([one], []) if has_arrived else ([], [one])
        acked = self.size.take_probes(acked, are_acked=True)
        lost = self.size.take_probes(lost, are_acked=False)
        self.fallen += self.size.on_fates(acked, lost, loss=self.loss, burst=1.0)

    def carry(self, packets: int, *, small_every: int = 5) -> None:
        """As many full packets as allowed, small ones among them, and every probe that is due."""
        for index in range(packets):
            self.now += 0.1
            self.send(SMALL if index % small_every == 0 else self.size.limit)
            probe = self.size.probe_size(self.now, loss=self.loss, interval=0.1)
            if probe is not None:
                self.send(probe, is_probe=True)


@pytest.mark.parametrize("loss", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("mtu", [1479, 1300, 1200, 1000, 600])
def test_the_largest_plateau_that_passes_is_found(mtu: int, loss: float) -> None:
    path = Path(mtu, loss=loss)
    path.carry(400)
    found = max(size for size in PLATEAUS if size <= mtu)
    # At 50 % all eight probes of a size are lost once in 256 times; then it stays one below until the next search.
    assert found >= path.size.limit >= PLATEAUS[max(0, PLATEAUS.index(found) - (loss == 0.5))]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("loss", [0.1, 0.3, 0.5])
def test_chance_is_no_black_hole_for_long(loss: float, seed: int) -> None:
    path = Path(FULL_PACKET, loss=loss, seed=seed)
    path.carry(5000)
    assert path.size.black_holes <= 1
    path.carry(200)
    assert path.size.limit == FULL_PACKET


def test_a_silent_path_has_no_size() -> None:
    path = Path(0)
    path.carry(1000)
    assert path.size.limit == FULL_PACKET


def test_the_losses_of_a_black_hole_are_told_so_that_they_do_not_count() -> None:
    path = Path(1200)
    path.carry(50)
    assert path.fallen >= 8


def test_a_path_that_widens_is_used_again_after_a_while() -> None:
    path = Path(600)
    path.carry(200)
    assert path.size.limit == 576
    path.mtu = FULL_PACKET
    path.carry(50)
    assert path.size.limit == 576
    path.now += FIRST_RAISE
    path.carry(50)
    assert path.size.limit == FULL_PACKET


def test_another_path_is_searched_at_once() -> None:
    path = Path(1200)
    path.carry(200)
    assert path.size.limit == STEPS[1]
    path.mtu = FULL_PACKET
    path.size.on_path_change()
    path.carry(20)
    assert path.size.limit == FULL_PACKET


def test_without_a_doubt_nothing_is_probed() -> None:
    path = Path(FULL_PACKET)
    path.carry(100)
    assert path.size.probe_size(1e6, loss=0.0, interval=0.1) is None

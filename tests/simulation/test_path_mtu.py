"""Paths that drop large packets in silence: downloads go on, in virtual time over 10 Mbit/s and a round trip of 50 ms.
An MTU counts whole IP packets."""

from __future__ import annotations

import pytest

from ghost.chaos.spec import parse
from ghost.simulation.pair import Pair
from ghost.simulation.workloads import Bulk, Pings

LINK = "rate=10mbit,delay=25ms"


class Transfer:
    """A CUBIC transfer through a tunnel whose links change."""

    def __init__(self, link: str, *, is_download: bool = True, seed: int = 1) -> None:
        self.pair = Pair(parse(link), seed=seed)
        self.pair.run_until_connected()
        self.bulk = Bulk(self.pair, is_download=is_download)
        self.pings = Pings(self.pair)
        self.pair.applications += [self.bulk, self.pings]
        self._sender = self.pair.server if is_download else self.pair.client

    def goodput(self, seconds: float) -> float:
        """Megabits a second over the next `seconds`."""
        start = self.bulk.sink.received
        self.pair.run(seconds)
        return (self.bulk.sink.received - start) * 8 / seconds / 1e6

    def change(self, link: str) -> None:
        for way in (self.pair.up, self.pair.down):
            way.change(parse(link), self.pair.now)

    @property
    def path_mtu(self) -> int:
        """As its status says."""
        size: int = self._sender.snapshot(self.pair.now)["peers"][0]["path_mtu_bytes"]
        return size


@pytest.mark.parametrize("is_download", [True, False], ids=["download", "upload"])
@pytest.mark.parametrize(("mtu", "found", "share"), [(1200, 1180, 0.88), (600, 576, 0.8)])
def test_a_narrow_path_works_from_the_start(mtu: int, found: int, share: float, is_download: bool) -> None:
    transfer = Transfer(f"{LINK},mtu={mtu}", is_download=is_download)
    transfer.pair.run(6.0)
    assert transfer.goodput(4.0) > share * 10
    assert transfer.path_mtu == found
    assert transfer.pings.lost(sent_before=transfer.pair.now - 1) == 0


@pytest.mark.parametrize(
    ("link", "mtu", "share"), [(LINK, 1200, 0.88), (LINK, 600, 0.8), (f"{LINK},loss=20%", 600, 0.5)]
)
def test_a_path_that_narrows_under_a_download_stops_it_for_seconds_only(link: str, mtu: int, share: float) -> None:
    transfer = Transfer(link)
    transfer.pair.run(4.0)
    transfer.change(f"{link},mtu={mtu}")
    transfer.pair.run(4.0)
    assert transfer.goodput(4.0) > share * 10
    assert transfer.pings.lost(sent_before=transfer.pair.now - 1) == 0


def test_a_path_that_widens_again_is_used_within_minutes() -> None:
    transfer = Transfer(f"{LINK},mtu=600")
    transfer.pair.run(3.0)
    assert transfer.path_mtu == 576
    transfer.pair.applications.remove(transfer.bulk)
    transfer.change(LINK)
    transfer.pair.run(130.0)
    assert transfer.path_mtu == 1480


def test_losses_do_not_make_packets_small() -> None:
    transfer = Transfer(f"{LINK},loss=30%")
    transfer.pair.run(10.0)
    assert transfer.path_mtu == 1480

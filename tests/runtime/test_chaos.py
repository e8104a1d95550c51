"""A bad link between the core and the sockets: what it holds back, what it lets go, and who it takes for whom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ghost.chaos.host import outside_port
from ghost.chaos.spec import parse
from ghost.chaos.trace import Moment, head
from ghost.errors import ConfigError
from ghost.runtime import clock
from ghost.runtime.chaos import Impairment, requested

PEER, OTHER = ("198.18.0.2", 4000), ("198.18.0.3", 4001)


def impaired(spec: str, *, is_server: bool = True, until: float | None = None) -> Impairment:
    return Impairment(parse(spec), is_server=is_server, at=100.0, until=until)


def test_both_directions_are_delayed_and_keep_their_addresses() -> None:
    link = impaired("delay=50ms")
    assert link.send([(b"a", PEER), (b"b", OTHER)], 100.0) == []
    assert link.receive([(b"c", OTHER)], 100.01) == []
    assert link.next_time() == pytest.approx(100.05)
    assert link.send([], 100.05) == [(b"a", PEER), (b"b", OTHER)]
    assert link.receive([], 100.07) == [(b"c", OTHER)]
    assert link.next_time() is None


def test_it_ends_by_itself_and_lets_go_what_it_held_back() -> None:
    link = impaired("delay=1s", until=130.0)
    assert link.next_time() == 130.0
    link.send([(b"a", PEER)], 129.9)
    link.receive([(b"b", PEER)], 129.9)
    assert not link.is_over(129.99)
    assert link.is_over(130.0)
    assert (link.release_out(), link.release_in()) == ([(b"a", PEER)], [(b"b", PEER)])
    assert link.snapshot(120.0) == {"chaos": "delay=1s", "chaos_left_s": 10.0}


def test_a_server_sees_a_client_move_and_what_it_sends_to_the_former_port_is_lost() -> None:
    link = impaired("rebind=10s")
    assert link.receive([(b"a", PEER)], 101.0) == [(b"a", PEER)]
    assert link.send([(b"b", PEER)], 102.0) == [(b"b", PEER)]
    assert link.send([(b"c", PEER)], 111.0) == []
    moved = (PEER[0], outside_port(PEER[1], 1))
    assert link.receive([(b"d", PEER)], 112.0) == [(b"d", moved)]
    assert link.send([(b"e", moved), (b"f", PEER)], 113.0) == [(b"e", PEER)]


def test_a_client_is_told_when_it_needs_other_ports_once_for_each_time() -> None:
    link = impaired("rebind=10s", is_server=False)
    link.send([(b"a", PEER)], 100.0)
    assert link.next_time() == 110.0
    assert not link.is_rebound(109.9)
    assert link.is_rebound(110.0)
    assert not link.is_rebound(111.0)
    assert link.receive([(b"b", PEER)], 112.0) == [(b"b", PEER)]
    assert link.next_time() == 120.0
    assert not impaired("rebind=10s").is_rebound(110.0)


def test_the_clock_leaps_when_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_lead", 0.0)
    before = clock.now()
    link = impaired("jump=1000s/5s")
    assert link.next_time() == 105.0
    assert not link.is_over(104.9)
    assert clock.now() - before < 500
    link.is_over(105.0)
    assert 1000 <= clock.now() - before < 1500
    assert link.next_time() == 110.0


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({}, "chaos needs a link"),
        ({"link": 7}, "chaos needs a link"),
        ({"link": "loss=130%"}, "130% is out of range for loss: give 0% to 100%"),
        ({"link": "loss=1%", "seconds": -1}, "cannot last -1 seconds"),
        ({"link": "loss=1%", "seconds": "soon"}, "cannot last 'soon' seconds"),
    ],
)
def test_a_senseless_request_is_refused(request_: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=r"link|chaos") as refusal:
        requested(request_, is_server=True)
    assert told in str(refusal.value)


def test_a_trace_is_played_as_it_was_up_and_down(tmp_path: Path) -> None:
    silent_up = Moment(0.08, 0.0, 0.0, 0.0, 0.0, 1.0, 2e6, 2e6, is_silent=False)
    path = tmp_path / "hotel.trace"
    path.write_bytes(head(1.0, 1, 0, 1) + replace(silent_up, loss_out=0.9).encode())
    for is_server in (False, True):
        link = requested({"trace": str(path)}, is_server=is_server)
        assert link is not None
        at = clock.now()
        assert link.snapshot(at) == {"chaos": "trace hotel.trace"}
        link.send([(b"a", PEER)] * 300, at)
        link.receive([(b"b", PEER)] * 300, at)
        sent, received = len(link.release_out()), len(link.release_in())
        assert (sent < 80 < 200 < received) is not is_server
    with pytest.raises(ConfigError, match="cannot read the trace"):
        requested({"trace": str(tmp_path / "none")}, is_server=False)


def test_off_is_no_link_and_a_profile_is_one() -> None:
    assert requested({"link": " Off "}, is_server=True) is None
    link = requested({"link": "hostile-30", "seconds": 30}, is_server=False)
    assert link is not None
    assert link.spec.loss == 0.3
    assert not link.is_over(clock.now())

"""An acknowledgement waits where somebody types, and nowhere else."""

from __future__ import annotations

from ipaddress import IPv4Address

from ghost.constants import PATIENCE
from ghost.simulation.segments import ACK, Codec
from ghost.tunnel.dialogue import LEAST_TALK, LITTLE, MEMORY, Dialogue

CODEC = Codec((IPv4Address("10.77.0.2"), 50_000), (IPv4Address("10.77.0.1"), 22))


def segment(size: int, *, acknowledged: int, sacks: tuple[tuple[int, int], ...] = ()) -> bytes:
    return CODEC.encode(sequence=0, acknowledgement=acknowledged, flags=ACK, payload=bytes(size), sacks=sacks)


class Typist:
    """Keys and echoes of 36 bytes."""

    def __init__(self) -> None:
        self.dialogue = Dialogue()
        self.now = 0.0
        self.acknowledged = 0

    def key(self, size: int = 36) -> None:
        self.now += 0.1
        self.dialogue.on_segment(segment(size, acknowledged=self.acknowledged), self.now)

    def echo(self, size: int = 36, *, after: float = 0.05, sacks: tuple[tuple[int, int], ...] = ()) -> bool:
        """Whether its acknowledgement may wait."""
        self.now += after
        self.acknowledged += size
        return self.dialogue.may_wait(segment(0, acknowledged=self.acknowledged, sacks=sacks), self.now)


def typing() -> Typist:
    typist = Typist()
    for _ in range(LEAST_TALK):
        typist.key()
    return typist


def test_the_acknowledgement_of_an_echo_waits_for_the_next_key() -> None:
    typist = typing()
    for _ in range(10):
        assert typist.echo()
        typist.key()


def test_the_first_lines_of_a_flow_are_no_dialogue() -> None:
    typist = Typist()
    for _ in range(LEAST_TALK - 1):
        typist.key()
        assert not typist.echo()


def test_an_upload_or_a_download_is_no_dialogue() -> None:
    typist = typing()
    assert not typist.echo(LITTLE + 1)
    typist.key(1300)
    assert not typist.echo()


def test_news_of_a_gap_does_not_wait() -> None:
    typist = typing()
    assert not typist.echo(sacks=((100, 200),))
    assert not typist.echo(0), "the same once more: something is missing"


def test_who_stopped_typing_is_not_waited_for() -> None:
    assert not typing().echo(after=MEMORY + 0.1)


def test_after_waiting_in_vain_the_next_does_not_wait() -> None:
    typist = typing()
    assert typist.echo()
    typist.now += PATIENCE
    typist.key()
    assert [typist.echo() for _ in range(3)] == [False, True, True]

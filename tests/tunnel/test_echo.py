"""An echo on an idle tunnel: what the acknowledgement beside it says comes after the answer, and is not forgotten."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from ghost.errors import PeerError
from ghost.simulation import packets
from ghost.simulation.pair import Pair
from ghost.tunnel.connection import Connection
from ghost.wire import frames

LINK = "rate=100mbit,delay=1ms"


def connection_of(pair: Pair) -> Connection:
    [session] = pair.server._sessions.values()
    return session.connection


def warmed(connected: Callable[..., Pair]) -> tuple[Pair, Callable[[int, bool], bytes]]:
    """A pair after some echoes, so that acknowledgements are brief and ride along; and its echoes."""
    pair = connected(LINK)
    gateway, own = IPv4Address("10.77.0.1"), pair.address
    assert own is not None

    def echo(sequence: int, is_reply: bool) -> bytes:
        ends = (gateway, own) if is_reply else (own, gateway)
        return packets.echo(*ends, sequence=sequence, is_reply=is_reply, payload=bytes(56))

    for sequence in range(5):
        for is_reply in (False, True):
            pair.send(echo(sequence, is_reply), from_server=is_reply)
            pair.run(0.005)
        pair.run(0.05)
    return pair, echo


def asked(connected: Callable[..., Pair], *, is_brief: bool = True) -> tuple[Pair, Callable[[int, bool], bytes], int]:
    """And a question that the server has received; and the bytes that were acknowledged to the server before."""
    pair, echo = warmed(connected)
    if not is_brief:
        assert pair.client._connection is not None
        pair.client._connection._full_ack_at = pair.now
    before = connection_of(pair).sender.acked_bytes
    pair.client.send_packet(echo(9, False), pair.now)
    [(question, _)] = pair.client.datagrams_to_send(pair.now)
    pair.server.receive_datagram(question, connection_of(pair).address, pair.now)
    return pair, echo, before


@pytest.mark.parametrize("is_brief", [True, False])
def test_the_answer_leaves_before_the_acknowledgement_beside_the_question_is_booked(
    connected: Callable[..., Pair], is_brief: bool
) -> None:
    pair, echo, before = asked(connected, is_brief=is_brief)
    server, sender, now = pair.server, connection_of(pair).sender, pair.now
    assert server.packets_to_deliver() == [echo(9, False)]
    server.send_packet(echo(9, True), now)
    assert len(server.datagrams_to_send(now)) == 1
    assert sender.acked_bytes == before
    server.next_timeout()
    assert sender.acked_bytes > before


def test_without_an_answer_it_is_booked_before_anything_leaves(connected: Callable[..., Pair]) -> None:
    pair, _, before = asked(connected)
    pair.server.datagrams_to_send(pair.now)
    assert connection_of(pair).sender.acked_bytes > before


def test_one_that_makes_no_sense_is_counted_at_once(connected: Callable[..., Pair]) -> None:
    pair, _ = warmed(connected)
    connection = connection_of(pair)
    number = connection.sender.sent_packets + 5
    brief = frames.encode_brief_ack(frames.BriefAck(largest=number, run=1, delay=0.0, symbol_floor=0))
    whole = frames.encode_ack(frames.Ack(number, 1, 0, 0, 0.0, 0, 0, 0, 0))
    for impossible in (brief, whole):
        with pytest.raises(PeerError, match="ack"):
            connection._take(connection._replay.largest + 1, impossible, pair.now)

"""Every truncated number passes its end in mid-conversation, and nobody notices.

At 100 Mbit/s packet numbers do so after five days, symbol ids after half an hour, a flow's sequences after seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ghost.simulation.pair import Pair
from ghost.tunnel.connection import Connection
from ghost.tunnel.flows import FlowTable
from ghost.wire import frames, records

AHEAD = 40  # numbers before the end


def fast_forward(sending: Connection, receiving: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if so much had been sent and acknowledged that every counter of this direction is about to wrap."""
    sender, receiver = sending.sender, receiving.receiver
    sender._next_packet_number = (1 << frames.PACKET_NUMBER_BITS) - AHEAD
    receiving._replay.largest = sender._next_packet_number - 1
    assert not len(sender._in_flight)
    assert not len(sender._window)
    sender._in_flight._base = sender._next_packet_number
    sender._in_flight._mask = sender._in_flight._lost_mask = 0
    sender._window.next_id = sender._window.floor = sender._window._base = (1 << frames.SYMBOL_ID_BITS) - AHEAD
    receiver.window.floor = sender._window.next_id
    sender._prompts.next_id = (1 << frames.PROMPT_ID_BITS) - AHEAD
    receiver._prompts_seen.largest = sender._prompts.next_id - 1
    find = FlowTable.find

    def find_far_on(table: FlowTable, *args: Any, **kwargs: Any) -> Any:
        flow = find(table, *args, **kwargs)
        if table is sender.composer._flows and not flow.lane.sequence:
            flow.lane.sequence = (1 << records.SEQUENCE_BITS) - AHEAD
            receiver._flows.setdefault(flow.lane.flow_id, _flow_order()).next_sequence = flow.lane.sequence
        return flow

    monkeypatch.setattr(FlowTable, "find", find_far_on)


def _flow_order() -> Any:
    from ghost.tunnel.receiver import _FlowOrder

    return _FlowOrder()


@pytest.mark.parametrize("loss", [0, 30])
def test_every_number_wraps_under_way(
    loss: int, connected: Callable[..., Pair], talk: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = connected(f"rate=10mbit,delay=50ms±5ms,loss={loss}%", seed=loss)
    pair.run(5)
    (server,) = (session.connection for session in pair.server._sessions.values())
    client = pair.client._connection
    assert client is not None
    fast_forward(client, server, monkeypatch)
    fast_forward(server, client, monkeypatch)
    conversation = talk(pair, end=pair.now + 10, tcp=2, udp=2)
    pair.run(15)
    conversation.assert_complete(f"loss {loss} %")
    for port in conversation.udp_ports:
        assert len(conversation.serials(True, port)) > 450 * (1 - loss / 200)
    for connection in (client, server):
        assert connection.sender._next_packet_number > 1 << frames.PACKET_NUMBER_BITS
        assert connection.sender._window.next_id > 1 << frames.SYMBOL_ID_BITS
        assert connection.sender._prompts.next_id > 1 << frames.PROMPT_ID_BITS

"""Flows: which inner packets belong together, and the queue in which they wait for the path.

Packets of a flow keep their order; flows take turns by deficit round robin, and one that has just become active goes
first (RFC 8290's shape). So a keystroke passes a download, and a flood hurts itself. A flow that runs empty keeps its
place for one more round (section 4.2): else one that never has two packets waiting would always be new, and starve
the others.

No flow's queue stands longer than it is of use (standing.py): its sender is told to slow down, by a mark in the oldest
packet where that says that its flow understands one (RFC 3168), by the loss of that packet where not.

A flow's id on the wire is a lane that keeps its record order; the lane of the flow longest unused is given to a new
one and its sequence simply runs on, so the receiver needs no word of it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from ghost.compression import tcp
from ghost.compression.credentials import Watch
from ghost.compression.payload import Shrinkage
from ghost.compression.references import PromptMemory
from ghost.compression.trains import Train
from ghost.tunnel.dialogue import Dialogue
from ghost.tunnel.slowstart import Growth
from ghost.tunnel.standing import Standing
from ghost.wire.inner import TCP, Inner, is_behind, mark_congestion, tcp_sequence
from ghost.wire.records import MAX_FLOWS

QUANTUM: Final = 1500  # bytes a flow may send in its turn
TRAIN_TURN: Final = 8  # segments: 0.9 ms at the least rate that carries trains; one at a time would be no train
MAX_QUEUE_SECONDS: Final = 0.3
"""Of the path's rate, for one flow. Loss-based TCP inside needs it: simulated at 30 % loss, a tail drop at 300 ms
gives 0.89-0.92 of the ceiling, CoDel at its usual 5 ms target 0.33. On longer round trips it is one of them: an inner
TCP's window arrives in bursts."""
PATIENCE: Final = 4  # times the length that a TCP flow's queue may grow to meanwhile
LEAST_QUEUE: Final = 16 * 1500  # bytes: a thin path's 300 ms would be shorter than TCP's initial window
MAX_QUEUE_BYTES: Final = 4 << 20  # all flows of a queue together

SPARSE_RATE: Final = 32_000.0  # bytes a second: calls and games stay below it, downloads over QUIC do not
SPARSE_BURST: Final = 12_000.0  # bytes
NEWCOMER_SHARE: Final = (
    1 / 8
)  # of the path's rate: what is prompt passes the queue, so many flows of one packet must not


class Lane:
    """A flow id on the wire and its next sequence; flows hold it one after the other."""

    __slots__ = ("flow_id", "sequence", "header")

    def __init__(self, flow_id: int) -> None:
        self.flow_id = flow_id
        self.sequence = 0
        self.header: tcp.Header | None = None
        """Of the packet staged last: what the receiver will know when the next one's turn comes."""

    def next_sequence(self) -> int:
        return self.take_sequences(1)

    def take_sequences(self, count: int) -> int:
        """The first of so many."""
        sequence = self.sequence
        self.sequence += count
        return sequence


class Flow:
    """One direction of one conversation."""

    __slots__ = (
        "key",
        "lane",
        "is_tcp",
        "packets",
        "queued_bytes",
        "deficit",
        "dialogue",
        "growth",
        "is_background",
        "is_crowd",
        "is_in_turn",
        "is_stream",
        "shrinkage",
        "prompt_memory",
        "standing",
        "watch",
        "_hinted_to",
        "_level",
        "_seen",
    )

    def __init__(self, inner: Inner, *, lane: Lane, now: float) -> None:
        self.key = inner.key
        self.lane = lane
        self.is_tcp = inner.protocol == TCP
        self.packets: deque[bytes | Train] = deque()
        self.queued_bytes = 0
        self.deficit = 0
        self.is_background = False
        """Its sender asks for less than others get."""
        self.is_in_turn = False
        self.is_crowd = False
        """It stands for many that are not known one by one."""
        self.is_stream = False
        """More than sparse, and no TCP: whoever reads it may count on an order."""
        self.shrinkage = Shrinkage()
        self.prompt_memory = PromptMemory()
        self.dialogue = Dialogue()
        self.growth = Growth(now)
        self.standing = Standing(now)
        self.watch = Watch()
        self._hinted_to: int | None = None
        self._level = 0.0
        self._seen = now

    def hint(self) -> int | None:
        """Marks or drops the oldest packet, that its sender may slow down; returns the bytes dropped, None for neither.

        As in TCP itself one loss is enough for a window of data, and what was sent again must not be lost again: only
        what lies beyond all that was queued at the last hint.
        """
        if not self.packets:
            return None
        if self.is_tcp:
            first, newest = _sequence(self.packets[0]), _sequence(self.packets[-1])
            if self._hinted_to is not None and not is_behind(self._hinted_to, first):
                return None
            self._hinted_to = newest
        packet = self.take_packet()
        marked = mark_congestion(packet)
        if marked is not None:
            self.packets.appendleft(marked)
            return 0
        self.queued_bytes -= len(packet)
        return len(packet)

    def take_packet(self) -> bytes:
        """The first packet, or the first segment of a train."""
        packet = self.packets[0]
        if isinstance(packet, Train):
            segment = packet.next_packet()
            if not packet:
                self.packets.popleft()
            return segment
        return self.packets.popleft()  # type: ignore[return-value]

    def is_sparse_with(self, size: int, now: float) -> bool:
        """Counts a packet of `size` bytes; True while the flow stays below the sparse rate."""
        self._level = max(0.0, self._level - (now - self._seen) * SPARSE_RATE) + size
        self._seen = now
        return self._level <= SPARSE_BURST


class _Newcomers:
    """What the first packets of flows may have together: each may be somebody's query, or one port of a scan."""

    __slots__ = ("_level", "_at")

    def __init__(self) -> None:
        self._level = 0.0
        self._at = 0.0

    def admit(self, size: int, *, rate: float, now: float) -> bool:
        """Whether this one may be a flow of its own on a path of `rate` bytes a second."""
        allowance = max(rate * NEWCOMER_SHARE, 1.0)
        self._level = max(0.0, self._level - (now - self._at) * allowance)
        self._at = now
        if self._level + size > max(SPARSE_BURST, allowance):
            return False
        self._level += size
        return True


class FlowTable:
    """The flows of one connection, least recently used first.

    Where more begin than can be welcome, a scan of ports above all, the newcomers are one flow together: they have one
    turn and one queue, and nobody has to leave for them.
    """

    __slots__ = ("_crowds", "_flows", "_lanes", "_newcomers")

    def __init__(self) -> None:
        self._crowds: dict[bool, Flow] = {}  # by whether it is TCP
        self._flows: OrderedDict[bytes, Flow] = OrderedDict()
        self._newcomers = _Newcomers()
        self._lanes: list[Lane] = []

    def __len__(self) -> int:
        return len(self._flows)

    def lane(self, flow_id: int) -> Lane | None:
        """The lane of that id, if it was ever used."""
        return self._lanes[flow_id] if flow_id < len(self._lanes) else None

    def find(self, inner: Inner, now: float, *, size: int = 0, rate: float = 0.0) -> Flow:
        """The packet's flow; a new one is begun for `size` bytes on a path of `rate` bytes a second, if it may."""
        flow = self._flows.get(inner.key)
        if flow is not None:
            self._flows.move_to_end(inner.key)
            return flow
        is_tcp = inner.protocol == TCP
        is_welcome = self._newcomers.admit(size, rate=rate, now=now)
        lane = self._free_lane() if is_welcome or is_tcp not in self._crowds else None
        if lane is None:
            return self._crowds.get(is_tcp) or next(iter(self._flows.values()))
        flow = Flow(inner, lane=lane, now=now)
        if is_welcome:
            self._flows[inner.key] = flow
        else:
            flow.is_crowd = True
            self._crowds[is_tcp] = flow
        return flow

    def _free_lane(self) -> Lane | None:
        """None where every flow has packets waiting."""
        if len(self._lanes) < MAX_FLOWS:
            self._lanes.append(Lane(len(self._lanes)))
            return self._lanes[-1]
        oldest = next((flow for flow in self._flows.values() if not flow.packets), None)
        if oldest is None:
            return None
        del self._flows[oldest.key]
        return oldest.lane


class FlowQueue:
    """Deficit round robin over flows (Shreedhar and Varghese 1995), new flows first."""

    __slots__ = ("bytes", "dropped", "marked", "refused", "round_trip", "_new", "_old")

    def __init__(self) -> None:
        self.bytes = 0
        self.dropped = 0
        self.marked = 0
        self.refused = 0
        """Packets that found no room, of those dropped; what follows them would find none either."""
        self.round_trip = 0.0
        """Of the path, in seconds."""
        self._new: deque[Flow] = deque()
        self._old: deque[Flow] = deque()

    def push(self, flow: Flow, packet: bytes | Train, *, rate: float, now: float, gain: float = 1.0) -> bool:
        """Queues the packet, or drops it where the flow's or the whole queue's bound is reached; of a train the end.

        A TCP flow is not cut off there, which in slow start costs it half a window and seconds to recover: it loses
        its oldest packet, once in a while, and room for what is on its way until it has heard of that.
        """
        size = len(packet)
        seconds = self.round_trip if self.round_trip > MAX_QUEUE_SECONDS else MAX_QUEUE_SECONDS
        limit = rate * seconds
        limit = gain * (limit if limit > LEAST_QUEUE else LEAST_QUEUE)
        is_full = flow.queued_bytes + size > limit
        if flow.standing.is_too_long(flow.queued_bytes, size, round_trip=self.round_trip, now=now) or (
            is_full and flow.is_tcp
        ):
            self._hint(flow)
        if is_full and flow.is_tcp:
            limit = gain * max(1.5 * LEAST_QUEUE, PATIENCE * rate * seconds)
        if flow.queued_bytes + size > limit or self.bytes + size > MAX_QUEUE_BYTES:
            self.dropped += 1
            if not isinstance(packet, Train):
                self.refused += 1
                return False
            packet.shorten(int(min(limit - flow.queued_bytes, MAX_QUEUE_BYTES - self.bytes)))
            size = len(packet)
            if not size:
                return False
        if not flow.is_in_turn:
            flow.is_in_turn = True
            flow.deficit = QUANTUM
            (self._old if flow.is_background else self._new).append(flow)
        flow.packets.append(packet)
        flow.queued_bytes += size
        self.bytes += size
        return True

    def head(self) -> Flow | None:
        """The flow whose turn it is; its first packet is the next one out."""
        while True:
            flows = self._new or self._old
            if not flows:
                return None
            flow = flows[0]
            if flow.deficit > 0 and flow.packets:
                return flow
            flows.popleft()
            if flow.deficit <= 0:
                flow.deficit += QUANTUM
                self._old.append(flow)
            elif flows is self._new and self._old:
                self._old.append(flow)
            else:
                flow.is_in_turn = False

    def pop(self, flow: Flow) -> bytes:
        """Takes the first packet of the flow that `head` named."""
        packet = flow.take_packet()
        self._note_taken(flow, len(packet))
        return packet

    def train(self, flow: Flow) -> Train | None:
        """The train that the flow which `head` named begins with."""
        packet = flow.packets[0]
        return packet if isinstance(packet, Train) else None

    @property
    def is_alone(self) -> bool:
        """Whether no other flow waits for its turn."""
        return len(self._new) + len(self._old) == 1

    def take(self, flow: Flow, train: Train, count: int) -> list[bytes]:
        """Up to `count` plain segments of its train: where others wait, a few at once, which its next turns pay for."""
        is_alone = self.is_alone
        before = len(train)
        bodies = train.take(count if is_alone else min(count, TRAIN_TURN))
        if not train:
            flow.packets.popleft()
        self._note_taken(flow, before - len(train))
        if is_alone:  # nobody waited meanwhile
            flow.deficit = max(0, flow.deficit)
        return bodies

    def _hint(self, flow: Flow) -> None:
        dropped = flow.hint()
        if dropped is not None:
            self.bytes -= dropped
            self.dropped += dropped > 0
            self.marked += not dropped

    def _note_taken(self, flow: Flow, size: int) -> None:
        flow.queued_bytes -= size
        flow.deficit -= size
        self.bytes -= size


def _sequence(packet: bytes | Train) -> int:
    return packet.sequence if isinstance(packet, Train) else tcp_sequence(packet)

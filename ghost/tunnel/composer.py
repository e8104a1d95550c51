"""From inner packets to what the sender sends: their class, their queue, their records.

    inner packet -> flow -> prompt:  one record, handed to the sender at once
                        \\-> bulk:    flow queue ... compressed when its turn comes -> records of a symbol

Prompt are packets of flows other than TCP that stay below a rate (ping, DNS, calls, games), unless their sender marks
them as background (a mark for more than others get costs nothing to forge, so behaviour alone earns that), and TCP's
pure acknowledgements, which want no order: a later one says more than an earlier one. TCP is ordered, and so are
streams of UDP, for a while (see the receiver); whatever else is bulk has no order to keep. A symbol is filled: of TCP
the last packet goes in parts where it does not fit, which the flow's order then joins again, of others only what is too
large for an empty symbol.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Final

from ghost.compression import exchange, groups, tcp, zstd
from ghost.compression.agreement import Agreement
from ghost.compression.dictionaries import Kind, kind_of
from ghost.compression.leads import LARGEST_LEAD
from ghost.compression.payload import PacketCompressor, looks_random, pad
from ghost.compression.references import References
from ghost.compression.streams import MAX_PAYLOAD, Streams
from ghost.compression.trains import Train
from ghost.constants import INNER_MTU, MAX_SYMBOL
from ghost.tunnel.flows import Flow, FlowQueue, FlowTable
from ghost.tunnel.slowstart import SlowStarts
from ghost.wire import frames, records
from ghost.wire.inner import TCP, Inner, is_background, is_dns

LARGEST_PROMPT: Final = 1200  # bytes of inner packet; a bigger one would fill a datagram and travels as a symbol
LARGEST_RECORD_HEAD: Final = records.RECORD_OVERHEAD + LARGEST_LEAD
PROMPT_ROOM: Final = 64  # bytes of a symbol's size that stay free where the path is narrow: a prompt's frame and head
LONG_SYMBOL: Final = 0.012  # seconds for one of the largest size on the path: who is in a hurry waits for two or three
LEAST_SYMBOL: Final = 320  # bytes; 55 of datagram and headers around them are a seventh
COMPANY: Final = 2.0  # seconds since somebody was in a hurry
LARGEST_KEY: Final = 256  # bytes of a segment that is worth a hurry if its flow has nothing else to say
LEAST_PART: Final = 128  # bytes of room below which a part is not begun
EFFORTS: Final[tuple[tuple[float, zstd.Effort], ...]] = (
    (128e3, zstd.THOROUGH),
    (250e3, zstd.GOOD),
    (12.5e6, zstd.QUICK),
)
"""Below which rate, in bytes a second: each takes up to a fifth of a core there; what is faster needs none."""
HEADERS_BELOW: Final = 2.5e6
"""Bytes a second from which the headers of a flow that does not shrink are left as they are: they are 3 % of it, while
5 us a packet at each end are what counts then. Where the kernel hands over trains, a header costs next to nothing."""
RATE_SHARE: Final = 1 / 1024  # of a packet in the average rate: what is hoped for while a rate is found must not count
GAIN_SHARE: Final = 1 / 8  # of a packet in the average of what compression gains
LEAST_GAIN: Final = 1.25  # from which queues are measured anew: headers alone gain less
LONG_GROUP: Final = 2  # symbols
LONGEST_GROUP: Final = MAX_PAYLOAD - INNER_MTU  # bytes up to which another packet joins
SMALLEST_STREAMED: Final = 32  # bytes of payload
MAX_SUSPECTS: Final = 1024


class _Staged:
    """The inner packet whose turn it is: what is left of it, compressed or not."""

    __slots__ = ("flow", "encoding", "body", "is_first", "is_stream", "may_part")

    def __init__(self, flow: Flow, encoding: int, body: bytes) -> None:
        """`may_part`: what has no order must be whole, unless it is too large for that."""
        self.flow = flow
        self.encoding = encoding
        self.body = body
        self.is_first = True
        self.is_stream = flow.is_stream
        self.may_part = flow.is_tcp


class Composer:
    """One connection's outgoing inner packets."""

    __slots__ = (
        "largest_symbol",
        "saved_by_headers",
        "saved_by_payload",
        "slow_starts",
        "staged",
        "_behind",
        "_company_until",
        "_compressor",
        "_flows",
        "_gain",
        "_has_dns",
        "_has_groups",
        "_has_headers",
        "_long_symbol",
        "_queue",
        "_rate",
        "_references",
        "_staged",
        "_streams",
        "_suspects",
        "_usual_rate",
    )

    def __init__(self, agreement: Agreement) -> None:
        self.largest_symbol = MAX_SYMBOL
        """That the path carries."""
        self.saved_by_headers = 0
        """Bytes, as below."""
        self.saved_by_payload = 0
        self.slow_starts = SlowStarts()
        self.staged = 0
        """Packets made ready one by one so far: what a turn's work is made of where they are small."""
        self._behind: deque[_Staged] = deque()
        """Taken with the one whose turn it is, and what could not be told with it."""
        self._company_until = 0.0
        self._compressor = PacketCompressor() if agreement.zstd else None
        self._flows = FlowTable()
        self._gain = 1.0  # bytes of inner packets for one sent: queues are measured in the former
        self._has_dns = agreement.dns
        self._has_groups = agreement.groups
        self._has_headers = agreement.headers
        self._long_symbol = MAX_SYMBOL  # a symbol above that would keep those in a hurry waiting
        self._queue = FlowQueue()
        self._rate = self._usual_rate = 0.0
        self._references = References()
        self._streams = Streams(agreement.streams)
        self._suspects: dict[bytes, None] = {}
        self._staged: _Staged | None = None

    @property
    def has_data(self) -> bool:
        """Whether there is anything to compose a symbol of."""
        return self._queue.bytes > 0 or self._staged is not None or bool(self._behind)

    @property
    def queued_bytes(self) -> int:
        return self._queue.bytes

    @property
    def dropped(self) -> int:
        """Packets refused by a full queue."""
        return self._queue.dropped

    @property
    def refused(self) -> int:
        """Packets for which their queue had no room."""
        return self._queue.refused

    def refuse(self) -> None:
        """Counts a packet that was not even looked at, because its queue has no room."""
        self._queue.dropped += 1
        self._queue.refused += 1

    def add(
        self, packet: bytes, inner: Inner, *, rate: float, prompt_id: int, now: float, found: float | None = None
    ) -> bytes | None:
        """Queues the packet, or returns its record when it is prompt: then it gets this id, or is dropped.

        `rate` bytes a second bound the queue, what the path may carry; `found`, where that is less, is what it is
        known to carry, and says how much effort is worth it.
        """
        flow = self._flows.find(inner, now, size=len(packet), rate=rate)
        if flow.is_tcp and not inner.is_pure_ack:
            flow.dialogue.on_segment(packet, now)
        flow.is_background = is_background(packet)
        is_sparse = inner.protocol != TCP and flow.is_sparse_with(len(packet), now)
        flow.is_stream = not (flow.is_tcp or is_sparse or flow.is_crowd)
        is_sparse = is_sparse and not (flow.is_background or flow.is_crowd)
        if len(packet) <= min(LARGEST_PROMPT, self.largest_symbol - PROMPT_ROOM) and (inner.is_pure_ack or is_sparse):
            if is_sparse:
                self._note_company(rate, now)
            return self._prompt(flow, packet, inner.protocol, prompt_id, now)
        if flow.is_tcp and len(packet) <= LARGEST_KEY and not flow.packets and self._queue.bytes:
            self._note_company(rate, now)
        self._rate = rate if found is None else found
        self._usual_rate += (rate - self._usual_rate) * RATE_SHARE
        self._note_growth(flow, len(packet), is_path_known=rate == self._rate, now=now)
        self._queue.push(flow, packet, rate=rate, gain=self._gain if self._gain > LEAST_GAIN else 1.0, now=now)
        return None

    def add_train(self, train: Train, inner: Inner, *, rate: float, now: float, found: float | None = None) -> None:
        """Queues the segments of a train, as `add` does with packets that are not prompt."""
        self._rate = rate if found is None else found
        flow = self._flows.find(inner, now)
        self._note_growth(flow, len(train), is_path_known=rate == self._rate, now=now)
        self._queue.push(flow, train, rate=rate, gain=self._gain if self._gain > LEAST_GAIN else 1.0, now=now)

    def _note_growth(self, flow: Flow, size: int, *, is_path_known: bool, now: float) -> None:
        if flow.is_tcp and not flow.growth.is_over:
            self.slow_starts.on_segments(
                flow.key,
                flow.growth,
                size,
                queued=flow.queued_bytes,
                round_trip=self._queue.round_trip,
                is_path_known=is_path_known,
                now=now,
            )

    def on_round_trip(self, seconds: float, now: float) -> None:
        """The path's is so long: queues are measured by it."""
        self._queue.round_trip = seconds
        if now > self._company_until:
            self._long_symbol = MAX_SYMBOL

    @property
    def new_symbol(self) -> int:
        """Bytes that a new symbol may have."""
        largest, long = self.largest_symbol, self._long_symbol
        return largest if largest <= long else long

    @property
    def has_short_symbols(self) -> bool:
        """Whether they are cut for somebody in a hurry."""
        return self._long_symbol < self.largest_symbol

    def may_wait(self, packet: bytes, inner: Inner, now: float) -> bool:
        """Whether this pure acknowledgement may wait for a segment of its flow, which will say as much."""
        return self._flows.find(inner, now).dialogue.may_wait(packet, now)

    def on_prompt_acked(self, prompt_id: int) -> None:
        """The prompt arrived."""
        self._references.on_acked(prompt_id)

    def on_lost(self, lost: frames.Lost) -> None:
        """The receiver does not hold what we build on: begin anew."""
        if lost.what == frames.LOST_LANE:
            lane = self._flows.lane(lost.number)
            if lane is not None:
                lane.header = None
                self._streams.forget(lost.number)
        elif lost.what == frames.LOST_REFERENCE:
            self._references.forget(lost.number & 0xFF)

    def distrust(self, key: bytes) -> None:
        """The other direction of this flow carries credentials."""
        self._suspects[key] = None
        if len(self._suspects) > MAX_SUSPECTS:
            del self._suspects[next(iter(self._suspects))]

    @property
    def is_near(self) -> bool:
        """Whether the record made last may go as a near prompt, when it leaves for the first time and in its turn."""
        return self._references.is_near

    def prompt_frame(self, prompt_id: int, record: bytes, *, is_near: bool) -> bytes:
        """The frame of a prompt record: the small forms belong to the feature."""
        if is_near:
            return frames.encode_near_prompt(prompt_id, record)
        if self._has_headers:
            return frames.encode_small_prompt(prompt_id, record)
        return frames.encode_prompt(prompt_id, record)

    def compose_run(self, count: int, *, beyond: int) -> list[bytes]:
        """Up to `count` symbols as `compose(largest_symbol)` makes them, as long as the first record of each is whole
        and would not have fitted `beyond` bytes."""
        symbols: list[bytes] = []
        while len(symbols) < count:
            ahead = self._plain_train()
            if ahead is not None:
                if ahead[1].segment_size + records.RECORD_OVERHEAD < beyond:
                    break
                symbols += self._cut(*ahead, count - len(symbols))
                continue
            staged = self._staged or self._stage()
            size = len(staged.body) + records.RECORD_OVERHEAD if staged is not None else 0
            if not beyond < size <= self.largest_symbol:
                break
            symbols.append(self.compose(self.largest_symbol))
        return symbols

    def compose(self, room: int) -> bytes:
        """The records of a new symbol, at most `room` bytes; empty when nothing waits or fits."""
        ahead = self._plain_train()
        if ahead is not None and ahead[1].segment_size + LARGEST_RECORD_HEAD <= room:
            return self._cut(*ahead, 1)[0]
        placed: list[records.Record] = []
        while len(placed) < records.MAX_RECORDS:
            if placed and self._plain_train() is not None:
                break
            staged = self._staged or self._stage()
            if staged is None:
                break
            room -= records.RECORD_OVERHEAD + bool(placed) * records.SIZE_FIELD  # the one before is not the last
            if len(staged.body) <= room:
                placed.append(_record(staged, staged.body, is_last=True))
                room -= len(staged.body)
                self._staged = None
            elif room >= LEAST_PART and self._may_part(staged):
                placed.append(_record(staged, staged.body[:room], is_last=False))
                staged.body = staged.body[room:]
                staged.is_first = False
                break
            else:
                break
        last = len(placed) - 1
        if not last:
            return records.encode(placed[0], is_sized=False)
        return b"".join(records.encode(record, is_sized=index < last) for index, record in enumerate(placed))

    def _note_company(self, rate: float, now: float) -> None:
        """Somebody is in a hurry, and stands behind whatever is being sent."""
        self._company_until = now + COMPANY
        self._long_symbol = min(MAX_SYMBOL, max(LEAST_SYMBOL, int(rate * LONG_SYMBOL)))

    def _may_part(self, staged: _Staged) -> bool:
        if not staged.may_part and len(staged.body) + records.RECORD_OVERHEAD > self.new_symbol:
            staged.may_part = True
            staged.flow.lane.header = None  # the receiver will see a packet there that no TCP header can build on
        return staged.may_part

    def _prompt(self, flow: Flow, packet: bytes, protocol: int, prompt_id: int, now: float) -> bytes:
        if self._has_headers:
            before = self.saved_by_payload
            record = self._references.compress(
                packet, protocol, flow.prompt_memory, prompt_id=prompt_id, now=now, shrink=partial(self._shrink, flow)
            )
            self.saved_by_headers += len(packet) + 1 - len(record) - (self.saved_by_payload - before)
            return record
        encoding, body = self._compress(flow, packet)
        return records.encode(records.Record(encoding, True, True, records.UNORDERED, 0, body), is_sized=False)

    def _stage(self) -> _Staged | None:
        if self._behind:
            self._staged = self._behind.popleft()
            return self._staged
        waiting, flow = self._queue.bytes, self._queue.head()
        if flow is None:
            return None
        self.staged += 1
        train = self._queue.train(flow)
        packet = self._queue.pop(flow)
        if self._has_headers:
            if flow.is_tcp:
                encoding, body = self._pack_in_order(flow, packet, in_train=train is not None)
            else:
                encoding, body = self._pack_alone(flow, packet)
        else:
            encoding, body = self._compress(flow, packet)
        if train is not None:
            train.header = flow.lane.header
        taken, made = waiting - self._queue.bytes, len(body) + 1
        if self._behind:
            made += sum([len(staged.body) for staged in self._behind])
        self._gain += (taken / made - self._gain) * min(1.0, taken / len(packet) * GAIN_SHARE)
        if flow.is_stream:
            flow.lane.header = None  # the receiver will see a packet in this lane that no TCP header can build on
        self._staged = _Staged(flow, encoding, body)
        return self._staged

    def _plain_train(self) -> tuple[Flow, Train] | None:
        """The train whose turn it is, if its next segment fills a symbol of its own, is a delta of one byte, and is not
        to be compressed."""
        flow = self._queue.head() if self._staged is None and not self._behind else None
        train = self._queue.train(flow) if flow is not None else None
        if flow is None or train is None:
            return None
        if (self._tries(flow) and not flow.shrinkage.rest) or not self.largest_symbol < 2 * train.segment_size < 2 * (
            self.largest_symbol - LARGEST_RECORD_HEAD
        ):
            return None
        last = flow.lane.header
        if train.header is last and train.is_plain:
            return flow, train
        return (flow, train) if self._has_headers and last is not None and train.follow(last) else None

    def _tries(self, flow: Flow) -> bool:
        """Whether some of the flow's packets are compressed, or tried: those behind the ones that it may rest."""
        return self._compressor is not None and not flow.is_crowd and self._rate < EFFORTS[-1][0]

    def _cut(self, flow: Flow, train: Train, count: int) -> list[bytes]:
        """Plain segments of a train as symbols. The hot path of a transfer, hence by the run."""
        before, tries = len(train), self._tries(flow)
        bodies = self._queue.take(flow, train, min(count, flow.shrinkage.rest) if tries else count)
        flow.shrinkage.rest -= len(bodies) if tries else 0
        lane = flow.lane
        lane.header = train.header
        start = lane.take_sequences(len(bodies))
        head = records.ordered_head(records.Encoding.DELTA, lane.flow_id)
        size = before - len(train)
        self.saved_by_headers += size - sum(map(len, bodies))
        self._gain += (size / sum(map(len, bodies)) - self._gain) * min(1.0, len(bodies) * GAIN_SHARE)
        return [
            b"".join((head, (sequence & 0xFFFF).to_bytes(2, "big"), body))
            for sequence, body in enumerate(bodies, start)
        ]

    def _pack_in_order(
        self, flow: Flow, packet: bytes, *, in_train: bool, may_gather: bool = True
    ) -> tuple[int, bytes]:
        lane = flow.lane
        if not in_train and self._usual_rate >= HEADERS_BELOW and (self._compressor is None or flow.shrinkage.rest > 1):
            flow.shrinkage.rest = max(0, flow.shrinkage.rest - 1)  # with the last of them there is a header again
            lane.header = None
            return records.Encoding.PLAIN, packet
        packed = tcp.compress(lane.header, packet) if lane.header is not None else None
        if packed is None:
            lane.header = tcp.remember(packet)
            return records.Encoding.PLAIN, packet
        delta, payload, lane.header = packed
        self.saved_by_headers += len(packet) - len(payload) - len(delta)
        effort = self._effort(flow, payload)
        if effort is None:
            return records.Encoding.DELTA, delta + payload
        members = [(delta, payload)]
        odd = self._gather(flow, members) if may_gather and self._has_groups else None
        encoding, body = self._pack_stream(flow, members, effort)
        if odd is not None:
            self._behind.append(_Staged(flow, *self._pack_in_order(flow, odd, in_train=True, may_gather=False)))
        return encoding, body

    def _effort(self, flow: Flow, payload: bytes) -> zstd.Effort | None:
        """What this payload of a TCP segment is worth whose header is sent as a delta; None where it stays as it is."""
        if len(payload) < SMALLEST_STREAMED:
            flow.watch.note(payload)  # a name and a password are short
            return None
        if self._compressor is None or flow.is_crowd or not flow.shrinkage.is_due():
            return None
        if looks_random(payload):
            flow.shrinkage.note(did_shrink=False)
            return None
        effort = next((effort for limit, effort in EFFORTS if self._rate < limit), None)
        if effort is None or not flow.watch.note(payload) or flow.key in self._suspects:
            return None
        return effort

    def _gather(self, flow: Flow, members: list[tuple[bytes, bytes]]) -> bytes | None:
        """Adds (delta, payload) of packets that wait behind until they fill a symbol together; returns one that was
        taken from the queue and must be told by itself."""
        lane = flow.lane
        room = self.largest_symbol * self._streams.ratio(lane.flow_id)
        if self._queue.is_alone and not self.has_short_symbols:
            room *= LONG_GROUP
        room = min(room, LONGEST_GROUP) - len(members[0][1])
        while flow.packets and room > 0 and len(members) < groups.MOST:
            packet = self._queue.pop(flow)
            packed = tcp.compress(lane.header, packet) if lane.header is not None else None
            if packed is None or len(packed[0]) > groups.LONGEST_DELTA or self._effort(flow, packed[1]) is None:
                return packet
            delta, payload, lane.header = packed
            self.saved_by_headers += len(packet) - len(payload) - len(delta)
            members.append((delta, payload))
            room -= len(payload)
        return None

    def _pack_stream(self, flow: Flow, members: list[tuple[bytes, bytes]], effort: zstd.Effort) -> tuple[int, bytes]:
        """The payloads as the next piece of the flow's history. Where that does not pay all but the first go behind."""
        payload = b"".join(payload for _, payload in members)
        packed = self._streams.compress(flow.lane.flow_id, payload, effort=effort, kind=kind_of(payload))
        flow.shrinkage.note(did_shrink=packed is not None)
        if packed is None:
            first, *others = [delta + payload for delta, payload in members]
            self._behind.extend(_Staged(flow, records.Encoding.DELTA, body) for body in others)
            return records.Encoding.DELTA, first
        is_new, piece = packed
        self.saved_by_payload += len(payload) - len(piece)
        if len(members) > 1:
            heads = [(delta, len(payload)) for delta, payload in members]
            return records.Encoding.GROUP, groups.encode(heads, piece, is_new=is_new)
        return records.Encoding.STREAM_START if is_new else records.Encoding.STREAM, members[0][0] + piece

    def _pack_alone(self, flow: Flow, packet: bytes) -> tuple[int, bytes]:
        parsed = exchange.parse(packet)
        if parsed is None:
            return self._compress(flow, packet)
        head = exchange.encode(parsed[0])
        self.saved_by_headers += exchange.HEADER_SIZE - len(head)
        shrunk = self._shrink(flow, parsed[1])
        if shrunk is not None:
            return records.Encoding.ALONE_ZSTD, head + shrunk
        return records.Encoding.ALONE, head + parsed[1]

    def _shrink(self, flow: Flow, payload: bytes) -> bytes | None:
        """A payload of UDP compressed by itself, if that pays and nothing in it must stay unguessed."""
        if self._compressor is None:
            return None
        kind = Kind.DNS if self._has_dns and is_dns(flow.key) else Kind.NONE
        body = self._compressor.compress(payload, flow.shrinkage, kind)
        if body is None or not flow.watch.note(payload):
            return None
        padded = pad(body, kind=kind)
        if len(padded) >= len(payload):
            return None
        self.saved_by_payload += len(payload) - len(padded)
        return padded

    def _compress(self, flow: Flow, data: bytes) -> tuple[int, bytes]:
        if self._compressor is not None:
            body = self._compressor.compress(data, flow.shrinkage)
            if body is not None:
                self.saved_by_payload += len(data) - len(body)
                return records.Encoding.ZSTD, body
        return records.Encoding.PLAIN, data


def _record(staged: _Staged, body: bytes, *, is_last: bool) -> records.Record:
    flow = staged.flow
    if staged.is_first and is_last and not (flow.is_tcp or staged.is_stream):
        return records.Record(staged.encoding, True, True, records.UNORDERED, 0, body)
    fields = staged.encoding, staged.is_first, is_last, flow.lane.flow_id, flow.lane.next_sequence(), body
    return tuple.__new__(records.Record, fields)  # half of what the constructor takes

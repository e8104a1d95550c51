"""Prompt packets come back as they were or not at all, whatever is lost, late or repeated."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.compression.payload import unpad
from ghost.compression.references import COUNT, REDEFINE_AFTER, PromptMemory, References, ReferenceTable
from ghost.errors import PeerError
from ghost.wire import frames, records
from ghost.wire.inner import TCP, UDP, parse
from ghost.wire.records import Encoding

Make = Callable[..., bytes]
RESTORABLE = {
    *(
        records.WHOLE | value
        for name, value in vars(Encoding).items()
        if name.isupper() and value >= Encoding.REFERENCE
    ),
}


def _restore(table: ReferenceTable, record: bytes, prompt_id: int, packet_number: int | None = None) -> bytes:
    packet_number = prompt_id if packet_number is None else packet_number
    return table.restore(record, prompt_id, expand=unpad, packet_number=packet_number)


def restore(table: ReferenceTable, record: bytes, prompt_id: int, packet_number: int | None = None) -> bytes:
    if record[0] == records.WHOLE | Encoding.PLAIN:
        return record[1:]
    return _restore(table, record, prompt_id, packet_number)


def acknowledgement(make_tcp: Make, number: int, *, ports: bytes = b"\x9c\x40\x01\xbb") -> bytes:
    """One of a download that makes an acknowledgement each 4 ms."""
    return make_tcp(
        ack=9 + number * 2664,
        stamps=(70_000 + number * 4, 80_000 + number * 4),
        ident=(500 + number) & 0xFFFF,
        window=501 + number // 40,
        ports=ports,
    )


def test_acknowledgements_of_a_download_take_eight_bytes_each(make_tcp: Make) -> None:
    """In the datagram, frame and all, half a round trip of 100 ms behind on definitions."""
    references, memory, table = References(), PromptMemory(), ReferenceTable()
    sizes, under_way = [], []
    for number in range(1000):
        now = number * 0.004
        while under_way and under_way[0][0] <= now:
            references.on_acked(under_way.pop(0)[1])
        packet = acknowledgement(make_tcp, number)
        record = references.compress(packet, TCP, memory, prompt_id=number, now=now)
        assert restore(table, record, number) == packet
        if references.is_near:
            frame = frames.encode_near_prompt(number, record)
            assert frames.decode(frame) == [frames.NearPrompt(number & 0xFF, record)]
            assert table.near_id(record, number & 0xFF, packet_number=number) == number
        else:
            frame = frames.encode_small_prompt(number, record)
            assert frames.decode(frame) == [frames.Prompt(number, record)]
        sizes.append(len(frame))
        under_way.append((now + 0.1, number))
    mean = sum(sizes[50:]) / len(sizes[50:])
    print(f"{mean:.2f} bytes for a pure acknowledgement of 52")
    assert mean <= 8


@pytest.mark.parametrize("seed", range(20))
def test_loss_reordering_and_repetition_never_change_a_packet(make_tcp: Make, make_udp: Make, seed: int) -> None:
    """Flows of both kinds over a path that loses, delays by up to seconds and repeats."""
    rng = random.Random(seed)
    references, table = References(), ReferenceTable()
    flow_count = rng.choice([3, 400])
    memories = [PromptMemory() for _ in range(flow_count)]
    arrivals: list[tuple[float, int, bytes, bytes, bool, int]] = []
    news: list[tuple[float, int]] = []
    restored = refused = smaller = near = 0
    for prompt_id in range(3000):
        now = prompt_id * 0.005
        while news and news[0][0] <= now:
            references.on_acked(news.pop(0)[1])
        which = rng.randrange(flow_count)
        ports = which.to_bytes(2, "big") + b"\x01\xbb"
        is_tcp = which % 2 == 0
        if is_tcp:
            packet = acknowledgement(make_tcp, prompt_id, ports=ports)
        else:
            packet = make_udp(rng.randbytes(rng.randrange(30)), ports=ports, ident=prompt_id // 3 & 0xFFFF)
        record = references.compress(packet, TCP if is_tcp else UDP, memories[which], prompt_id=prompt_id, now=now)
        smaller += len(record) < len(packet)
        near += references.is_near
        for copy in range(rng.choice([0, 1, 1, 1, 2])):
            is_near = references.is_near and not copy
            number = 2 * prompt_id + copy
            delay = rng.choice([0.02, 0.02, 0.05, 0.5, 3.0]) * rng.random()
            arrivals.append((now + delay, prompt_id, record, packet, is_near, number))
        arrivals.sort(key=lambda each: each[0])
        while arrivals and arrivals[0][0] <= now:
            _, arrived, data, original, is_near, number = arrivals.pop(0)
            if data[0] == records.WHOLE | Encoding.ALONE:
                continue  # holds everything itself
            try:
                if is_near:
                    assert table.near_id(data, arrived & 0xFF, packet_number=number) == arrived, f"seed {seed}"
                assert restore(table, data, arrived, number) == original, f"seed {seed}"
                restored += 1
            except PeerError:
                refused += 1
            news.append((now + 0.02, arrived))
    print(f"seed {seed}: {restored} restored, {refused} refused for being late, {smaller} of 3000 smaller")
    assert restored > 5 * refused
    assert smaller > 1000
    assert near > 100


def test_a_record_made_for_an_earlier_reference_of_the_same_number_is_refused(make_tcp: Make) -> None:
    references, memory, table = References(), PromptMemory(), ReferenceTable()
    for number in range(2):
        record = references.compress(acknowledgement(make_tcp, number), TCP, memory, prompt_id=number, now=0.0)
        _restore(table, record, number) if number else None
        references.on_acked(number)
    late = references.compress(acknowledgement(make_tcp, 2), TCP, memory, prompt_id=2, now=0.0)
    others = [PromptMemory() for _ in range(COUNT)]
    for index, other in enumerate(others):  # every number is given away
        for again in range(2):
            prompt_id = 3 + 2 * index + again
            packet = acknowledgement(make_tcp, again, ports=index.to_bytes(4, "big"))
            restore(table, references.compress(packet, TCP, other, prompt_id=prompt_id, now=1.0), prompt_id)
    with pytest.raises(PeerError, match="reference"):
        _restore(table, late, 2)
    assert references.compress(acknowledgement(make_tcp, 3), TCP, memory, prompt_id=999, now=1.0)[0] == (
        records.WHOLE | Encoding.PLAIN_DEFINE
    )


def test_an_id_that_is_used_again_after_a_drop_confirms_nothing(make_tcp: Make) -> None:
    references, memory = References(), PromptMemory()
    references.compress(acknowledgement(make_tcp, 0), TCP, memory, prompt_id=0, now=0.0)
    references.compress(acknowledgement(make_tcp, 1), TCP, memory, prompt_id=1, now=0.0)  # defines, then is dropped
    references.compress(acknowledgement(make_tcp, 2), TCP, memory, prompt_id=1, now=0.0)
    references.on_acked(1)
    assert memory.known is None


def test_a_flow_whose_headers_do_not_change_defines_once(make_udp: Make) -> None:
    references, memory = References(), PromptMemory()
    heads = []
    for number in range(100):
        record = references.compress(make_udp(b"voice"), UDP, memory, prompt_id=number, now=number * REDEFINE_AFTER)
        references.on_acked(number)
        heads.append(record[0] & records.ENCODING_MASK)
    assert heads == [Encoding.ALONE, Encoding.ALONE_DEFINE] + [Encoding.REFERENCE] * 98


def test_a_flow_of_echoes_defines_anew_when_its_differences_grow(make_echo: Make) -> None:
    references, memory = References(), PromptMemory()
    heads = []
    for number in range(600):
        record = references.compress(
            make_echo(bytes(56), ident_pair=(1, number)), 1, memory, prompt_id=number, now=number * REDEFINE_AFTER
        )
        references.on_acked(number)
        heads.append(record[0] & records.ENCODING_MASK)
    assert heads[:2] == [Encoding.ALONE, Encoding.ALONE_DEFINE]
    assert set(heads[2:]) == {Encoding.REFERENCE, Encoding.REFERENCE_DEFINE}
    assert heads.count(Encoding.REFERENCE_DEFINE) == 2, "once for 256 echoes: then their number takes two bytes"


@given(st.binary(min_size=1, max_size=60), st.sampled_from(sorted(RESTORABLE)))
def test_any_record_restores_or_is_a_peers_fault(make_tcp: Make, make_udp: Make, data: bytes, head: int) -> None:
    table = ReferenceTable()
    _restore(table, bytes((records.WHOLE | Encoding.PLAIN_DEFINE, 0)) + make_tcp(stamps=(1, 2)), 0)
    definition = References()
    memory = PromptMemory()
    for number in range(2):
        record = definition.compress(make_udp(b"x"), UDP, memory, prompt_id=number, now=0.0)
    _restore(table, record[:1] + b"\x01" + record[2:], 1)
    for record in (bytes((head,)) + data, data):
        try:
            packet = _restore(table, record, 5)
        except PeerError:
            continue
        assert parse(packet) is not None or record[0] == records.WHOLE | Encoding.PLAIN_DEFINE

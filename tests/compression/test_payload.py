"""A packet comes back as it was, none grows, and a bomb is refused before it costs memory."""

from __future__ import annotations

import contextlib
import itertools
import random
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ghost.compression.dictionaries import Kind
from ghost.compression.payload import BUCKET, MAX_PACKET, PacketCompressor, Shrinkage, pad, unpad_packet
from ghost.errors import PeerError

BOMB = 10 << 20  # bytes
MODEST = 1 << 20  # bytes that refusing it may cost


def frame(content: bytes, **options: object) -> bytes:
    """A frame as a stranger could write it."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_checksum=False, **options
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(content)


ANNOUNCED = frame(bytes(BOMB), write_content_size=True)
SILENT = frame(bytes(BOMB), write_content_size=False, window_log=16)
WIDE_WINDOW = frame(bytes(BOMB), write_content_size=False, window_log=23)


def peak_memory(work: Callable[[], object]) -> int:
    """Bytes that `work` had allocated at once, whether or not it ended in a refusal."""
    tracemalloc.start()
    try:
        with contextlib.suppress(PeerError):
            work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=2000) | st.binary(min_size=1, max_size=40).map(lambda part: part * 40))
def test_what_was_compressed_comes_back_and_is_smaller(packet: bytes) -> None:
    compressor = PacketCompressor()
    body = compressor.compress(packet, Shrinkage())
    if body is not None:
        assert len(body) < len(packet)
        assert compressor.decompress(body) == packet


@pytest.mark.parametrize("size", [128, 576, 1384, MAX_PACKET])
def test_text_shrinks_and_comes_back_at_the_other_end(size: int) -> None:
    packet = (b"the quick brown fox jumps over the lazy dog; " * 1500)[:size]
    body = PacketCompressor().compress(packet, Shrinkage())
    assert body is not None
    assert len(body) < 0.9 * size
    assert PacketCompressor().decompress(body) == packet


def test_random_bytes_and_tiny_packets_stay_as_they_are() -> None:
    compressor = PacketCompressor()
    assert compressor.compress(random.Random(1).randbytes(1384), Shrinkage()) is None
    assert compressor.compress(bytes(100), Shrinkage()) is None


def test_packets_share_no_history() -> None:
    compressor, packet = PacketCompressor(), b"the same words, " * 60
    first, second = (compressor.compress(packet, Shrinkage()) for _ in range(2))
    assert first == second
    assert second is not None
    assert PacketCompressor().decompress(second) == packet


@pytest.mark.parametrize("bomb", [ANNOUNCED, SILENT, WIDE_WINDOW], ids=["announced", "silent", "wide window"])
def test_a_bomb_is_refused_without_its_memory(bomb: bytes) -> None:
    assert len(bomb) < MAX_PACKET
    compressor = PacketCompressor()
    with pytest.raises(PeerError, match="malformed"):
        compressor.decompress(bomb)
    assert peak_memory(lambda: compressor.decompress(bomb)) < MODEST


def test_the_measure_of_memory_sees_a_bomb_go_off() -> None:
    careless = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    assert peak_memory(lambda: careless.decompress(ANNOUNCED)) > BOMB


def test_one_byte_more_than_a_packet_is_refused() -> None:
    largest = frame(bytes(MAX_PACKET), write_content_size=False, window_log=16)
    assert PacketCompressor().decompress(largest) == bytes(MAX_PACKET)
    with pytest.raises(PeerError, match="malformed"):
        PacketCompressor().decompress(frame(bytes(MAX_PACKET + 1), write_content_size=False, window_log=16))


@given(st.binary(max_size=200))
def test_any_bytes_decompress_or_are_a_peers_fault(data: bytes) -> None:
    with contextlib.suppress(PeerError):
        assert len(PacketCompressor().decompress(data)) <= MAX_PACKET


@given(st.data())
def test_a_damaged_frame_decompresses_or_is_a_peers_fault(data: st.DataObject) -> None:
    body = bytearray(frame(b"some text, some more text, and the same text again" * 8, write_content_size=False))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(PeerError):
        assert len(PacketCompressor().decompress(bytes(body))) <= MAX_PACKET


def tries(shrinkage: Shrinkage, count: int, *, did_shrink: bool) -> list[int]:
    """Which of the next `count` packets were tried, when every try ends the same way."""
    tried = []
    for number in range(count):
        if shrinkage.is_due():
            tried.append(number)
            shrinkage.note(did_shrink=did_shrink)
    return tried


def test_a_flow_that_does_not_shrink_is_left_alone_for_longer_and_longer() -> None:
    tried = tries(Shrinkage(), 5000, did_shrink=False)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert gaps[:8] == [2, 4, 8, 16, 32, 64, 128, 256]
    assert set(gaps[8:]) == {256}


def test_a_flow_that_begins_to_shrink_is_compressed_at_once_again() -> None:
    shrinkage = Shrinkage()
    tries(shrinkage, 1000, did_shrink=False)
    tried = tries(shrinkage, 600, did_shrink=True)
    assert tried[0] <= 256
    assert tried == list(range(tried[0], 600))


QUERY = bytes.fromhex("1a2b01000001000000000001") + b"\x08meadow17\x03org\0\0\x1c\0\x01\0\0\x29\x04\xd0" + bytes(6)
ANSWER = (
    bytes.fromhex("1a2b81800001000300000000") + QUERY[12:-11]
    + bytes.fromhex("c00c00050001000001200014") + b"\x0emeadow17quartz\x04edge\0"
    + bytes.fromhex("c00c000100010000012c0004c6120001") + bytes.fromhex("c00c000100010000012c0004c6120002")
)  # fmt: skip


@pytest.mark.parametrize(("message", "most"), [(QUERY, 32), (ANSWER, 80)], ids=["query", "answer"])
def test_a_question_for_a_name_never_seen_shrinks_by_the_dictionary(message: bytes, most: int) -> None:
    assert PacketCompressor().compress(message, Shrinkage()) is None
    body = PacketCompressor().compress(message, Shrinkage(), Kind.DNS)
    assert body is not None
    padded = pad(body, kind=Kind.DNS)
    assert len(padded) <= most < len(message)
    assert len(padded) % BUCKET == 0
    found, kind = unpad_packet(padded)
    assert PacketCompressor().decompress(found, kind) == message


@pytest.mark.parametrize("padded", [b"", b"\0", b"\x10frame", b"\x20frame", b"\x40frame", b"\x3f"])
def test_a_dictionary_that_no_packet_has_is_malformed(padded: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        unpad_packet(padded)

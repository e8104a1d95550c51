"""A flow's history comes back at the other end, in bounded memory, by either library, and nonsense is refused."""

from __future__ import annotations

import contextlib
import hashlib
import random
from pydoc_data.topics import topics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.compression import zstd
from ghost.compression.dictionaries import DICTIONARIES, STREAM_KINDS, Kind
from ghost.compression.payload import BUCKET
from ghost.compression.streams import MAX_PAYLOAD, Streams, StreamTable
from ghost.errors import PeerError

LINE = b"%d: the quick brown fox jumps over the lazy dog, and what it says is %d\n"
EFFORTS = {"quick": zstd.QUICK, "good": zstd.GOOD, "thorough": zstd.THOROUGH}


def text(number: int) -> bytes:
    return b"".join(LINE % (number, each * each) for each in range(number, number + 10))


def use(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Makes one of the two libraries the only one."""
    if library == "package":
        pytest.importorskip("zstandard")
        return
    try:
        from compression import zstd as standard
    except ImportError:
        standard = pytest.importorskip("backports.zstd")  # the same interface for older Pythons
    monkeypatch.setattr(zstd, "standard", standard)
    monkeypatch.setattr(zstd, "zstandard", None)


@pytest.fixture(params=["package", "standard"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use(monkeypatch, request.param)
    return str(request.param)


def compress(streams: Streams, lane: int, payload: bytes) -> tuple[bool, bytes]:
    packed = streams.compress(lane, payload, effort=zstd.QUICK, kind=Kind.WEB)
    assert packed is not None
    return packed


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("effort", EFFORTS.values(), ids=EFFORTS)
def test_text_comes_back_and_shrinks_the_more_the_longer(effort: zstd.Effort) -> None:
    streams, table, sizes = Streams(16), StreamTable(16), []
    for number in range(30):
        packed = streams.compress(1, text(number), effort=effort, kind=Kind.WEB)
        assert packed is not None
        assert packed[0] is (number == 0)
        assert table.expand(1, packed[1], is_new=packed[0]) == text(number)
        sizes.append(len(packed[1]))
    assert sizes[-1] <= sizes[0] / 2 < len(text(0)) / 3


@pytest.mark.parametrize(("sender", "receiver"), [("package", "standard"), ("standard", "package")])
def test_either_library_reads_the_other(sender: str, receiver: str) -> None:
    streams, table, bodies = Streams(4), StreamTable(4), []
    with pytest.MonkeyPatch.context() as patch:
        use(patch, sender)
        bodies = [compress(streams, 1, text(number)) for number in range(5)]
    with pytest.MonkeyPatch.context() as patch:
        use(patch, receiver)
        assert [table.expand(1, body, is_new=is_new) for is_new, body in bodies] == [text(n) for n in range(5)]


def test_short_bodies_come_in_few_lengths() -> None:
    streams = Streams(4)
    lengths = {len(compress(streams, 1, b"key %d, " % number + b"and the same words " * 6)[1]) for number in range(90)}
    print(sorted(lengths))
    assert all(length % BUCKET == 0 for length in lengths)


def test_what_does_not_shrink_is_given_back_and_its_history_forgotten() -> None:
    streams = Streams(4)
    compress(streams, 1, text(0))
    noise = random.Random(1).randbytes(1300)
    assert streams.compress(1, noise, effort=zstd.QUICK, kind=Kind.WEB) is None
    assert compress(streams, 1, text(0))[0]


def test_memory_bounds_the_streams_of_both_ends() -> None:
    streams, table = Streams(4), StreamTable(4)
    for lane in range(100):
        is_new, body = compress(streams, lane, text(lane))
        assert table.expand(lane, body, is_new=is_new) == text(lane)
    assert compress(streams, 99, text(0))[0] is False
    assert compress(streams, 95, text(0))[0] is True
    with pytest.raises(PeerError, match="reference"):
        table.expand(0, b"\0piece", is_new=False)
    assert Streams(0).compress(1, text(0), effort=zstd.QUICK, kind=Kind.WEB) is None
    assert Streams(2).compress(1, text(0), effort=zstd.THOROUGH, kind=Kind.WEB) is None


def test_a_receivers_memory_is_bounded_by_what_the_windows_take() -> None:
    table = StreamTable(4)
    for lane in range(6):
        packed = Streams(8).compress(lane, text(lane), effort=zstd.THOROUGH, kind=Kind.WEB)
        assert packed is not None
        table.expand(lane, packed[1], is_new=True)
    with pytest.raises(PeerError, match="reference"):
        table.expand(0, b"\0piece", is_new=False)  # 4 MiB hold five of them
    with pytest.raises(PeerError, match="malformed"):
        table.expand(1, b"\0\xffpiece", is_new=False)
    small = StreamTable(1)
    is_new, body = compress(Streams(1), 1, text(1))
    for lane in range(3):
        small.expand(lane, body, is_new=is_new)
    with pytest.raises(PeerError, match="reference"):
        small.expand(0, b"\0piece", is_new=False)


def test_another_effort_waits_for_a_history_that_is_worth_less() -> None:
    streams = Streams(16)
    begun = 0
    for number in range(2000):
        effort = zstd.QUICK if number // 100 % 2 else zstd.GOOD
        packed = streams.compress(1, text(number % 50), effort=effort, kind=Kind.WEB)
        assert packed is not None
        begun += packed[0]
    assert begun == 4


def test_a_history_is_not_given_up_for_a_little_more_effort() -> None:
    streams = Streams(16)
    begun = 0
    for number in range(400):
        effort = zstd.THOROUGH if number // 100 % 2 else zstd.GOOD
        packed = streams.compress(1, text(number % 50), effort=effort, kind=Kind.WEB)
        assert packed is not None
        begun += packed[0]
    assert begun == 1


@pytest.mark.usefixtures("library")
def test_a_bomb_is_refused() -> None:
    body = b"\0\0" + zstd.compressor(zstd.QUICK, b"").compress(bytes(10 << 20))
    assert len(body) < 1400
    with pytest.raises(PeerError, match="malformed"):
        StreamTable(4).expand(1, body, is_new=True)
    largest = b"\0\0" + zstd.compressor(zstd.QUICK, b"").compress(bytes(MAX_PAYLOAD))
    assert StreamTable(4).expand(1, largest, is_new=True) == bytes(MAX_PAYLOAD)


@pytest.mark.parametrize("body", [b"", b"\1", b"\x09\0piece", b"\0\xffpiece", b"\0\0\xffpiece"], ids=bytes.hex)
def test_nonsense_is_refused(body: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        StreamTable(4).expand(1, body, is_new=True)


@given(st.data())
def test_a_damaged_piece_restores_or_is_a_peers_fault(data: st.DataObject) -> None:
    is_new, body = compress(Streams(4), 1, text(1))
    damaged = bytearray(body)
    damaged[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(PeerError):
        assert len(StreamTable(4).expand(1, bytes(damaged), is_new=is_new)) <= MAX_PAYLOAD


def test_the_dictionaries_are_those_of_the_feature() -> None:
    """Another text is another feature: the peers of today would restore garbage."""
    digests = {kind.name: hashlib.blake2s(content, digest_size=8).hexdigest() for kind, content in DICTIONARIES.items()}
    assert digests == {
        "NONE": "ef2a8b78dd80da9c",
        "WEB": "cfd5fd98eab2fc6c",
        "TLS": "c216bab3e2df4234",
        "DNS": "a39bbd121210fb47",
    }


def test_a_dictionary_helps_the_first_packet() -> None:
    head = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n"
    page = head + b'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>A page</title>\n'
    alone, helped = (len(zstd.compressor(zstd.QUICK, DICTIONARIES[kind]).compress(page)) for kind in (0, Kind.WEB))
    print(f"{len(page)} bytes of a page: {alone} alone, {helped} with the dictionary")
    assert helped < alone / 2


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("effort", EFFORTS.values(), ids=EFFORTS)
@pytest.mark.parametrize("kind", sorted(STREAM_KINDS - {Kind.NONE}), ids=lambda kind: kind.name)
def test_a_dictionary_costs_nothing_of_what_comes_later(effort: zstd.Effort, kind: Kind) -> None:
    """Whoever begins with one has the same memory for repeats."""
    manual = "".join(topics.values()).encode()[:300_000]
    pieces = [manual[at : at + 2700] for at in range(0, len(manual), 2700)]
    sizes = []
    for content in (b"", DICTIONARIES[kind]):
        stream, reader = zstd.compressor(effort, content), zstd.decompressor(content)
        bodies = [stream.compress(piece) for piece in pieces]
        assert [reader.decompress(body, MAX_PAYLOAD) for body in bodies] == pieces
        sizes.append(sum(map(len, bodies)))
    print(f"{sizes[0]} bytes without, {sizes[1]} with")
    assert sizes[1] < sizes[0] * 1.01


@pytest.mark.parametrize("kind", [Kind.NONE, Kind.DNS])
@pytest.mark.parametrize(("here", "there"), [("package", "standard"), ("standard", "package")])
def test_a_packet_of_one_library_is_read_by_the_other(
    here: str, there: str, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = b"\x08quietsea\x0acloudfront\x03net\0\0\x01\0\x01" * 3
    with monkeypatch.context() as context:
        use(context, here)
        body = zstd.packet_codec(DICTIONARIES[kind]).compress(message)
    use(monkeypatch, there)
    codec = zstd.packet_codec(DICTIONARIES[kind])
    assert [codec.decompress(body, 1000) for _ in range(2)] == [message] * 2

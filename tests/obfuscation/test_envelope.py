"""A handshake message comes back out of its envelope whatever its size, and nothing else does."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghost.constants import MAX_DATAGRAM
from ghost.crypto.backend import Backend, available, choose
from ghost.errors import PeerError
from ghost.obfuscation.envelope import ENVELOPE_OVERHEAD, Envelope
from ghost.obfuscation.mask import HeaderMask

SERVER = bytes(range(32))
SIZES = (180, 700)


@pytest.mark.parametrize("size", [0, 1, 100, 180, 650, 651, 1400])
def test_a_wrapped_message_is_unwrapped(backend: Backend, size: int) -> None:
    rng = random.Random(size)
    message = rng.randbytes(size)
    envelope = Envelope(backend, SERVER)
    assert envelope.unwrap(envelope.wrap(message, size_range=SIZES, rng=rng)) == message


def test_the_operating_systems_randomness_serves(backend: Backend) -> None:
    envelope = Envelope(backend, SERVER)
    datagrams = [envelope.wrap(b"hello", size_range=SIZES, rng=random.SystemRandom()) for _ in range(2)]
    assert [envelope.unwrap(datagram) for datagram in datagrams] == [b"hello", b"hello"]
    assert datagrams[0] != datagrams[1]


@pytest.mark.parametrize(
    ("message_size", "sizes"),
    [
        (100, range(180, 701)),
        (200, range(ENVELOPE_OVERHEAD + 200, 701)),
        (650, range(700, 701)),
        (900, range(ENVELOPE_OVERHEAD + 900, ENVELOPE_OVERHEAD + 901)),
    ],
)
def test_sizes_span_what_of_the_range_suffices(message_size: int, sizes: range) -> None:
    envelope, rng = Envelope(choose(), SERVER), random.Random(1)
    drawn = {len(envelope.wrap(bytes(message_size), size_range=SIZES, rng=rng)) for _ in range(5000)}
    assert drawn <= set(sizes)
    assert {sizes[0], sizes[-1]} <= drawn
    assert len(drawn) > 0.99 * len(sizes)


def test_the_header_says_connection_id_zero_and_differs_each_time(backend: Backend) -> None:
    envelope, rng = Envelope(backend, SERVER), random.Random(2)
    headers = [HeaderMask(SERVER).reveal(envelope.wrap(b"", size_range=SIZES, rng=rng)) for _ in range(100)]
    assert {connection_id for connection_id, _ in headers} == {0}
    assert len({low for _, low in headers}) == 100


def test_both_backends_wrap_to_the_same_bytes_and_unwrap_each_other() -> None:
    envelopes = [Envelope(backend, SERVER) for backend in available().values()]
    wrapped = {envelope.wrap(b"hello", size_range=SIZES, rng=random.Random(3)) for envelope in envelopes}
    assert len(envelopes) == 2
    assert len(wrapped) == 1
    assert [envelope.unwrap(*wrapped) for envelope in envelopes] == [b"hello", b"hello"]


def test_any_flipped_bit_is_refused(backend: Backend) -> None:
    envelope = Envelope(backend, SERVER)
    datagram = envelope.wrap(b"hello", size_range=(0, 0), rng=random.Random(4))
    for bit in range(8 * len(datagram)):
        changed = bytearray(datagram)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PeerError):
            envelope.unwrap(bytes(changed))


def test_another_servers_envelope_is_refused(backend: Backend) -> None:
    datagram = Envelope(backend, bytes(32)).wrap(b"hello", size_range=SIZES, rng=random.Random(5))
    with pytest.raises(PeerError):
        Envelope(backend, SERVER).unwrap(datagram)


def test_an_authentic_envelope_whose_length_lies_is_malformed(backend: Backend) -> None:
    key = hashlib.blake2s(SERVER, person=b"ghostenv").digest()
    sealed = backend.xaead(key).seal(bytes(24), b"\x00\x09" + bytes(8), bytes(8))
    datagram = HeaderMask(SERVER).hide(0, sealed[-16:]) + bytes(24) + sealed
    with pytest.raises(PeerError, match="malformed"):
        Envelope(backend, SERVER).unwrap(datagram)


def test_a_handshake_header_on_too_short_a_datagram_is_malformed(backend: Backend) -> None:
    for size in range(ENVELOPE_OVERHEAD - 8 - 16):
        tag = bytes(16)
        datagram = HeaderMask(SERVER).hide(0, tag) + bytes(size) + tag
        with pytest.raises(PeerError, match="malformed"):
            Envelope(backend, SERVER).unwrap(datagram)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=MAX_DATAGRAM))
def test_any_bytes_at_all_are_refused_with_a_peer_error(data: bytes) -> None:
    with pytest.raises(PeerError):
        Envelope(choose(), SERVER).unwrap(data)

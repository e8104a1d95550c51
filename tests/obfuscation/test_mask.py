"""A header comes back from under its mask, for those who know the server's key."""

from __future__ import annotations

import hashlib
import random

import pytest

from ghost.obfuscation.mask import HeaderMask

SERVER = bytes(range(32))
TAG = bytes(range(16))


@pytest.mark.parametrize("header", [0, 1, 0x12345678_9ABCDEF0, 2**64 - 1])
def test_a_hidden_header_is_revealed_from_the_datagram(header: int) -> None:
    mask = HeaderMask(SERVER)
    datagram = mask.hide(header, TAG) + b"ciphertext" + TAG
    assert mask.reveal(datagram) == (header >> 32, header & 0xFFFFFFFF)


def test_the_mask_is_keyed_blake2s_of_the_tag() -> None:
    key = hashlib.blake2s(SERVER, person=b"ghosthdr").digest()
    expected = hashlib.blake2s(TAG, key=key, digest_size=8).digest()
    assert HeaderMask(SERVER).hide(0, TAG) == expected


def test_masking_leaves_no_trace_in_the_next_mask() -> None:
    mask = HeaderMask(SERVER)
    first = mask.mask(TAG)
    mask.mask(b"another tag.....")
    assert mask.mask(TAG) == first


def test_another_servers_key_reveals_something_else() -> None:
    datagram = HeaderMask(SERVER).hide(7 << 32 | 1, TAG) + TAG
    assert HeaderMask(bytes(32)).reveal(datagram) != (7, 1)


def test_datagrams_too_short_to_be_ours_raise_nothing() -> None:
    rng = random.Random(1)
    for size in range(24):
        HeaderMask(SERVER).reveal(rng.randbytes(size))


def test_a_run_of_headers_is_hidden_and_revealed_as_one_by_one() -> None:
    mask, rng = HeaderMask(SERVER), random.Random(1)
    headers, tags = [rng.getrandbits(64) for _ in range(50)], [rng.randbytes(16) for _ in range(50)]
    hidden = mask.hide_run(b"".join(header.to_bytes(8, "big") for header in headers), tags)
    assert hidden == b"".join(map(mask.hide, headers, tags))
    datagrams = [hidden[8 * at : 8 * at + 8] + rng.randbytes(at) + tag for at, tag in enumerate(tags)]
    assert mask.reveal_run(datagrams) == tuple(headers)

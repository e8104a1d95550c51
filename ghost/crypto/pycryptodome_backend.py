"""The backend that is always there: pycryptodome, for hosts where `cryptography` cannot be installed.

The only file that imports it. The module itself is the `Backend` of ghost/crypto/backend.py, and gives the
same bytes as ghost/crypto/cryptography_backend.py.

Costs, measured with 1400-byte packets on a busy 2-core server: seal 38 us, open 37 us, most of it the two objects that
every nonce needs. The library's own object for both takes 82 and 67 us in the same run, because it makes a third for
the one-time key and guards the order of calls. One X25519 takes 350 us on an idle server.
"""

from __future__ import annotations

import contextlib
from hmac import compare_digest
from struct import Struct
from typing import Final

from Crypto.Cipher import ChaCha20, ChaCha20_Poly1305
from Crypto.Hash.Poly1305 import Poly1305_MAC
from Crypto.Protocol.DH import import_x25519_private_key, import_x25519_public_key, key_agreement

from ghost.constants import TAG_SIZE
from ghost.errors import PeerError

name = "pycryptodome"

_BLOCK_SIZE: Final = 64
_FIRST_BLOCK: Final = bytes(_BLOCK_SIZE)
_SIZES: Final = Struct("<QQ")


class _Aead:
    """ChaCha20-Poly1305 under one key, put together from the two as RFC 8439 section 2.8 has it."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, nonce: bytes, plaintext: bytes, associated: bytes, /) -> bytes:
        stream = ChaCha20.new(key=self._key, nonce=nonce).encrypt(_FIRST_BLOCK + plaintext)
        ciphertext = stream[_BLOCK_SIZE:]
        return ciphertext + _tag(stream, ciphertext, associated)

    def open(self, nonce: bytes, sealed: bytes, associated: bytes, /) -> bytes:
        cipher, ciphertext = ChaCha20.new(key=self._key, nonce=nonce), sealed[:-TAG_SIZE]
        if not compare_digest(_tag(cipher.encrypt(_FIRST_BLOCK), ciphertext, associated), sealed[-TAG_SIZE:]):
            raise PeerError("unauthentic")
        return cipher.encrypt(ciphertext)  # the same exclusive or; an object that has encrypted does nothing else

    def open_run(self, nonces: list[bytes], sealed: list[bytes], associated: list[bytes], /) -> list[bytes]:
        plaintexts: list[bytes] = []
        with contextlib.suppress(PeerError):
            for nonce, each, header in zip(nonces, sealed, associated, strict=True):
                plaintexts.append(self.open(nonce, each, header))
        return plaintexts


class _XAead:
    """XChaCha20-Poly1305 under one key. Handshakes alone use it, so the library's own object will do."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, nonce: bytes, plaintext: bytes, associated: bytes, /) -> bytes:
        cipher = ChaCha20_Poly1305.new(key=self._key, nonce=nonce)
        cipher.update(associated)
        ciphertext, tag = cipher.encrypt_and_digest(plaintext)
        return ciphertext + tag

    def open(self, nonce: bytes, sealed: bytes, associated: bytes, /) -> bytes:
        cipher = ChaCha20_Poly1305.new(key=self._key, nonce=nonce)
        cipher.update(associated)
        try:
            return cipher.decrypt_and_verify(sealed[:-TAG_SIZE], sealed[-TAG_SIZE:])
        except ValueError:
            raise PeerError("unauthentic") from None


def _tag(first_block: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """Poly1305 over all of it; the keystream's first block begins with its one-time key."""
    sizes = _SIZES.pack(len(associated), len(ciphertext))
    message = b"".join((associated, bytes(-len(associated) % 16), ciphertext, bytes(-len(ciphertext) % 16), sizes))
    return Poly1305_MAC(first_block[:16], first_block[16:32], message).digest()


def aead(key: bytes) -> _Aead:
    return _Aead(key)


def xaead(key: bytes) -> _XAead:
    return _XAead(key)


def x25519_public(private: bytes) -> bytes:
    return bytes(import_x25519_private_key(private).public_key().export_key(format="raw"))


def x25519(private: bytes, public: bytes) -> bytes:
    own = import_x25519_private_key(private)
    try:
        return key_agreement(static_priv=own, static_pub=import_x25519_public_key(public), kdf=bytes)
    except ValueError:  # points of low order are refused at import, an all-zero secret at agreement
        raise PeerError("unauthentic") from None

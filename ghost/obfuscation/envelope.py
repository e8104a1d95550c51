"""The envelope around handshake messages, which hides a Noise message's shape, its public keys and its size.

    datagram  = masked header: 8 | nonce: 24 | ciphertext | tag: 16
    header    = connection id 0: 4 | random: 4                            also the associated data
    plaintext = length of the message: 2 (big-endian) | message | zeros

The ciphertext is XChaCha20-Poly1305 under a key derived from the server's public key, with a random nonce. It
hides the handshake from whoever was not invited, and is no more than that: authentication and secrecy are
Noise's.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ghost.constants import HEADER_SIZE, TAG_SIZE
from ghost.crypto.backend import XNONCE_SIZE, Backend
from ghost.errors import PeerError
from ghost.obfuscation.mask import HeaderMask

if TYPE_CHECKING:
    from random import Random

HANDSHAKE_CONNECTION_ID = 0
LENGTH_SIZE = 2
ENVELOPE_OVERHEAD = HEADER_SIZE + XNONCE_SIZE + LENGTH_SIZE + TAG_SIZE

_SEALED_AT = HEADER_SIZE + XNONCE_SIZE


class Envelope:
    """Wraps and unwraps the handshake messages to and from one server."""

    __slots__ = ("_aead", "_mask")

    def __init__(self, backend: Backend, server_public_key: bytes) -> None:
        self._aead = backend.xaead(hashlib.blake2s(server_public_key, person=b"ghostenv").digest())
        self._mask = HeaderMask(server_public_key)

    def wrap(self, message: bytes, *, size_range: tuple[int, int], rng: Random) -> bytes:
        """A datagram whose size is drawn evenly from the range (both ends included), as far as it is enough.

        A message that the whole range cannot hold gets the smallest datagram that does.
        """
        smallest = max(size_range[0], ENVELOPE_OVERHEAD + len(message))
        size = rng.randrange(smallest, max(smallest, size_range[1]) + 1)
        padding = size - ENVELOPE_OVERHEAD - len(message)
        header = rng.randbytes(HEADER_SIZE - 4).rjust(HEADER_SIZE, b"\0")
        nonce = rng.randbytes(XNONCE_SIZE)
        plaintext = len(message).to_bytes(LENGTH_SIZE, "big") + message + bytes(padding)
        sealed = self._aead.seal(nonce, plaintext, header)
        return self._mask.hide(int.from_bytes(header, "big"), sealed[-TAG_SIZE:]) + nonce + sealed

    def unwrap(self, datagram: bytes) -> bytes:
        """The message of a datagram whose connection id is 0; PeerError for everything else."""
        if len(datagram) < ENVELOPE_OVERHEAD:
            raise PeerError("malformed")
        connection_id, low = self._mask.reveal(datagram)
        if connection_id != HANDSHAKE_CONNECTION_ID:
            raise PeerError("malformed")
        plaintext = self._aead.open(
            datagram[HEADER_SIZE:_SEALED_AT], datagram[_SEALED_AT:], low.to_bytes(HEADER_SIZE, "big")
        )
        end = LENGTH_SIZE + int.from_bytes(plaintext[:LENGTH_SIZE], "big")
        if end > len(plaintext):
            raise PeerError("malformed")
        return plaintext[LENGTH_SIZE:end]

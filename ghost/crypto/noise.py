"""The handshake: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s (Noise Protocol Framework, revision 34).

    <- s                         the client has the server's public key from its invite
    ...
    -> e, es, s, ss, payload     32 + 48 + payload + 16 bytes
    <- e, ee, se, psk, payload   32 + payload + 16 bytes

One round trip gives mutual authentication, forward secrecy and a hidden client identity. The client is the
initiator. The pre-shared key is asked for as late as the pattern allows, in message 2, because the responder
can only choose it once message 1 has told it who speaks.

Rules:
- No randomness in here: ephemeral private keys are arguments, fresh for every handshake.
- Bytes from the network raise PeerError and nothing else, and a refused message leaves the state as it was:
  the genuine one is still accepted after a forged one.
- Calls out of order raise Bug: they would otherwise seal two texts under one key and nonce.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from ghost.constants import TAG_SIZE
from ghost.crypto.backend import KEY_SIZE, NONCE_SIZE, Backend
from ghost.errors import Bug, PeerError

PROTOCOL_NAME = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
MESSAGE_1_OVERHEAD = KEY_SIZE + (KEY_SIZE + TAG_SIZE) + TAG_SIZE
MESSAGE_2_OVERHEAD = KEY_SIZE + TAG_SIZE

_SEALED_KEY_SIZE = KEY_SIZE + TAG_SIZE
# Every key of this pattern seals once and is then replaced by the next token, so the nonce never counts past
# zero.
_NONCE = bytes(NONCE_SIZE)


@dataclass(frozen=True, slots=True)
class TransportKeys:
    """What a finished handshake yields: two 32-byte AEAD keys, and a 32-byte hash that both sides share.

    Keys stay out of its `repr`, and so out of any log.
    """

    send: bytes = field(repr=False)
    receive: bytes = field(repr=False)
    handshake_hash: bytes


@dataclass(frozen=True, slots=True)
class Initiation:
    """What a responder learns from message 1.

    `proof_hash` is what `Initiator.begin` returned on the other side: a MAC over it, sent in the payload,
    proves knowledge of a secret and is bound to this handshake and this static key.
    """

    remote_static: bytes
    payload: bytes
    proof_hash: bytes


class SymmetricState:
    """The running hash `h`, the chaining key, and the key of the next sealing (Noise section 5.2)."""

    __slots__ = ("_backend", "_chaining_key", "_key", "hash")

    def __init__(self, backend: Backend, prologue: bytes) -> None:
        self._backend = backend
        self.hash = _blake2s(PROTOCOL_NAME)
        self._chaining_key = self.hash
        self._key: bytes | None = None
        self.mix_hash(prologue)

    def copy(self) -> SymmetricState:
        twin = SymmetricState.__new__(SymmetricState)
        twin._backend, twin.hash = self._backend, self.hash
        twin._chaining_key, twin._key = self._chaining_key, self._key
        return twin

    def mix_hash(self, data: bytes) -> None:
        self.hash = _blake2s(self.hash + data)

    def mix_key(self, secret: bytes) -> None:
        self._chaining_key, self._key = _hkdf(self._chaining_key, secret, 2)

    def mix_key_and_hash(self, secret: bytes) -> None:
        self._chaining_key, mixed, self._key = _hkdf(self._chaining_key, secret, 3)
        self.mix_hash(mixed)

    def mix_ephemeral(self, public: bytes) -> None:
        """The token "e": in a pattern with a pre-shared key it also keys the cipher (Noise section 9.2)."""
        self.mix_hash(public)
        self.mix_key(public)

    def seal(self, plaintext: bytes) -> bytes:
        sealed = self._backend.aead(self._use_key()).seal(_NONCE, plaintext, self.hash)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        plaintext = self._backend.aead(self._use_key()).open(_NONCE, sealed, self.hash)
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """The keys for initiator to responder and for responder to initiator."""
        forward, backward = _hkdf(self._chaining_key, b"", 2)
        return forward, backward

    def _use_key(self) -> bytes:
        key, self._key = self._key, None
        if key is None:
            raise Bug("a handshake key would seal twice; start a new handshake instead")
        return key


class Initiator:
    """The client's side: begin, write_message_1, read_message_2, keys; one object is one handshake."""

    __slots__ = ("_backend", "_ephemeral", "_head", "_keys", "_remote_static", "_state", "_static")

    def __init__(
        self,
        *,
        backend: Backend,
        prologue: bytes,
        static_private: bytes,
        remote_static: bytes,
        ephemeral_private: bytes,
    ) -> None:
        self._backend = backend
        self._static = static_private
        self._remote_static = remote_static
        self._ephemeral = ephemeral_private
        self._state = SymmetricState(backend, prologue)
        self._state.mix_hash(remote_static)
        self._head = b""
        self._keys: TransportKeys | None = None

    def begin(self) -> bytes:
        """Everything of message 1 but its payload; returns the proof hash (see `Initiation`) for the payload.

        PeerError("unauthentic") when the server's public key is a point of low order.
        """
        if self._head:
            raise Bug("this handshake has begun already; start a new one instead")
        state, x25519 = self._state, self._backend.x25519
        ephemeral = self._backend.x25519_public(self._ephemeral)
        state.mix_ephemeral(ephemeral)
        state.mix_key(x25519(self._ephemeral, self._remote_static))
        sealed_static = state.seal(self._backend.x25519_public(self._static))
        state.mix_key(x25519(self._static, self._remote_static))
        self._head = ephemeral + sealed_static
        return state.hash

    def write_message_1(self, payload: bytes) -> bytes:
        """Message 1; begins the handshake when that was not done. A repeat must send the same bytes again."""
        if not self._head:
            self.begin()
        return self._head + self._state.seal(payload)

    def read_message_2(self, message: bytes, psk: bytes) -> bytes:
        """The payload of message 2, which ends the handshake."""
        if len(message) < MESSAGE_2_OVERHEAD:
            raise PeerError("malformed")
        state, x25519 = self._state.copy(), self._backend.x25519
        remote_ephemeral = message[:KEY_SIZE]
        state.mix_ephemeral(remote_ephemeral)
        state.mix_key(x25519(self._ephemeral, remote_ephemeral))
        state.mix_key(x25519(self._static, remote_ephemeral))
        state.mix_key_and_hash(psk)
        payload = state.open(message[KEY_SIZE:])
        forward, backward = state.split()
        self._keys = TransportKeys(send=forward, receive=backward, handshake_hash=state.hash)
        return payload

    def keys(self) -> TransportKeys:
        return _finished(self._keys)


class Responder:
    """The server's side: read_message_1, write_message_2, keys; one object is one handshake."""

    __slots__ = ("_backend", "_keys", "_remote_ephemeral", "_remote_static", "_state", "_static")

    def __init__(self, *, backend: Backend, prologue: bytes, static_private: bytes) -> None:
        self._backend = backend
        self._static = static_private
        self._state = SymmetricState(backend, prologue)
        self._state.mix_hash(backend.x25519_public(static_private))
        self._remote_ephemeral = b""
        self._remote_static = b""
        self._keys: TransportKeys | None = None

    def read_message_1(self, message: bytes) -> Initiation:
        """Who speaks, and what it says. It may be a replay: the payload has to carry what tells."""
        if len(message) < MESSAGE_1_OVERHEAD:
            raise PeerError("malformed")
        state, x25519 = self._state.copy(), self._backend.x25519
        remote_ephemeral = message[:KEY_SIZE]
        sealed_static = message[KEY_SIZE : KEY_SIZE + _SEALED_KEY_SIZE]
        state.mix_ephemeral(remote_ephemeral)
        state.mix_key(x25519(self._static, remote_ephemeral))
        remote_static = state.open(sealed_static)
        state.mix_key(x25519(self._static, remote_static))
        proof_hash = state.hash
        payload = state.open(message[KEY_SIZE + _SEALED_KEY_SIZE :])
        self._state, self._remote_ephemeral, self._remote_static = state, remote_ephemeral, remote_static
        return Initiation(remote_static, payload, proof_hash)

    def write_message_2(self, payload: bytes, *, psk: bytes, ephemeral_private: bytes) -> bytes:
        """Message 2, which ends the handshake on this side."""
        if not self._remote_static or self._keys is not None:
            raise Bug("message 2 answers message 1, once; start a new handshake instead")
        state, x25519 = self._state, self._backend.x25519
        ephemeral = self._backend.x25519_public(ephemeral_private)
        state.mix_ephemeral(ephemeral)
        state.mix_key(x25519(ephemeral_private, self._remote_ephemeral))
        state.mix_key(x25519(ephemeral_private, self._remote_static))
        state.mix_key_and_hash(psk)
        sealed = state.seal(payload)
        forward, backward = state.split()
        self._keys = TransportKeys(send=backward, receive=forward, handshake_hash=state.hash)
        return ephemeral + sealed

    def keys(self) -> TransportKeys:
        return _finished(self._keys)


def _finished(keys: TransportKeys | None) -> TransportKeys:
    if keys is None:
        raise Bug("the handshake has not ended; exchange both messages before asking for keys")
    return keys


def _blake2s(data: bytes) -> bytes:
    return hashlib.blake2s(data).digest()


def _hkdf(chaining_key: bytes, secret: bytes, outputs: int) -> list[bytes]:
    """As many 32-byte keys as asked for (Noise section 4.3: HKDF of RFC 5869 with an empty info)."""
    extracted = hmac.digest(chaining_key, secret, hashlib.blake2s)
    keys: list[bytes] = []
    for counter in range(1, outputs + 1):
        previous = keys[-1] if keys else b""
        keys.append(hmac.digest(extracted, previous + bytes([counter]), hashlib.blake2s))
    return keys

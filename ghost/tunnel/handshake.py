"""The handshake as both ends run it: Noise inside the envelope, repeated early and often.

    client -> type 1 | Noise message 1 (ClientHello)      the same bytes again until answered, in a fresh envelope
    server -> type 2 | Noise message 2 (ServerHello)      the same bytes for the same message 1, without new state

The server answers a message again only when it comes in an envelope that it has not seen: whoever replays a recorded
datagram, to learn what listens here, gets silence.

Lost handshakes are the normal case: at 50 % loss each way a round trip succeeds once in four, and the repeats of the
first second bring the tunnel up within it nine times in ten.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import replace
from random import Random
from typing import Final

from ghost.crypto.backend import Backend
from ghost.crypto.noise import Initiator, TransportKeys
from ghost.errors import PeerError
from ghost.obfuscation.envelope import Envelope
from ghost.obfuscation.padding import Profile
from ghost.tunnel.invitation import Invitation
from ghost.wire.hello import ClientHello, ServerHello

PROLOGUE: Final = b"GhostTunnel 1"
INITIATION, RESPONSE = b"\1", b"\2"

FIRST_REPEAT: Final = 0.05  # seconds
REPEAT_GROWTH: Final = 1.08
"""Bursts of losses pass by packets, not by time, and asking is all that a client sends: with 1.2 the slowest of 100
simulated seeds took 39 s to connect where 20 % are lost in bursts of 8, and takes 5 s now."""
LONGEST_REPEAT: Final = 5.0  # seconds: a server that is away for hours costs 100 bytes a second at most
JITTER: Final = 0.25  # share of the interval, either way: a fixed schedule is a signature
REPLIES_REMEMBERED: Final = 256
REPEATS_ANSWERED: Final = 64  # of one message; a client begins another long before


class ClientHandshake:
    """One attempt at one address; the caller makes a new one for another address or a new timestamp."""

    __slots__ = ("_noise", "_message", "_envelope", "_profile", "_psk", "_rng", "_interval", "next_time")

    def __init__(
        self,
        *,
        backend: Backend,
        private_key: bytes,
        invitation: Invitation,
        envelope: Envelope,
        profile: Profile,
        hello: ClientHello,
        first_time: float,
        first_repeat: float,
        rng: Random,
    ) -> None:
        """The `proof` in `hello` is made here, because it covers the handshake's hash."""
        self._noise = Initiator(
            backend=backend,
            prologue=PROLOGUE,
            static_private=private_key,
            remote_static=invitation.server_public_key,
            ephemeral_private=rng.randbytes(32),
        )
        proven = replace(hello, proof=prove(invitation.secret, self._noise.begin()))
        self._message = INITIATION + self._noise.write_message_1(proven.encode())
        self._envelope = envelope
        self._profile = profile
        self._psk = invitation.secret
        self._rng = rng
        self._interval = first_repeat
        self.next_time = first_time
        """When the message is due (again)."""

    @property
    def interval(self) -> float:
        """Seconds between repeats by now, for the attempt that follows this one."""
        return self._interval

    def next_datagram(self, now: float) -> bytes | None:
        """The initiation, when it is due."""
        if now < self.next_time:
            return None
        self.next_time = now + self._interval * self._rng.uniform(1 - JITTER, 1 + JITTER)
        self._interval = min(self._interval * REPEAT_GROWTH, LONGEST_REPEAT)
        return self._envelope.wrap(self._message, size_range=self._profile.handshake_sizes, rng=self._rng)

    def receive(self, datagram: bytes) -> tuple[ServerHello, TransportKeys]:
        """The server's answer; PeerError when the datagram is anything else."""
        message = self._envelope.unwrap(datagram)
        if message[:1] != RESPONSE:
            raise PeerError("malformed")
        hello = ServerHello.decode(self._noise.read_message_2(message[1:], self._psk))
        return hello, self._noise.keys()


class ReplyCache:
    """The answers to recent initiations: a repeat gets the same one and costs no key exchange.

    An envelope is known by its tag.
    """

    __slots__ = ("_replies",)

    def __init__(self) -> None:
        self._replies: OrderedDict[bytes, tuple[bytes, set[bytes]]] = OrderedDict()

    def find(self, initiation: bytes, tag: bytes) -> bytes | None:
        """The answer, None for a new initiation, PeerError("replayed_handshake") for an envelope seen before."""
        reply, tags = self._replies.get(hashlib.blake2s(initiation).digest(), (None, set[bytes]()))
        if tag in tags or len(tags) >= REPEATS_ANSWERED:
            raise PeerError("replayed_handshake")
        tags.add(tag)
        return reply

    def add(self, initiation: bytes, tag: bytes, reply: bytes) -> None:
        self._replies[hashlib.blake2s(initiation).digest()] = reply, {tag}
        if len(self._replies) > REPLIES_REMEMBERED:
            self._replies.popitem(last=False)


def prove(secret: bytes, proof_hash: bytes) -> bytes:
    """What shows, in this handshake only, that its sender holds the invite's secret."""
    return hashlib.blake2s(proof_hash, key=secret, person=b"ghostinv").digest()


def is_proven(secret: bytes, proof_hash: bytes, proof: bytes) -> bool:
    return hmac.compare_digest(prove(secret, proof_hash), proof)

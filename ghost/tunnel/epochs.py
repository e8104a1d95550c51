"""Epochs: the period of one key pair, and how packets are sealed in it.

    datagram = mask(connection id: 4 | packet number: 4) | ciphertext | tag: 16

The unmasked header is the associated data, the 64-bit packet number the nonce. Packet numbers run on through a
connection's epochs, so acknowledgements and the replay window never notice a rekey. A new epoch is used for sending
as soon as it exists on the client and as soon as the client has used it on the server (make before break); the one
before it still opens packets for a grace period, then its keys are dropped.
"""

from __future__ import annotations

from typing import Final

from ghost.constants import HEADER_SIZE, TAG_SIZE
from ghost.crypto.backend import Aead, Backend
from ghost.crypto.noise import TransportKeys
from ghost.obfuscation.mask import HeaderMask
from ghost.wire.numbers import counted

REKEY_AFTER: Final = 120.0  # seconds, for an epoch that carried data; WireGuard's REKEY_AFTER_TIME
REKEY_IDLE_AFTER: Final = 3600.0  # an idle tunnel must not spend its byte budget on handshakes
REKEY_PACKETS: Final = 1 << 30  # the 32 bits of the number on the wire must never be ambiguous
GRACE: Final = 20.0  # seconds that an old epoch goes on opening what was delayed or is retransmitted


class Epoch:
    """One key pair in use. `local_id` is in the packets that we receive, `remote_id` in those that we send."""

    __slots__ = (
        "local_id",
        "remote_id",
        "created",
        "sealed",
        "has_carried_data",
        "_seal",
        "_open",
        "_open_run",
        "_hide",
        "_mask",
    )

    def __init__(
        self,
        *,
        backend: Backend,
        keys: TransportKeys,
        mask: HeaderMask,
        local_id: int,
        remote_id: int,
        now: float,
    ) -> None:
        sending: Aead = backend.aead(keys.send)
        self.local_id = local_id
        self.remote_id = remote_id
        self.created = now
        self.sealed = 0
        self.has_carried_data = False
        self._seal = sending.seal
        receiving = backend.aead(keys.receive)
        self._open = receiving.open
        self._open_run = receiving.open_run
        self._hide = mask.hide
        self._mask = mask

    def seal(self, packet_number: int, plaintext: bytes) -> bytes:
        """The whole datagram."""
        self.sealed += 1
        header = self.remote_id << 32 | packet_number & 0xFFFFFFFF
        sealed = self._seal(
            (packet_number << 32).to_bytes(12, "little"), plaintext, header.to_bytes(HEADER_SIZE, "big")
        )
        return self._hide(header, sealed[-16:]) + sealed

    def seal_run(self, first: int, plaintexts: list[bytes]) -> list[bytes]:
        """The same for packets with numbers from `first` on, a turn's worth."""
        count = len(plaintexts)
        self.sealed += count
        headers = _headers(self.remote_id, first, count)
        starts = range(0, len(headers), HEADER_SIZE)
        associated = [headers[at : at + HEADER_SIZE] for at in starts]
        sealed = list(map(self._seal, _nonces(first, count), plaintexts, associated))
        masked = self._mask.hide_run(headers, [each[-TAG_SIZE:] for each in sealed])
        return [masked[at : at + HEADER_SIZE] + each for at, each in zip(starts, sealed, strict=True)]

    def open(self, packet_number: int, datagram: bytes) -> bytes:
        """The plaintext; PeerError("unauthentic")."""
        header = self.local_id << 32 | packet_number & 0xFFFFFFFF
        return self._open(
            (packet_number << 32).to_bytes(12, "little"),
            datagram[HEADER_SIZE:],
            header.to_bytes(HEADER_SIZE, "big"),
        )

    def open_run(self, first: int, datagrams: list[bytes]) -> list[bytes]:
        """The plaintexts of datagrams with packet numbers from `first` on, up to the first that is not authentic."""
        headers = _headers(self.local_id, first, len(datagrams))
        associated = [headers[at : at + HEADER_SIZE] for at in range(0, len(headers), HEADER_SIZE)]
        sealed = [datagram[HEADER_SIZE:] for datagram in datagrams]
        return self._open_run(_nonces(first, len(datagrams)), sealed, associated)

    def is_due_for_rekey(self, now: float) -> bool:
        age = now - self.created
        return age >= (REKEY_AFTER if self.has_carried_data else REKEY_IDLE_AFTER) or self.sealed >= REKEY_PACKETS


def _headers(connection_id: int, first: int, count: int) -> bytes:
    """Of packets with numbers from `first` on, one behind the other."""
    first &= 0xFFFFFFFF
    if first + count > 1 << 32:  # there the number's low bits come round
        numbers = range(first, first + count)
        return b"".join([(connection_id << 32 | each & 0xFFFFFFFF).to_bytes(HEADER_SIZE, "big") for each in numbers])
    return counted(connection_id << 32 | first, count, size=HEADER_SIZE)


def _nonces(first: int, count: int) -> list[bytes]:
    return [nonce.to_bytes(12, "little") for nonce in range(first << 32, first + count << 32, 1 << 32)]


class Epochs:
    """The epochs of one connection: the one to send in, and those that may still be received in."""

    __slots__ = ("current", "_pending", "_old", "_old_until")

    def __init__(self, first: Epoch) -> None:
        self.current = first
        self._pending: Epoch | None = None
        self._old: Epoch | None = None
        self._old_until = 0.0

    def by_id(self, local_id: int) -> Epoch | None:
        if self.current.local_id == local_id:
            return self.current
        for epoch in (self._pending, self._old):
            if epoch is not None and epoch.local_id == local_id:
                return epoch
        return None

    def local_ids(self) -> list[int]:
        return [epoch.local_id for epoch in (self.current, self._pending, self._old) if epoch is not None]

    def offer(self, epoch: Epoch) -> None:
        """The server's side of a rekey: use it once the client has."""
        self._pending = epoch

    def confirm(self, epoch: Epoch, now: float) -> None:
        """An authentic packet came in `epoch`, or the client has just derived it: send in it from now on."""
        if epoch is self.current or epoch is self._old:
            return
        self._old, self._old_until = self.current, now + GRACE
        self.current = epoch
        if epoch is self._pending:
            self._pending = None

    def expire(self, now: float) -> None:
        """Drops the keys whose grace has passed."""
        if self._old is not None and now >= self._old_until:
            self._old = None

    @property
    def next_expiry(self) -> float | None:
        return None if self._old is None else self._old_until

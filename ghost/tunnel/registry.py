"""Who may use a server: the invites it gave out and the peers that redeemed one.

The endpoint asks a `Registry` and never touches a file; the daemon's registry keeps one file per entry
(runtime/state.py), tests and the simulator keep a dictionary. An invite is spent by the first client that
completes a handshake with it: from then on the server knows that client by its static public key, and the
invite's secret stays the pre-shared key of the two.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Protocol

INVITE_ID_SIZE = 8
SECRET_SIZE = 32
KEY_SIZE = 32


@dataclass(frozen=True, slots=True)
class Invite:
    """A one-time admission: whoever proves `secret` before `expires` (Unix seconds) may bind a key to it."""

    invite_id: bytes
    secret: bytes = field(repr=False)
    name: str
    expires: float
    used_by: bytes | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """A client that the server knows: its static key, its pre-shared key and its inner address.

    `last_timestamp` is the greatest handshake timestamp accepted from it, against replay across restarts.
    """

    public_key: bytes
    pre_shared_key: bytes = field(repr=False)
    name: str
    address: IPv4Address
    last_timestamp: int = 0


class Registry(Protocol):
    """What a server endpoint needs of whoever stores peers and invites."""

    def peers(self) -> list[Peer]: ...

    def peer(self, public_key: bytes) -> Peer | None: ...

    def invite(self, invite_id: bytes) -> Invite | None: ...

    def save_peer(self, peer: Peer) -> None: ...

    def spend_invite(self, invite_id: bytes, public_key: bytes) -> None: ...

    def forget_peer(self, public_key: bytes) -> None: ...

    def claimed(self) -> AbstractContextManager[None]:
        """While this is entered, whoever else enters it waits: what was read still holds when it is written."""


class MemoryRegistry:
    """A registry that forgets: for tests, the simulator and the self-test."""

    def __init__(self) -> None:
        self._peers: dict[bytes, Peer] = {}
        self._invites: dict[bytes, Invite] = {}

    def peers(self) -> list[Peer]:
        return list(self._peers.values())

    def peer(self, public_key: bytes) -> Peer | None:
        return self._peers.get(public_key)

    def invite(self, invite_id: bytes) -> Invite | None:
        return self._invites.get(invite_id)

    def save_peer(self, peer: Peer) -> None:
        self._peers[peer.public_key] = peer

    def add_invite(self, invite: Invite) -> None:
        self._invites[invite.invite_id] = invite

    def spend_invite(self, invite_id: bytes, public_key: bytes) -> None:
        self._invites[invite_id] = replace(self._invites[invite_id], used_by=public_key)

    def forget_peer(self, public_key: bytes) -> None:
        self._peers.pop(public_key, None)
        self._invites = {key: invite for key, invite in self._invites.items() if invite.used_by != public_key}

    def claimed(self) -> AbstractContextManager[None]:
        return nullcontext()

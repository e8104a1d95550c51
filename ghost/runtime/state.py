"""What outlives the process: the state directory, and the identities, peers and invites in it.

    lock            held by the one daemon that runs on this directory
    control.sock    while it runs
    journal.json    changes to the host that are not yet undone (host/changes.py)
    server.key, client.key      private keys, base64
    server.json     what `invite` must know of the server: listening address, subnet
    client.json     the invite that worked, and the last handshake timestamp used
    invites/ID.json, peers/KEY.json      one file each, so that `ghosttunnel invite`, another process, just adds one

Rules: the directory is 0700 and every file 0600; files change whole or not at all, and are on the disk before the
call returns; a private key that others could read is refused rather than used. Server and client may keep their
files in one directory but do not run on it at the same time: there is one lock, one journal, one control socket.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from ghost.errors import HostError
from ghost.tunnel.registry import INVITE_ID_SIZE, KEY_SIZE, SECRET_SIZE, Invite, Peer

log = logging.getLogger(__name__)

_CURES = {
    errno.EACCES: "run it with sudo or ",
    errno.EPERM: "run it with sudo or ",
    errno.ENOSPC: "make room or ",
    errno.EDQUOT: "make room or ",
}
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY_READ = stat.S_IRWXG | stat.S_IRWXO


class StateDirectory:
    """Whole-file reads and writes below one directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @classmethod
    def create(cls, path: Path) -> StateDirectory:
        """Makes the directory where it is missing. Raises HostError when it cannot or must not be used."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = path.stat().st_mode
        except OSError as error:
            raise _denied(path, error) from error
        if mode & _OTHERS_MAY_WRITE:
            raise HostError(f"others may write to {path}: `chmod 700 {path}` or choose another --state-dir")
        return cls(path)

    def lock(self) -> None:
        """Claims the directory for this process until it ends. Raises HostError when another one has it."""
        try:
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _denied(self.path, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HostError(
                f"another ghosttunnel runs on {self.path}: stop it or choose another --state-dir"
            ) from error

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read(self, name: str) -> bytes | None:
        """The file's bytes, None when there is no such file."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _denied(self.path / name, error) from error

    def write(self, name: str, data: bytes) -> None:
        """Replaces the file, mode 0600, or leaves it as it was."""
        target = self.path / name
        temporary = target.with_name(f".{target.name}.new")
        try:
            target.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, target)
        except OSError as error:
            raise _denied(target, error) from error
        # The rename itself is on disk only with its directory; a file system that cannot sync one is none the worse.
        with contextlib.suppress(OSError):
            directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def names(self, folder: str, suffix: str = ".json") -> list[str]:
        """The finished files of a folder, as names for `read`."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(
                f"{folder}/{entry}"
                for entry in os.listdir(self.path / folder)
                if entry.endswith(suffix) and not entry.startswith(".")
            )
        return []

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The object in the file, None when there is no such file. Raises HostError when it is no JSON object."""
        data = self.read(name)
        if data is None:
            return None
        with contextlib.suppress(ValueError):
            value = json.loads(data)
            if isinstance(value, dict):
                return value
        raise HostError(f"{self.path / name} is damaged: restore it from a backup or remove it")

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        self.write(name, json.dumps(value, indent=1).encode() + b"\n")

    def own_key(self, name: str) -> bytes:
        """The 32-byte private key in the file, made from the system's randomness the first time."""
        key = self.private_key(name)
        if key is None:
            key = os.urandom(KEY_SIZE)
            self.write(name, base64.b64encode(key) + b"\n")
        return key

    def private_key(self, name: str) -> bytes | None:
        """The key in the file, None when there is no such file. Raises HostError when it must not be used."""
        data = self.read(name)
        if data is None:
            return None
        path = self.path / name
        if path.stat().st_mode & _OTHERS_MAY_READ:
            raise HostError(
                f"others may read the private key {path}: `chmod 600 {path}`, and make new keys if they did"
            )
        with contextlib.suppress(binascii.Error):
            key = base64.b64decode(data.strip(), validate=True)
            if len(key) == KEY_SIZE:
                return key
        raise HostError(
            f"{path} is damaged: restore it from a backup or remove it (a new server key needs new invites)"
        )


class FileRegistry:
    """ghost.tunnel.registry.Registry over the state directory.

    Every question reads the file, so that invites added and peers removed by other processes count at once;
    questions come with handshakes, a few a second at most. A damaged entry counts as missing and is logged: one bad
    file must not stop the others' tunnels.
    """

    def __init__(self, state: StateDirectory) -> None:
        self._state = state

    def peers(self) -> list[Peer]:
        return [peer for name in self._state.names("peers") if (peer := self._read_peer(name)) is not None]

    def peer(self, public_key: bytes) -> Peer | None:
        return self._read_peer(_peer_name(public_key))

    def save_peer(self, peer: Peer) -> None:
        self._state.write_json(
            _peer_name(peer.public_key),
            {
                "name": peer.name,
                "address": str(peer.address),
                "public_key": peer.public_key.hex(),
                "pre_shared_key": peer.pre_shared_key.hex(),
                "last_timestamp": peer.last_timestamp,
            },
        )

    def invites(self) -> list[Invite]:
        return [invite for name in self._state.names("invites") if (invite := self._read_invite(name)) is not None]

    def invite(self, invite_id: bytes) -> Invite | None:
        return self._read_invite(_invite_name(invite_id))

    def save_invite(self, invite: Invite) -> None:
        self._state.write_json(
            _invite_name(invite.invite_id),
            {
                "name": invite.name,
                "invite_id": invite.invite_id.hex(),
                "secret": invite.secret.hex(),
                "expires": invite.expires,
                "used_by": invite.used_by.hex() if invite.used_by else None,
            },
        )

    def spend_invite(self, invite_id: bytes, public_key: bytes) -> None:
        invite = self.invite(invite_id)
        if invite is not None:
            self.save_invite(replace(invite, used_by=public_key))

    def forget_peer(self, public_key: bytes) -> None:
        """Removes the peer and every invite that it used: with one of them it would enrol again by itself."""
        for invite in self.invites():
            if invite.used_by == public_key:
                self._state.remove(_invite_name(invite.invite_id))
        self._state.remove(_peer_name(public_key))

    def forget_invites(self, *, expired_before: float) -> None:
        """Removes unspent invites that expired before a Unix time; spent ones stay, to be refused by name."""
        for invite in self.invites():
            if invite.used_by is None and invite.expires < expired_before:
                self._state.remove(_invite_name(invite.invite_id))

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """One process at a time; each needs it for milliseconds, and not often."""
        directory = os.open(self._state.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)

    def _read_peer(self, name: str) -> Peer | None:
        entry = self._read(name)
        if entry is None:
            return None
        try:
            return Peer(
                public_key=_sized(entry["public_key"], KEY_SIZE),
                pre_shared_key=_sized(entry["pre_shared_key"], SECRET_SIZE),
                name=str(entry["name"]),
                address=IPv4Address(entry["address"]),
                last_timestamp=int(entry["last_timestamp"]),
            )
        except (KeyError, TypeError, ValueError):
            self._complain(name)
            return None

    def _read_invite(self, name: str) -> Invite | None:
        entry = self._read(name)
        if entry is None:
            return None
        try:
            return Invite(
                invite_id=_sized(entry["invite_id"], INVITE_ID_SIZE),
                secret=_sized(entry["secret"], SECRET_SIZE),
                name=str(entry["name"]),
                expires=float(entry["expires"]),
                used_by=_sized(entry["used_by"], KEY_SIZE) if entry["used_by"] else None,
            )
        except (KeyError, TypeError, ValueError):
            self._complain(name)
            return None

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return self._state.read_json(name)
        except HostError:
            self._complain(name)
            return None

    def _complain(self, name: str) -> None:
        log.warning("%s is damaged and ignored: restore it from a backup or remove it", self._state.path / name)


def _peer_name(public_key: bytes) -> str:
    return f"peers/{public_key.hex()}.json"


def _invite_name(invite_id: bytes) -> str:
    return f"invites/{invite_id.hex()}.json"


def _sized(text: str, size: int) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != size:
        raise ValueError(text)
    return value


def _denied(path: Path, error: OSError) -> HostError:
    cure = _CURES.get(error.errno or 0, "")
    return HostError(f"cannot use {path} ({error.strerror}): {cure}choose another --state-dir")

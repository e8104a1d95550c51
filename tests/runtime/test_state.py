from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from ghost.errors import HostError
from ghost.runtime.state import FileRegistry, StateDirectory
from ghost.tunnel.registry import Invite, Peer

PEER = Peer(b"P" * 32, b"S" * 32, "lap/../top", IPv4Address("10.77.0.2"), last_timestamp=7)
INVITE = Invite(b"invite-1", b"s" * 32, "laptop", expires=1e9)


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory.create(tmp_path / "deep" / "state")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directories_and_files_are_the_owners_alone(state: StateDirectory) -> None:
    state.own_key("server.key")
    FileRegistry(state).save_peer(PEER)
    FileRegistry(state).save_invite(INVITE)
    for path in [state.path, *state.path.rglob("*")]:
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


def test_a_key_is_made_once(state: StateDirectory) -> None:
    assert state.private_key("server.key") is None
    key = state.own_key("server.key")
    assert len(key) == 32
    assert state.own_key("server.key") == key


def test_a_key_that_others_may_read_is_refused_with_the_cure(state: StateDirectory) -> None:
    state.own_key("server.key")
    (state.path / "server.key").chmod(0o640)
    with pytest.raises(HostError, match=r"chmod 600 .*/server\.key"):
        state.own_key("server.key")


@pytest.mark.parametrize("content", [b"", b"not base64!", base64.b64encode(b"short")])
def test_a_damaged_key_is_never_replaced_silently(state: StateDirectory, content: bytes) -> None:
    state.write("client.key", content)
    with pytest.raises(HostError, match="damaged"):
        state.own_key("client.key")
    assert state.read("client.key") == content


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(HostError, match="chmod 700"):
        StateDirectory.create(tmp_path)


def test_a_path_that_is_no_directory_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="--state-dir"):
        StateDirectory.create(tmp_path / "file" / "state")


def test_a_write_that_fails_leaves_the_old_file(state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    state.write("client.json", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostError, match="No space left"):
        state.write("client.json", b"new")
    assert state.read("client.json") == b"old"


def test_the_directory_belongs_to_one_daemon_until_it_ends(state: StateDirectory) -> None:
    hold = (
        "import sys, pathlib; from ghost.runtime.state import StateDirectory;"
        "StateDirectory(pathlib.Path(sys.argv[1])).lock(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(state.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(HostError, match="another ghosttunnel"):
            state.lock()
        holder.kill()
    state.lock()
    state.unlock()
    state.lock()


def test_peers_survive_the_process(state: StateDirectory) -> None:
    FileRegistry(state).save_peer(PEER)
    later = FileRegistry(StateDirectory(state.path))
    assert later.peer(PEER.public_key) == PEER
    assert later.peers() == [PEER]
    assert later.peer(b"Q" * 32) is None
    later.save_peer(replace(PEER, last_timestamp=8))
    assert later.peers() == [replace(PEER, last_timestamp=8)]


def test_an_invite_added_by_another_process_is_found_and_spent_once(state: StateDirectory) -> None:
    server = FileRegistry(state)
    assert server.invite(INVITE.invite_id) is None
    FileRegistry(StateDirectory(state.path)).save_invite(INVITE)
    assert server.invite(INVITE.invite_id) == INVITE
    server.spend_invite(INVITE.invite_id, PEER.public_key)
    assert server.invite(INVITE.invite_id) == replace(INVITE, used_by=PEER.public_key)


def test_only_unspent_invites_are_forgotten(state: StateDirectory) -> None:
    registry = FileRegistry(state)
    spent = replace(INVITE, invite_id=b"invite-2", used_by=PEER.public_key)
    fresh = replace(INVITE, invite_id=b"invite-3", expires=2e9)
    for invite in (INVITE, spent, fresh):
        registry.save_invite(invite)
    registry.forget_invites(expired_before=1.5e9)
    assert registry.invites() == [spent, fresh]


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"public_key": "zz"}', '{"public_key": 5}'])
def test_a_damaged_peer_counts_as_missing_and_stops_nobody_else(
    state: StateDirectory, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry = FileRegistry(state)
    registry.save_peer(PEER)
    other = replace(PEER, public_key=b"Q" * 32)
    registry.save_peer(other)
    (state.path / "peers" / f"{other.public_key.hex()}.json").write_text(damage)
    assert registry.peers() == [PEER]
    assert registry.peer(other.public_key) is None
    assert "damaged" in caplog.text


def test_a_forgotten_peer_leaves_no_invite_to_come_back_with(state: StateDirectory) -> None:
    registry = FileRegistry(state)
    used = replace(INVITE, invite_id=b"invite-2", used_by=PEER.public_key)
    registry.save_peer(PEER)
    registry.save_invite(INVITE)
    registry.save_invite(used)
    registry.forget_peer(PEER.public_key)
    assert (registry.peers(), registry.invites()) == ([], [INVITE])

"""Epochs: what one end seals only the other opens, and a change of keys never leaves a gap."""

from __future__ import annotations

import pytest

from ghost.crypto.backend import choose
from ghost.crypto.noise import TransportKeys
from ghost.errors import PeerError
from ghost.obfuscation.mask import HeaderMask
from ghost.tunnel.epochs import GRACE, REKEY_AFTER, REKEY_IDLE_AFTER, Epoch, Epochs

MASK = HeaderMask(bytes(range(32)))
HERE, THERE = 11, 22


def epoch(local_id: int = HERE, remote_id: int = THERE, *, key: int = 1, is_client: bool = True) -> Epoch:
    keys = bytes([key]) * 32, bytes([key + 100]) * 32
    send, receive = keys if is_client else reversed(keys)
    return Epoch(
        backend=choose(),
        keys=TransportKeys(send=send, receive=receive, handshake_hash=b""),
        mask=MASK,
        local_id=local_id,
        remote_id=remote_id,
        now=0.0,
    )


def server_epoch(key: int = 1) -> Epoch:
    return epoch(THERE, HERE, key=key, is_client=False)


@pytest.mark.parametrize("number", [0, 1, (1 << 32) - 1, 1 << 32, (1 << 40) + 5])
def test_what_one_end_seals_the_other_opens(number: int) -> None:
    datagram = epoch().seal(number, b"plaintext")
    assert len(datagram) == 24 + len(b"plaintext")
    assert MASK.reveal(datagram) == (THERE, number & 0xFFFFFFFF)
    assert server_epoch().open(number, datagram) == b"plaintext"


def test_nobody_else_opens_it_and_not_under_another_number() -> None:
    datagram = epoch().seal(7, b"plaintext")
    for stranger, number in (
        (epoch(), 7),
        (server_epoch(key=2), 7),
        (server_epoch(), 8),
        (server_epoch(), 7 + (1 << 32)),
    ):
        with pytest.raises(PeerError, match="unauthentic"):
            stranger.open(number, datagram)


def test_a_packet_for_another_connection_id_is_refused_under_the_same_key() -> None:
    datagram = epoch(remote_id=33).seal(7, b"plaintext")
    with pytest.raises(PeerError, match="unauthentic"):
        server_epoch().open(7, datagram)


def test_the_same_plaintext_never_looks_the_same() -> None:
    sealing = epoch()
    assert len({sealing.seal(number, bytes(20)) for number in range(100)}) == 100


def test_an_epoch_is_due_by_age_sooner_if_it_carried_data_and_by_count() -> None:
    idle, busy, worn = epoch(), epoch(), epoch()
    busy.has_carried_data = True
    worn.sealed = 1 << 30
    assert not idle.is_due_for_rekey(REKEY_IDLE_AFTER - 1)
    assert idle.is_due_for_rekey(REKEY_IDLE_AFTER)
    assert not busy.is_due_for_rekey(REKEY_AFTER - 1)
    assert busy.is_due_for_rekey(REKEY_AFTER)
    assert worn.is_due_for_rekey(0.0)


def test_the_server_sends_in_a_new_epoch_only_when_the_client_has() -> None:
    old, new = epoch(1), epoch(2)
    epochs = Epochs(old)
    epochs.offer(new)
    assert epochs.current is old
    assert epochs.by_id(2) is new
    epochs.confirm(old, 5.0)
    assert epochs.current is old
    epochs.confirm(new, 5.0)
    assert epochs.current is new


def test_the_old_epoch_opens_what_was_delayed_and_then_its_keys_are_gone() -> None:
    old, new = epoch(1), epoch(2)
    epochs = Epochs(old)
    epochs.confirm(new, 5.0)
    assert epochs.next_expiry == 5.0 + GRACE
    epochs.confirm(old, 6.0)
    assert epochs.current is new, "a late packet in the old epoch must not bring it back"
    epochs.expire(5.0 + GRACE - 0.1)
    assert epochs.by_id(1) is old
    epochs.expire(5.0 + GRACE)
    assert epochs.by_id(1) is None
    assert epochs.local_ids() == [2]
    assert epochs.next_expiry is None


def test_no_number_of_handshakes_holds_more_than_three_epochs() -> None:
    epochs = Epochs(epoch(1))
    for number in range(2, 100):
        offered = epoch(number)
        epochs.offer(offered)
        if number % 3:
            epochs.confirm(offered, float(number))
        assert len(epochs.local_ids()) <= 3


def test_a_run_is_sealed_and_opened_as_one_by_one_up_to_the_first_forged_one() -> None:
    first = (1 << 32) - 2  # the number on the wire comes round
    packets = [(first + at, bytes([at]) * at) for at in range(6)]
    run = epoch().seal_run(first, [plaintext for _, plaintext in packets])
    assert run == [epoch().seal(number, plaintext) for number, plaintext in packets]
    assert server_epoch().open_run(first, run) == [plaintext for _, plaintext in packets]
    run[4] = run[4][:-1] + bytes([run[4][-1] ^ 1])
    assert server_epoch().open_run(first, run) == [plaintext for _, plaintext in packets[:4]]

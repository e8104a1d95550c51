"""The handshake gives the published bytes, talks to another implementation, and accepts nothing forged."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from ghost.crypto.backend import Backend, choose
from ghost.crypto.noise import MESSAGE_1_OVERHEAD, MESSAGE_2_OVERHEAD, PROTOCOL_NAME, Initiator, Responder
from ghost.errors import Bug, PeerError

VECTOR = json.loads(Path(__file__).with_name("noise_ikpsk2_vector.json").read_text())

PROLOGUE = b"GhostTunnel test"
PSK = bytes(range(32))
CLIENT_STATIC, CLIENT_EPHEMERAL, SERVER_STATIC, SERVER_EPHEMERAL = (
    random.Random(seed).randbytes(32) for seed in range(4)
)


def test_every_message_of_the_published_vector_comes_out(backend: Backend) -> None:
    field = {name: bytes.fromhex(value) for name, value in VECTOR.items() if is_hex(value)}
    steps = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in VECTOR["messages"]]
    assert VECTOR["protocol_name"].encode() == PROTOCOL_NAME
    assert backend.x25519_public(field["resp_static"]) == field["init_remote_static"]
    initiator = Initiator(
        backend=backend,
        prologue=field["prologue"],
        static_private=field["init_static"],
        remote_static=field["init_remote_static"],
        ephemeral_private=field["init_ephemeral"],
    )
    responder = Responder(backend=backend, prologue=field["prologue"], static_private=field["resp_static"])

    assert initiator.write_message_1(steps[0][0]) == steps[0][1]
    assert responder.read_message_1(steps[0][1]).payload == steps[0][0]
    reply = responder.write_message_2(steps[1][0], psk=field["psk"], ephemeral_private=field["resp_ephemeral"])
    assert reply == steps[1][1]
    assert initiator.read_message_2(reply, field["psk"]) == steps[1][0]

    client, server = initiator.keys(), responder.keys()
    assert client.handshake_hash == server.handshake_hash == field["handshake_hash"]
    for index, (payload, ciphertext) in enumerate(steps[2:]):
        sender, receiver = (client, server) if index % 2 == 0 else (server, client)
        nonce = bytes(4) + (index // 2).to_bytes(8, "little")
        assert backend.aead(sender.send).seal(nonce, payload, b"") == ciphertext
        assert backend.aead(receiver.receive).open(nonce, ciphertext, b"") == payload


def test_our_initiator_and_a_foreign_responder_understand_each_other(backend: Backend) -> None:
    initiator, foreign = make_initiator(backend), foreign_connection(backend, is_initiator=False)

    assert foreign.read_message(initiator.write_message_1(b"hello, server")) == b"hello, server"
    assert initiator.read_message_2(bytes(foreign.write_message(b"hello, client")), PSK) == b"hello, client"

    keys = initiator.keys()
    assert keys.handshake_hash == foreign.get_handshake_hash()
    assert foreign.decrypt(backend.aead(keys.send).seal(bytes(12), b"up", b"")) == b"up"
    assert backend.aead(keys.receive).open(bytes(12), bytes(foreign.encrypt(b"down")), b"") == b"down"


def test_a_foreign_initiator_and_our_responder_understand_each_other(backend: Backend) -> None:
    foreign, responder = foreign_connection(backend, is_initiator=True), make_responder(backend)

    initiation = responder.read_message_1(bytes(foreign.write_message(b"hello, server")))
    assert initiation.payload == b"hello, server"
    assert initiation.remote_static == backend.x25519_public(CLIENT_STATIC)
    reply = responder.write_message_2(b"hello, client", psk=PSK, ephemeral_private=SERVER_EPHEMERAL)
    assert foreign.read_message(reply) == b"hello, client"

    keys = responder.keys()
    assert keys.handshake_hash == foreign.get_handshake_hash()
    assert foreign.decrypt(backend.aead(keys.send).seal(bytes(12), b"down", b"")) == b"down"
    assert backend.aead(keys.receive).open(bytes(12), bytes(foreign.encrypt(b"up")), b"") == b"up"


def test_both_sides_know_the_proof_hash_before_the_payload_is_sealed(backend: Backend) -> None:
    initiator, responder = make_initiator(backend), make_responder(backend)
    proof_hash = initiator.begin()
    initiation = responder.read_message_1(initiator.write_message_1(proof_hash))
    assert initiation.proof_hash == initiation.payload == proof_hash


def test_the_proof_hash_is_bound_to_the_client_and_to_the_handshake(backend: Backend) -> None:
    other_client = make_initiator(backend, static_private=random.Random(5).randbytes(32))
    other_handshake = make_initiator(backend, ephemeral_private=random.Random(6).randbytes(32))
    initiators = [make_initiator(backend), other_client, other_handshake]
    assert len({initiator.begin() for initiator in initiators}) == 3


def test_a_flipped_bit_in_message_1_is_refused_and_the_genuine_one_still_accepted(backend: Backend) -> None:
    responder = make_responder(backend)
    message = make_initiator(backend).write_message_1(b"payload")
    for bit in range(8 * len(message)):
        with pytest.raises(PeerError, match="unauthentic"):
            responder.read_message_1(flip(message, bit))
    assert responder.read_message_1(message).payload == b"payload"


def test_a_flipped_bit_in_message_2_is_refused_and_the_genuine_one_still_accepted(backend: Backend) -> None:
    initiator, message = answered(backend)
    for bit in range(8 * len(message)):
        with pytest.raises(PeerError, match="unauthentic"):
            initiator.read_message_2(flip(message, bit), PSK)
    assert initiator.read_message_2(message, PSK) == b"welcome"


def test_a_message_cut_short_anywhere_is_refused(backend: Backend) -> None:
    initiator, reply = answered(backend)
    message = make_initiator(backend).write_message_1(b"payload")
    for size in range(len(message)):
        with pytest.raises(PeerError, match="malformed" if size < MESSAGE_1_OVERHEAD else "unauthentic"):
            make_responder(backend).read_message_1(message[:size])
    for size in range(len(reply)):
        with pytest.raises(PeerError, match="malformed" if size < MESSAGE_2_OVERHEAD else "unauthentic"):
            initiator.read_message_2(reply[:size], PSK)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_refused_with_a_peer_error(data: bytes) -> None:
    backend = choose()
    for read in (
        make_responder(backend).read_message_1,
        lambda d: answered(backend)[0].read_message_2(d, PSK),
    ):
        with pytest.raises(PeerError):
            read(data)


@pytest.mark.parametrize(
    "difference",
    [{"prologue": b"another version"}, {"remote_static": bytes([9]) + bytes(31)}],
    ids=["prologue", "server key"],
)
def test_a_client_of_another_server_or_version_is_refused(backend: Backend, difference: dict[str, bytes]) -> None:
    message = make_initiator(backend, **difference).write_message_1(b"")
    with pytest.raises(PeerError, match="unauthentic"):
        make_responder(backend).read_message_1(message)


def test_an_answer_under_another_pre_shared_key_is_refused(backend: Backend) -> None:
    initiator, message = answered(backend)
    with pytest.raises(PeerError, match="unauthentic"):
        initiator.read_message_2(message, bytes(32))


def test_an_ephemeral_key_of_low_order_is_refused(backend: Backend) -> None:
    message = make_initiator(backend).write_message_1(b"")
    with pytest.raises(PeerError, match="unauthentic"):
        make_responder(backend).read_message_1(bytes(32) + message[32:])


def test_message_1_cannot_be_sealed_twice_under_one_key(backend: Backend) -> None:
    initiator = make_initiator(backend)
    initiator.write_message_1(b"first")
    with pytest.raises(Bug):
        initiator.write_message_1(b"second")
    with pytest.raises(Bug):
        initiator.begin()


def test_message_2_needs_message_1_and_is_written_once(backend: Backend) -> None:
    responder = make_responder(backend)
    with pytest.raises(Bug):
        responder.write_message_2(b"", psk=PSK, ephemeral_private=SERVER_EPHEMERAL)
    responder.read_message_1(make_initiator(backend).write_message_1(b""))
    responder.write_message_2(b"", psk=PSK, ephemeral_private=SERVER_EPHEMERAL)
    with pytest.raises(Bug):
        responder.write_message_2(b"", psk=PSK, ephemeral_private=SERVER_EPHEMERAL)


def test_there_are_no_keys_before_the_handshake_ends(backend: Backend) -> None:
    initiator, responder = make_initiator(backend), make_responder(backend)
    responder.read_message_1(initiator.write_message_1(b""))
    for side in (initiator, responder):
        with pytest.raises(Bug):
            side.keys()


def make_initiator(backend: Backend, **difference: bytes) -> Initiator:
    usual = {
        "prologue": PROLOGUE,
        "static_private": CLIENT_STATIC,
        "remote_static": backend.x25519_public(SERVER_STATIC),
        "ephemeral_private": CLIENT_EPHEMERAL,
    }
    return Initiator(backend=backend, **(usual | difference))


def make_responder(backend: Backend) -> Responder:
    return Responder(backend=backend, prologue=PROLOGUE, static_private=SERVER_STATIC)


def answered(backend: Backend) -> tuple[Initiator, bytes]:
    """An initiator that waits for message 2, and the message 2 that it waits for."""
    initiator, responder = make_initiator(backend), make_responder(backend)
    responder.read_message_1(initiator.write_message_1(b""))
    return initiator, responder.write_message_2(b"welcome", psk=PSK, ephemeral_private=SERVER_EPHEMERAL)


def foreign_connection(backend: Backend, *, is_initiator: bool) -> NoiseConnection:
    """The same handshake by the `noiseprotocol` package."""
    connection = NoiseConnection.from_name(PROTOCOL_NAME)
    connection.set_prologue(PROLOGUE)
    connection.set_psks(PSK)
    if is_initiator:
        connection.set_as_initiator()
        connection.set_keypair_from_private_bytes(Keypair.STATIC, CLIENT_STATIC)
        connection.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, backend.x25519_public(SERVER_STATIC))
    else:
        connection.set_as_responder()
        connection.set_keypair_from_private_bytes(Keypair.STATIC, SERVER_STATIC)
    connection.start_handshake()
    return connection


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def is_hex(value: object) -> bool:
    return isinstance(value, str) and set(value) <= set("0123456789abcdef")

"""Handshake payloads come back as they were sent, and later versions may add fields."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.errors import PeerError
from ghost.wire.hello import REFUSALS, ClientHello, ServerHello

HELLO = ClientHello(1, bytes(8), 2, 1, invite_id=b"invite 1", proof=bytes(32))
client_hellos = st.builds(
    ClientHello,
    connection_id=st.integers(1, (1 << 32) - 1),
    token=st.binary(min_size=8, max_size=8),
    timestamp=st.integers(0, (1 << 64) - 1),
    features=st.integers(0, (1 << 32) - 1),
    invite_id=st.binary(min_size=8, max_size=8),
    proof=st.binary(min_size=32, max_size=32),
    version=st.integers(0, 255),
)
interfaces = st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, 32)).map(IPv4Interface)
server_hellos = st.builds(
    ServerHello,
    connection_id=st.integers(0, (1 << 32) - 1),
    features=st.integers(0, (1 << 32) - 1),
    interface=interfaces,
    gateway=st.integers(0, (1 << 32) - 1).map(IPv4Address),
    is_resumed=st.booleans(),
    refusal=st.integers(0, 255),
)


@given(client_hellos)
def test_a_clients_hello_comes_back(hello: ClientHello) -> None:
    assert ClientHello.decode(hello.encode()) == hello


@given(server_hellos)
def test_a_servers_hello_comes_back(hello: ServerHello) -> None:
    assert ServerHello.decode(hello.encode()) == hello


@pytest.mark.parametrize("hello", [HELLO, ServerHello(5)], ids=["client", "server"])
def test_unknown_fields_are_skipped(hello: ClientHello | ServerHello) -> None:
    assert type(hello).decode(b"\xc8\x03new" + hello.encode() + b"\xc9\x00") == hello


@pytest.mark.parametrize("hello", [HELLO, ServerHello(5)], ids=["client", "server"])
def test_a_hello_cut_short_is_malformed(hello: ClientHello | ServerHello) -> None:
    whole = hello.encode()
    for end in range(len(whole)):
        with pytest.raises(PeerError, match="malformed"):
            type(hello).decode(whole[:end])


@pytest.mark.parametrize("kind", [ClientHello, ServerHello])
@given(data=st.binary(max_size=120))
def test_any_bytes_decode_or_are_a_peers_fault(kind: type[ClientHello | ServerHello], data: bytes) -> None:
    with contextlib.suppress(PeerError):
        kind.decode(data)


@pytest.mark.parametrize("kind", [ClientHello, ServerHello])
@given(fields=st.lists(st.tuples(st.integers(1, 12), st.binary(max_size=10)), max_size=20))
def test_any_fields_decode_or_are_a_peers_fault(
    kind: type[ClientHello | ServerHello], fields: list[tuple[int, bytes]]
) -> None:
    with contextlib.suppress(PeerError):
        kind.decode(b"".join(bytes([tag, len(value)]) + value for tag, value in fields))


@pytest.mark.parametrize("field", ["token", "invite_id", "proof"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_field_of_another_size_is_malformed(field: str, change: int) -> None:
    """An invite id becomes the name of a file."""
    wrong = replace(HELLO, **{field: bytes(len(getattr(HELLO, field)) + change)})
    with pytest.raises(PeerError, match="malformed"):
        ClientHello.decode(wrong.encode())


def test_connection_id_zero_is_the_handshakes_own() -> None:
    with pytest.raises(PeerError, match="malformed"):
        ClientHello.decode(replace(HELLO, connection_id=0).encode())


def test_every_refusal_says_what_to_do() -> None:
    assert all(": " in text for text in REFUSALS.values())

"""The line that admits a client survives being copied, and says so when it did not; it never shows its secret."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghost.errors import ConfigError
from ghost.tunnel.invitation import SCHEME, Invitation, format_endpoint, parse_endpoint

SECRET = bytes(range(100, 132))
INVITATION = Invitation(
    (("vpn.example.org", 8000), ("2001:db8::1", 443)), bytes(range(32)), b"invite-1", SECRET, "Ann's phone / 2"
)
LINE = INVITATION.to_uri()
BEFORE_NAME = LINE.partition("#")[0]

keys = st.binary(min_size=32, max_size=32)
hosts = st.sampled_from(["vpn.example.org", "198.51.100.7", "2001:db8::1", "h"])
invitations = st.builds(
    Invitation,
    st.lists(st.tuples(hosts, st.integers(1, 65535)), min_size=1, max_size=4).map(tuple),
    keys,
    st.binary(min_size=8, max_size=8),
    keys,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)


def refusal(line: str) -> str | None:
    """Why the line is not accepted; None when it says the same as the undamaged one."""
    try:
        read = Invitation.from_uri(line)
    except ConfigError as error:
        return str(error)
    assert (read.endpoints, read.server_public_key, read.invite_id, read.secret) == (
        INVITATION.endpoints, INVITATION.server_public_key, INVITATION.invite_id, INVITATION.secret,
    )  # fmt: skip
    return None


def assert_discreet(message: str) -> None:
    body = BEFORE_NAME.rpartition("/")[2]
    secret_at = (1 + 8 + 32) * 8 // 5 + 1
    assert not any(body[at : at + 8] in message for at in range(secret_at, len(body) - 8)), message
    assert SECRET.hex() not in message
    assert "\n" not in message


@given(invitations)
def test_an_invitation_comes_back(invitation: Invitation) -> None:
    line = invitation.to_uri()
    assert Invitation.from_uri(line) == invitation
    assert Invitation.from_uri(line + "\n") == invitation
    assert line.isascii()
    assert not any(character.isspace() for character in line)


def test_capital_letters_do_not_matter_behind_the_endpoints() -> None:
    where, _, text = BEFORE_NAME.rpartition("/")
    assert refusal(f"{where}/{text.upper()}") is None


@pytest.mark.parametrize("character", ["a", "7", "1", "/", "#", ",", " ", "\u00e9", "\U0001f642"])
def test_a_wrong_character_anywhere_is_noticed(character: str) -> None:
    unnoticed = 0
    for at in range(len(BEFORE_NAME)):
        damaged = LINE[:at] + character + LINE[at + 1 :]
        message = refusal(damaged)
        if message is None:
            unnoticed += damaged != LINE
        else:
            assert_discreet(message)
    assert unnoticed <= 1, "only the last letter has bits that mean nothing"


def test_a_lost_or_doubled_character_anywhere_is_noticed() -> None:
    for at in range(len(BEFORE_NAME)):
        for damaged in (LINE[:at] + LINE[at + 1 :], LINE[:at] + LINE[at] + LINE[at:]):
            message = refusal(damaged)
            assert message is not None, f"character {at}"
            assert_discreet(message)


def test_a_line_cut_short_anywhere_is_noticed() -> None:
    for end in range(len(BEFORE_NAME)):
        message = refusal(LINE[:end])
        assert message is not None, f"character {end}"
        assert_discreet(message)


@given(st.text(max_size=200), st.booleans())
def test_any_text_is_an_invite_or_a_config_error(text: str, has_scheme: bool) -> None:
    with pytest.raises(ConfigError):
        Invitation.from_uri(SCHEME + text if has_scheme else text)


def test_another_version_is_named() -> None:
    where, _, text = BEFORE_NAME.removeprefix(SCHEME).rpartition("/")
    raw = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    body = b"\x02" + raw[1:-4]
    check = hashlib.blake2s(where.encode() + b"/" + body, digest_size=4).digest()
    newer = base64.b32encode(body + check).decode().rstrip("=").lower()
    with pytest.raises(ConfigError, match=r"version 2.*update"):
        Invitation.from_uri(f"{SCHEME}{where}/{newer}")


@pytest.mark.parametrize("endpoint", [("vpn.example.org", 8000), ("198.51.100.7", 1), ("2001:db8::1", 65535)])
def test_an_endpoint_comes_back(endpoint: tuple[str, int]) -> None:
    assert parse_endpoint(format_endpoint(*endpoint)) == endpoint


@pytest.mark.parametrize(
    "text",
    ["", "host", ":8000", "host:", "host:0", "host:65536", "host:x", "host:-1", "host:\u0661", "h:" + "1" * 5000],
)
def test_what_is_no_endpoint_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_endpoint(text)

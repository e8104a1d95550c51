"""Named links: every one is usable, says where it comes from, and is found under its name."""

from __future__ import annotations

import pytest

from ghost.chaos.profiles import PROFILES, resolve
from ghost.chaos.spec import parse
from ghost.errors import ConfigError


@pytest.mark.parametrize("name", PROFILES)
def test_profile_is_canonical_and_has_a_source(name: str) -> None:
    text, source = PROFILES[name]
    assert str(parse(text)) == text
    assert source.endswith(".")
    assert resolve(name.upper()) == parse(text)


def test_description_is_taken_as_it_is() -> None:
    assert resolve("loss=7%") == parse("loss=7%")


@pytest.mark.parametrize(("text", "told"), [("satelite", "did you mean satellite?"), ("moon", "give one of clean")])
def test_unknown_name_is_refused_with_what_there_is(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        resolve(text)
    assert told in str(refusal.value)

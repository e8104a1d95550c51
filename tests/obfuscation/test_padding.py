"""Padding varies what is small, leaves alone what is big, and stays affordable."""

from __future__ import annotations

import random

import pytest

from ghost.constants import MAX_DATAGRAM
from ghost.obfuscation.padding import PROFILES


def test_noise_spreads_small_packets_at_a_dozen_bytes_on_average() -> None:
    profile, rng = PROFILES["noise"], random.Random(1)
    added = [profile.padding(40, rng) for _ in range(10_000)]
    assert set(added) == set(range(25))
    assert 11.5 < sum(added) / len(added) < 12.5


@pytest.mark.parametrize("plaintext_size", [200, 1000, 1428])
def test_noise_adds_nothing_to_big_packets_and_draws_nothing_for_them(plaintext_size: int) -> None:
    rng = random.Random(2)
    before = rng.getstate()
    assert PROFILES["noise"].padding(plaintext_size, rng) == 0
    assert rng.getstate() == before


@pytest.mark.parametrize("plaintext_size", [0, 1, 199, 1428])
def test_thin_adds_nothing_to_any_packet(plaintext_size: int) -> None:
    assert PROFILES["thin"].padding(plaintext_size, random.Random(3)) == 0


def test_the_operating_systems_randomness_serves() -> None:
    assert 0 <= PROFILES["noise"].padding(10, random.SystemRandom()) <= 24


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_varies_the_size_of_handshakes_within_a_datagram(name: str) -> None:
    low, high = PROFILES[name].handshake_sizes
    assert PROFILES[name].name == name
    assert 0 < low < high <= MAX_DATAGRAM

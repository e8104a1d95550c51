"""To somebody without the server's key, no byte of any datagram looks different from noise.

Each position is judged by a chi-square statistic over its 256 values: 255 degrees of freedom, so noise scores
about 255 with a standard deviation of 22.6. Fewer than one position in 100,000 of true noise passes 370.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable

from ghost.crypto.backend import choose
from ghost.obfuscation.envelope import Envelope
from ghost.obfuscation.mask import HeaderMask
from ghost.obfuscation.padding import PROFILES

SERVER = bytes(range(32))
SAMPLES = 10_000
LIMIT = 370


def chi_square(samples: Iterable[int], values: Collection[int]) -> float:
    """How far the samples are from being spread evenly over the values."""
    counts = Counter(samples)
    assert counts.keys() <= set(values)
    expected = counts.total() / len(values)
    return sum((counts[value] - expected) ** 2 for value in values) / expected


def worst_position(datagrams: list[bytes]) -> float:
    """The greatest statistic of any position, counted from the front and from the back."""
    shortest = min(map(len, datagrams))
    positions = [*range(shortest), *range(-shortest, 0)]
    return max(chi_square((datagram[at] for datagram in datagrams), range(256)) for at in positions)


def handshakes() -> list[bytes]:
    """The same message over and over: whatever varies, the envelope made it vary."""
    envelope, rng = Envelope(choose(), SERVER), random.Random(1)
    sizes = PROFILES["noise"].handshake_sizes
    return [envelope.wrap(bytes(100), size_range=sizes, rng=rng) for _ in range(SAMPLES)]


def data_packets(mask: HeaderMask | None) -> list[bytes]:
    """Numbered packets of one connection with equal plaintexts; `mask` None leaves their headers plain."""
    aead, connection_id = choose().aead(bytes(32)), 0x01020304
    datagrams = []
    for number in range(SAMPLES):
        header = connection_id << 32 | number
        plain = header.to_bytes(8, "big")
        sealed = aead.seal(number.to_bytes(12, "big"), bytes(20), plain)
        datagrams.append((mask.hide(header, sealed[-16:]) if mask else plain) + sealed)
    return datagrams


def test_every_byte_of_a_handshake_datagram_looks_like_noise() -> None:
    assert worst_position(handshakes()) < LIMIT


def test_every_size_of_a_handshake_datagram_is_as_likely_as_any_other() -> None:
    low, high = PROFILES["noise"].handshake_sizes
    sizes = range(low, high + 1)
    assert len(sizes) == 521  # 520 degrees of freedom: 520 on average, standard deviation 32
    assert chi_square(map(len, handshakes()), sizes) < 520 + 5 * 32


def test_every_byte_of_a_data_packet_looks_like_noise() -> None:
    assert worst_position(data_packets(HeaderMask(SERVER))) < LIMIT


def test_the_statistic_would_notice_a_header_without_its_mask() -> None:
    assert worst_position(data_packets(None)) > 100 * LIMIT

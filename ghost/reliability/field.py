"""Arithmetic on symbols over GF(256), the field of RFC 8681 (polynomial x^8 + x^4 + x^3 + x^2 + 1).

A symbol takes part in a combination as its unit: 16-bit size, then payload, as if followed by zeros for ever. As a
little-endian integer those zeros need not exist, so units of different sizes are added by one exclusive or, and a
product is one `bytes.translate` through the factor's table. Measured for 1400 bytes: a product 2.2 us, a doubling
0.7 us, a sum 0.1 us. So the factors of a repair are 1 to 15: units with the same factor are added up first, and three
doublings are all the products that are left. Those of 1 to 255 would take three times as long and save one repair in 80
where two symbols are lost, and none where more are (measured).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ghost.constants import MAX_DATAGRAM

_POLYNOMIAL: Final = 0x11D
_SIZE_FIELD: Final = 2
_SIZE_MASK: Final = 0xFFFF
_TOP_BITS: Final = int.from_bytes(b"\x80" * MAX_DATAGRAM, "little")
_OTHER_BITS: Final = int.from_bytes(b"\x7f" * MAX_DATAGRAM, "little")
_REDUCTION: Final = _POLYNOMIAL & 0xFF  # what the bit that a doubling pushes out of its byte is worth

_ID_FACTOR, _SEED_FACTOR, _MIXER = 0x9E3779B1, 0x85EBCA6B, 0x2C1B3C6D
_WORD: Final = 0xFFFFFFFF
WIDTH: Final = 16
"""How many factors there are, 0 among them, which no repair has."""
_PERIOD: Final = 4096  # ids after which the factors come again: MAX_SYMBOLS, so no two of a window have the same
_STEP: Final = _PERIOD // 256  # by which the next seed's begin later


def _tables() -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """All products as 256 translation tables, and the inverse of every element but 0."""
    exponents, logarithms, value = [0] * 510, [0] * 256, 1
    for power in range(255):
        exponents[power] = exponents[power + 255] = value
        logarithms[value] = power
        value <<= 1
        if value & 0x100:
            value ^= _POLYNOMIAL
    products = tuple(
        bytes(exponents[logarithms[a] + logarithms[b]] if a and b else 0 for b in range(256)) for a in range(256)
    )
    inverses = tuple(exponents[255 - logarithms[a]] if a else 0 for a in range(256))
    return products, inverses


PRODUCTS, INVERSES = _tables()


def _pattern() -> bytes:
    """_PERIOD factors without an order: a multiplicative hash (Knuth, TAOCP 6.4) whose middle bits are folded."""
    pattern = bytearray()
    for place in range(_PERIOD):
        mixed = (place * _ID_FACTOR ^ _SEED_FACTOR) & _WORD
        mixed = (mixed ^ mixed >> 15) * _MIXER & _WORD
        pattern.append((mixed >> 12) % (WIDTH - 1) + 1)
    return bytes(pattern)


PATTERN: Final = _pattern()


def factors(seed: int, symbol_ids: Sequence[int]) -> Sequence[int]:
    """Of symbols in the repair with this seed: never 0, and unrelated from seed to seed."""
    shift, pattern = seed * _STEP, PATTERN
    return [pattern[(symbol_id + shift) % _PERIOD] for symbol_id in symbol_ids]


def unit(payload: bytes) -> int:
    return int.from_bytes(payload, "little") << 8 * _SIZE_FIELD | len(payload)


def payload_of(value: int) -> bytes | None:
    """The payload of a unit; None when it cannot be one."""
    size = value & 0xFFFF
    if not size or value.bit_length() > (size + _SIZE_FIELD) * 8:
        return None
    return (value >> 16).to_bytes(size, "little")


def scale(value: int, factor: int) -> int:
    """factor * value."""
    if factor == 1:
        return value
    data = value.to_bytes((value.bit_length() + 7) // 8, "little")
    return int.from_bytes(data.translate(PRODUCTS[factor]), "little")


def double(value: int) -> int:
    """2 * value, for values as long as datagrams."""
    return (value & _OTHER_BITS) << 1 ^ ((value & _TOP_BITS) >> 7) * _REDUCTION


def weighted_sum(sums: Sequence[int]) -> int:
    """The sum of factor * sums[factor] over the 16 factors, for values as long as datagrams at most.

    What stands at bit + rest counts once for the bit, and goes on at the rest.
    """
    _, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15 = sums
    s5, s6, s7 = s5 ^ s13, s6 ^ s14, s7 ^ s15
    s3 ^= s11 ^ s7
    ones = s1 ^ s9 ^ s5 ^ s3
    twos = s2 ^ s10 ^ s6 ^ s3
    fours = s4 ^ s12 ^ s5 ^ s6 ^ s7
    eights = s8 ^ s9 ^ s10 ^ s11 ^ s12 ^ s13 ^ s14 ^ s15
    return double(double(double(eights) ^ fours) ^ twos) ^ ones


def combine(symbol_ids: Sequence[int], units: Sequence[int], seed: int) -> bytes:
    """The coded bytes of a repair over symbols, as long as the longest unit."""
    sums = [0] * WIDTH
    for factor, value in zip(factors(seed, symbol_ids), units, strict=True):
        sums[factor] ^= value
    return weighted_sum(sums).to_bytes(max(map(_SIZE_MASK.__and__, units)) + _SIZE_FIELD, "little")

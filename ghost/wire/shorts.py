"""Short prompts: pure TCP acknowledgements against a header that the receiver holds, in 3 to 9 bytes.

    code: 1 | reference: 1 | [new reference: 1] | [acknowledgement: 1-3] | [identification: 1] |
              [timestamp: 1 or 2 | echo: 1 or 2] | [window: 2]

The code says which fields there are, so that no size is needed. It lies in 10-2f without timestamps, 40-5f with
timestamps of one byte each, 60-7f with two; its low five bits are: acknowledgement's size (two bits), window,
identification, new reference.
"""

from __future__ import annotations

from typing import Final

_BASES: Final[tuple[int, ...]] = (0x10, 0x40, 0x60)  # by the size of the timestamps
_ACK_SIZE, _HAS_WINDOW, _HAS_IDENT, DEFINES = 0x03, 0x04, 0x08, 0x10


def code(*, ack_size: int, stamp_size: int, has_window: bool, has_ident: bool, defines: bool) -> int:
    return _BASES[stamp_size] + (ack_size | has_window * _HAS_WINDOW | has_ident * _HAS_IDENT | defines * DEFINES)


def parts(code: int) -> tuple[int, int, bool, bool, bool]:
    """(acknowledgement's size, each timestamp's size, has a window, has an identification, has a new reference)."""
    stamp_size = 0 if code < _BASES[1] else 1 if code < _BASES[2] else 2
    bits = code - _BASES[stamp_size]
    return bits & _ACK_SIZE, stamp_size, bool(bits & _HAS_WINDOW), bool(bits & _HAS_IDENT), bool(bits & DEFINES)


def _size(code: int) -> int:
    ack_size, stamp_size, has_window, has_ident, defines = parts(code)
    return 2 + defines + ack_size + has_ident + 2 * stamp_size + 2 * has_window


SIZES: Final = {base + bits: _size(base + bits) for base in _BASES for bits in range(0x20)}
"""Bytes of a short prompt by its code, the code counted."""

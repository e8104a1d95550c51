"""Numbers that more than one package must agree on, each with its reason."""

from __future__ import annotations

from typing import Final

TAG_SIZE: Final = 16
HEADER_SIZE: Final = 8
PACKET_OVERHEAD: Final = HEADER_SIZE + TAG_SIZE

MAX_DATAGRAM: Final = 1452
"""UDP payload that fits 1500-byte paths over IPv6 (40 + 8 bytes of headers) as well as over IPv4."""

FULL_PACKET: Final = MAX_DATAGRAM + 28
"""Bytes that a full datagram takes of the path, its IPv4 and UDP headers counted."""

MAX_MEMBERS_SIZE: Final = 30
"""Bytes in which a repair says over which symbols it is: 240 of any kind, or any number in 15 runs."""

MAX_MEMBERS: Final = 512
"""Symbols in a repair: 10 Mbit/s over 600 ms. Bounds what a hostile one can cost its receiver."""

MAX_SYMBOL: Final = MAX_DATAGRAM - PACKET_OVERHEAD - 1 - 6 - MAX_MEMBERS_SIZE - 2
"""Bytes of records in a symbol, 1389: a repair over it (6 of frame head, 2 of unit size) must fit a datagram, with a
PING before it. What a source packet is shorter by has room for an acknowledgement."""

PATIENCE: Final = 0.15
"""Seconds for which an acknowledgement of little may wait for company, a tunnel's as well as a TCP's: with the 40 ms by
which Linux itself delays one it stays below the 200 ms that every TCP must bear before it sends again."""

INNER_MTU: Final = MAX_SYMBOL - 5
"""A full inner packet with its record's head (kind, flow, sequence) fills one symbol."""

DEFAULT_PORT: Final = 8000

"""Numbers that more than one package must agree on, each with its reason."""

from __future__ import annotations

from typing import Final

TAG_SIZE: Final = 16
HEADER_SIZE: Final = 8
PACKET_OVERHEAD: Final = HEADER_SIZE + TAG_SIZE

MAX_DATAGRAM: Final = 1452
"""UDP payload that fits 1500-byte paths over IPv6 (40 + 8 bytes of headers) as well as over IPv4."""

INNER_MTU: Final = 1416
"""A full inner packet, with the record's, symbol's and packet's overhead, fills one datagram exactly:
1416 + 7 (record, no size) + 4 (symbol) + 24 (packet) = 1451. Bigger packets would cost a second datagram."""

DEFAULT_PORT: Final = 8000

"""Runs: what is the same in many datagrams that arrived together is looked at once. The receiving half of the hot path.

A fast transfer's datagrams come by the buffer (UDP_GRO), with consecutive packet numbers, one symbol in each, one whole
segment of one flow in each symbol. Of such a run each step below is done for all before the next is done for any:

    unmask -> open -> replay window -> frames -> acknowledgement -> symbols -> decoder -> segments boarded

What ends a run (another epoch or address, a gap, another frame, a short or special segment) is left to the general way,
one by one (`Connection.receive_datagram`); a run is only what that would have done. So nothing here is part of the
protocol, and nothing here decides.

Measured per datagram of 1416 bytes in runs of 64, one by one in brackets: unmask 0.8 us (1.6), open 2.7 (4), of which
the library's call is 2.2; all the rest, from the frame to the packet for the device, 5 (12).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ghost.compression.credentials import METHOD_SIZE, METHODS
from ghost.constants import PACKET_OVERHEAD
from ghost.obfuscation.mask import HeaderMask
from ghost.wire.numbers import counted

LEAST: Final = 3  # datagrams: below it the general way is as cheap


def among(datagrams: list[bytes], mask: HeaderMask) -> Iterator[tuple[int, int, list[bytes]]]:
    """(connection id, packet number of the first, datagrams) of the runs among those that arrived together, in order.

    What is no run comes as fewer than LEAST, and the numbers may then say nothing.
    """
    if len(datagrams) < LEAST or min(map(len, datagrams)) < PACKET_OVERHEAD:
        for datagram in datagrams:
            yield 0, 0, [datagram]
        return
    headers = mask.reveal_run(datagrams)
    for start, end in stretches(headers):
        yield headers[start] >> 32, headers[start] & 0xFFFFFFFF, datagrams[start:end]


def stretches(headers: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """(start, end) of the parts in which every header follows from the one before: one epoch, consecutive numbers."""
    start, count = 0, len(headers)
    while start < count:
        first = headers[start]
        end = start + 1
        if headers[-1] - first == count - 1 - start and headers[start:] == tuple(range(first, first + count - start)):
            end = count  # the usual case, compared by the interpreter
        while end < count and headers[end] == first + end - start:
            end += 1
        yield start, end
        start = end


def segments_in_order(symbols: list[bytes], start: int, most: int, *, head: bytes, size: int) -> int:
    """How many of `symbols` from `start` on are one record with a plain segment of `size` bytes each, in order.

    `head` is all that stands before the first one's segment: record head, sequence and delta. At most `most`, and none
    whose segment may hold an HTTP request, because the receiver looks into that.
    """
    head_size = len(head)
    full = head_size + size
    expected = int.from_bytes(head, "big")
    most = min(most, 0x10000 - (expected >> 8 & 0xFFFF))  # there the sequence comes round
    end = min(start + most, len(symbols))
    at = start
    count = end - start
    if symbols[end - 1][:head_size] == (expected + 0x100 * (count - 1)).to_bytes(head_size, "big"):
        part = symbols[start:end]
        heads = b"".join([symbol[:head_size] for symbol in part])
        are_alike = set(map(len, part)) == {full} and heads == counted(expected, count, step=0x100, size=head_size)
        if are_alike and METHODS.isdisjoint([symbol[head_size : head_size + METHOD_SIZE] for symbol in part]):
            return count  # the usual case, compared by the interpreter
    while at < end:
        symbol = symbols[at]
        if len(symbol) != full or int.from_bytes(symbol[:head_size], "big") != expected:
            break
        if symbol[head_size : head_size + METHOD_SIZE] in METHODS:
            break
        expected += 0x100
        at += 1
    return at - start

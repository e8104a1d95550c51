"""Inner packets through a composer and a receiver with no path between: what compression makes of them.

Every packet must come out as it went in, at once, and in order; every prompt is acknowledged as soon as it arrived.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ghost.compression.agreement import Agreement
from ghost.constants import MAX_SYMBOL
from ghost.tunnel.composer import Composer
from ghost.tunnel.receiver import Receiver
from ghost.wire import frames, inner

EVERYTHING = Agreement(headers=True, zstd=True, streams=16, dns=True, groups=True)


class Carried(NamedTuple):
    """One packet, and what it took inside a datagram: its frame if it was prompt, else its records."""

    packet: bytes
    is_prompt: bool
    size: int


class Replay:
    """One direction of a connection. `rate` is the path's, in bytes a second."""

    def __init__(self, agreement: Agreement = EVERYTHING, *, rate: float = 32e3) -> None:
        self.composer = Composer(agreement)
        self.receiver = Receiver(agreement)
        self._rate = rate
        self._prompt_id = 0
        self._symbol_id = 0

    def carry(self, packet: bytes, now: float) -> Carried | None:
        """None for what does not enter the tunnel; AssertionError where it comes out other than it went in."""
        parsed = inner.parse(packet)
        if parsed is None:
            return None
        record = self.composer.add(packet, parsed, rate=self._rate, prompt_id=self._prompt_id, now=now)
        size = 0
        if record is not None:
            frame = self.composer.prompt_frame(self._prompt_id, record, is_near=self.composer.is_near)
            size = len(frame)
            for decoded in frames.decode(frame):
                if isinstance(decoded, frames.NearPrompt):
                    self.receiver.on_near_prompt(decoded, self._prompt_id)
                else:
                    assert isinstance(decoded, frames.Prompt)
                    self.receiver.on_prompt(decoded, self._prompt_id)
            self.composer.on_prompt_acked(self._prompt_id)
            self._prompt_id += 1
        while self.composer.has_data:
            payload = self.composer.compose(MAX_SYMBOL)
            size += len(payload)
            self.receiver.on_symbol(frames.Symbol(self._symbol_id & 0xFFFFFF, payload), now)
            self._symbol_id += 1
        delivered = self.receiver.take_packets()
        if delivered != [packet]:
            raise AssertionError(f"{packet.hex()} came out as {delivered}")
        return Carried(packet, record is not None, size)

    def carry_all(self, packets: Iterable[tuple[float, bytes]]) -> list[Carried]:
        """(time, packet) pairs; those that may not enter are left out."""
        return [carried for now, packet in packets if (carried := self.carry(packet, now)) is not None]

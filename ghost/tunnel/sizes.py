"""How large what is sent may be, and what follows when that changes.

Symbols and prompt records keep to the size that the path carries (ghost.reliability.pathmtu). When it shrinks, symbols
that are under way and too large go again in pieces (ghost.reliability.pieces), and repairs rest until those are known,
because a repair would be as large as the largest symbol in it.
"""

from __future__ import annotations

from typing import Final

from ghost.constants import MAX_DATAGRAM, MAX_SYMBOL, PACKET_OVERHEAD
from ghost.reliability.loss import SentPacket
from ghost.reliability.lossrate import LossRate
from ghost.reliability.pathmtu import PathMtu
from ghost.reliability.pieces import PieceSender
from ghost.reliability.send_window import SendWindow
from ghost.tunnel.composer import Composer
from ghost.wire import frames

WIRE_HEADERS: Final = 28  # bytes of IPv4 and UDP around a datagram: the path's rate is spent on them too
LARGEST_PLAINTEXT: Final = MAX_DATAGRAM - PACKET_OVERHEAD - len(frames.PING)
BESIDE_SYMBOL: Final = MAX_DATAGRAM - MAX_SYMBOL  # bytes of a datagram that a symbol cannot have
PIECE_ROOM: Final = frames.PIECE_OVERHEAD - frames.SYMBOL_OVERHEAD


class PacketSizes:
    """One connection's: `largest_plaintext` of a packet in bytes, and the pieces of what became too large."""

    __slots__ = ("largest_plaintext", "path_mtu", "_composer", "_cut_below", "_pieces", "_window")

    def __init__(self, composer: Composer, window: SendWindow) -> None:
        self.largest_plaintext = LARGEST_PLAINTEXT
        self.path_mtu = PathMtu()
        self._composer = composer
        self._cut_below = 0  # symbols before it may be too large for the path
        self._pieces = PieceSender()
        self._window = window

    def judge(
        self, acked: list[SentPacket], lost: list[SentPacket], loss_rate: LossRate
    ) -> tuple[list[SentPacket], list[SentPacket]]:
        """What the fates of packets say about the size that passes; returns those that say something about loss."""
        limit = self.path_mtu.limit
        if not lost and self.path_mtu.is_content:  # nearly always
            return acked, lost
        acked, lost = self.path_mtu.take_probes(acked, are_acked=True), self.path_mtu.take_probes(lost, are_acked=False)
        vanished = self.path_mtu.on_fates(acked, lost, loss=loss_rate.rate, burst=loss_rate.burst)
        if vanished:
            loss_rate.forgive(vanished, burst=self.path_mtu.burst)
            lost = []
        if self.path_mtu.limit != limit:
            self._resize()
        return acked, lost

    @property
    def has_cut(self) -> bool:
        """Whether symbols are under way that may be too large."""
        if not self._cut_below:
            return False
        if self._window.floor >= self._cut_below:
            self._cut_below = 0
        return self._cut_below > 0

    def next_piece(self, symbol_id: int, payload: bytes) -> tuple[int, bytes, bool]:
        """As `PieceSender.next_piece`."""
        return self._pieces.next_piece(symbol_id, payload)

    def on_piece_sent(self, number: int, symbol_id: int, offset: int) -> None:
        """That piece left in the packet of that number."""
        if self._pieces.on_sent(number, symbol_id, offset):
            self._window.on_sent(symbol_id, number)

    def on_piece_acked(self, number: int) -> None:
        whole = self._pieces.on_acked(number)
        if whole is not None:
            self._window.on_known(whole)

    def on_piece_lost(self, number: int) -> None:
        torn = self._pieces.on_lost(number)
        if torn is not None:
            self._window.want_again(torn)

    def forget_below(self, floor: int) -> None:
        """Symbols below `floor` are known."""
        if self._pieces:
            self._pieces.forget_below(floor)

    def _resize(self) -> None:
        """Symbols and prompts keep to the size that passes; what is under way and larger goes again in pieces."""
        datagram = self.path_mtu.limit - WIRE_HEADERS
        self.largest_plaintext = datagram - PACKET_OVERHEAD - len(frames.PING)
        largest_symbol = datagram - BESIDE_SYMBOL
        if largest_symbol < self._composer.largest_symbol:
            self._cut_below = self._window.next_id
        for symbol_id in self._pieces.resize(largest_symbol - PIECE_ROOM):
            self._window.want_again(symbol_id)
        self._composer.largest_symbol = largest_symbol

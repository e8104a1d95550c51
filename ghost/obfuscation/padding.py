"""How much padding each profile adds: the price in bytes of hiding sizes, as a table.

Sizes of large packets say little (a full packet is a full packet) and padding them costs the most, so only
small ones are padded: acknowledgements, keystrokes and DNS queries have sizes that give them away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True)
class Profile:
    """One way of padding. All sizes in bytes.

    `handshake_sizes` is the range of whole handshake datagrams, both ends included. A data packet whose
    plaintext is smaller than `small_packet_limit` gets up to `small_packet_padding` bytes.
    """

    name: str
    handshake_sizes: tuple[int, int]
    small_packet_limit: int
    small_packet_padding: int

    def padding(self, plaintext_size: int, rng: Random) -> int:
        """Bytes to add to this packet, drawn evenly; always 0, without a draw, for one that is not small."""
        if plaintext_size >= self.small_packet_limit:
            return 0
        return rng.randrange(self.small_packet_padding + 1)


# The average of `noise` on a small packet is 12 bytes: 50 such packets a second cost a 64 kbit/s pipe 7 % of
# its rate. Handshakes are rare, so even `thin` varies their size: a fixed one would be a signature.
PROFILES = {
    profile.name: profile
    for profile in (
        Profile("thin", handshake_sizes=(180, 400), small_packet_limit=0, small_packet_padding=0),
        Profile("noise", handshake_sizes=(180, 700), small_packet_limit=200, small_packet_padding=24),
    )
}

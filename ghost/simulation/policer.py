"""A link behind a policer: a token bucket that drops what exceeds its rate, at once, and delays nothing.

Many an access network is throttled that way, and no queue tells of it.
"""

from __future__ import annotations

import random

from ghost.chaos.link import Heap, Link
from ghost.chaos.spec import LinkSpec


class Policer(Link):
    """`rate_bps` counts whole IP packets, `bucket` is the bytes that may come at once. What passes meets the link of
    `spec`. Drops count as the queue's."""

    __slots__ = ("rate_bps", "_bucket", "_tokens", "_filled_at")

    def __init__(
        self, spec: LinkSpec, rng: random.Random, now: float = 0.0, *, rate_bps: float, bucket: int = 12_500
    ) -> None:
        super().__init__(spec, rng, now)
        self.rate_bps = rate_bps
        self._bucket = bucket
        self._tokens = float(bucket)
        self._filled_at = now

    def _carry(self, heap: Heap, packet: bytes, now: float, overhead: int) -> None:
        size = len(packet) + overhead
        self._tokens = min(self._tokens + (now - self._filled_at) * self.rate_bps / 8, self._bucket)
        self._filled_at = now
        if size > self._tokens:
            self.stats.in_packets += 1
            self.stats.in_bytes += size
            self.stats.queue_dropped += 1
            return
        self._tokens -= size
        super()._carry(heap, packet, now, overhead)

"""Which flows carry secrets that an onlooker could guess at by the lengths of what is compressed.

Whoever can put text into a flow beside a secret, and see by how much it shrinks, learns the secret piece by piece
(CRIME, BREACH, VORACLE). So a flow that asks by HTTP is never compressed, nor is one in which a cookie or an
authorization was seen, from that packet on and in both directions.
"""

from __future__ import annotations

from typing import Final

METHODS: Final = frozenset((b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC"))
METHOD_SIZE: Final = 4
_MARKS: Final = (
    b"cookie:",
    b"authorization:",
    b"auth-token:",
    b"api-key:",
    b"csrf-token:",
    b"xsrf-token:",
    b"\x0aauth ",
)
_TAIL: Final = max(map(len, _MARKS)) - 1
_LOGINS: Final = (b"user ", b"pass ", b"auth ", b"login ")


class Watch:
    """One flow's text so far, as far as a mark may lie across two packets."""

    __slots__ = ("is_clean", "_tail")

    def __init__(self) -> None:
        self.is_clean = True
        self._tail = b""

    def note(self, payload: bytes) -> bool:
        """Whether the flow may still be compressed, this payload included."""
        if self.is_clean:
            text = self._tail + payload.lower()
            self._tail = text[-_TAIL:]
            self.is_clean = not (
                payload[:METHOD_SIZE] in METHODS or has_mark(text) or text[: len(payload)].startswith(_LOGINS)
            )
        return self.is_clean


def has_mark(lowered: bytes) -> bool:
    """Whether the text, in lower case, announces a secret."""
    return any(mark in lowered for mark in _MARKS)

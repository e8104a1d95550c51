"""When something is due next, of several that may be due: the question that a simulation asks most."""

from __future__ import annotations


def earliest(*times: float | None) -> float | None:
    """The least of those that are not None, None without any. A loop costs a third of `min` over a generator."""
    least = None
    for time in times:
        if time is not None and (least is None or time < least):
            least = time
    return least

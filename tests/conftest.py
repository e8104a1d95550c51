"""Property tests draw the same examples on every run: a failure can be repeated, and no run fails by bad luck."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same every time", derandomize=True, deadline=None)
settings.load_profile("same every time")

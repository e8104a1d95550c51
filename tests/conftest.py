"""The same conditions on every run: property tests draw the same examples, signals do what they do in a terminal."""

from __future__ import annotations

import signal

from hypothesis import settings

# A failure can be repeated, and no run fails by bad luck.
settings.register_profile("same every time", derandomize=True, deadline=None)
settings.load_profile("same every time")

# A shell script's background jobs ignore SIGINT, and nohup's SIGHUP; so would every daemon that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

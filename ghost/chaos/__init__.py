"""The seeded link model: what a bad network does to packets, in virtual time, and links known by name."""

from __future__ import annotations

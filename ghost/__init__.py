"""GhostTunnel: a low-bandwidth VPN for hostile networks."""

from __future__ import annotations

__version__ = "0.1.0"

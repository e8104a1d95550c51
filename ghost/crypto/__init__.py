"""Sealing and opening packets, the handshake that agrees on their keys, and the guard against replays."""

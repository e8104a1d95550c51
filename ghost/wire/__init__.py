"""Bytes to values and back: frames, records, handshake payloads, inner IP headers. No state, no decisions."""

"""What mends the path: round-trip times, acknowledgements, loss detection, congestion control, windows and coding.

Nothing here knows of flows, keys or sockets.
"""

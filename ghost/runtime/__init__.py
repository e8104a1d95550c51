"""The only package that knows sockets, clocks and greenlets: a thin shell around the sans-IO core."""

"""Changes to the host, each with its undo."""

"""The way to ghost.commands.plots, which needs a package that a tunnel does not."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from ghost.errors import ConfigError, HostError

KINDS = (".png", ".svg")


def plots_for(path: Path) -> ModuleType:
    """ghost.commands.plots, once it is certain that it can draw `path`: before anything is measured for it."""
    if path.suffix not in KINDS:
        raise ConfigError(f"--plot {path} ends in neither of {', '.join(KINDS)}: write for example loss.png")
    if not path.absolute().parent.is_dir():
        raise HostError(f"--plot {path} is in no directory that exists: make it, or choose another")
    try:
        from ghost.commands import plots
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "ghost":
            raise
        raise HostError(f"--plot needs the Python package {error.name}: install matplotlib with pip") from error
    return plots

"""The first code of ghosttunnel.pyz: see that this Python can run it, choose where it unpacks, start it.

Compiled modules cannot be imported from inside a zip file, so shiv's bootstrap unpacks them once. By itself it
does so in ~/.shiv only, and fails with a traceback without a writable home directory or under another Python.
This file stays readable for Pythons from 3.7 on, to whom it has to explain itself.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import stat
import sys
import tempfile
import zipimport
from typing import NoReturn

# As HostError in ghost/errors.py, which is still packed when this runs.
HOST_ERROR = 3


def is_private_directory(path: str) -> bool:
    """Whether `path` is, or can be made, a directory that only this user may write: code runs from there."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError:
        return False
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return is_ours and os.access(path, os.W_OK)


def unpack_directory() -> str | None:
    """The first usable of: the cache of the system (root) or user (others), the temporary directory."""
    cache = "/var/cache/ghosttunnel" if os.geteuid() == 0 else os.path.expanduser("~/.cache/ghosttunnel")
    for path in (cache, os.path.join(tempfile.gettempdir(), f"ghosttunnel-{os.geteuid()}")):
        if os.path.isabs(path) and is_private_directory(path):
            return path
    return None


def give_up(message: str) -> NoReturn:
    print(f"ghosttunnel: {message}", file=sys.stderr)
    sys.exit(HOST_ERROR)


def main() -> None:
    running = importlib.machinery.EXTENSION_SUFFIXES[0]
    built_for = zipimport.zipimporter(sys.argv[0]).get_data("extension_suffix").decode()
    if built_for != running:
        give_up(
            f"this file is built for {built_for.split('.')[1]}, but {sys.executable} is "
            f"{running.split('.')[1]}: run it with the Python that it was built for, or build it on a machine "
            "like this one with `make build`"
        )
    if "SHIV_ROOT" not in os.environ:
        directory = unpack_directory()
        if directory is None:
            give_up("found no place to unpack: set SHIV_ROOT to a directory that you can write")
        os.environ["SHIV_ROOT"] = directory

    importlib.import_module("_bootstrap").bootstrap()


main()

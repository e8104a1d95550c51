"""How to start this program again, as the same version from the same place, in a process of its own.

Works from a checkout (`python ghosttunnel.py`), an installed script, `python -m ghost` and a .pyz: all of
them are Python programs, so this interpreter and the name under which it was started are enough. The binary that
PyInstaller makes has its interpreter inside: it is started by its own name, and told which module is wanted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import ghost

_RUN_MODULE = "--run-module"


def is_frozen() -> bool:
    """Whether this is the binary."""
    return bool(getattr(sys, "frozen", False))


def thaw() -> str | None:
    """For the start of the binary: takes back its changes to the environment, which would make other programs load its
    libraries, and returns the module that is to run in place of the command line, None for none."""
    original = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
    os.environ.pop("LD_LIBRARY_PATH", None)
    if original is not None:
        os.environ["LD_LIBRARY_PATH"] = original
    if sys.argv[1:2] != [_RUN_MODULE]:
        return None
    name = sys.argv[2]
    del sys.argv[1:3]
    return name


def entry_command() -> list[str]:
    """The start of a command line that reaches the program that runs now; its options follow."""
    if is_frozen():
        return [sys.executable]
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name.endswith(".__main__"):  # started as `python -m PACKAGE`
        return [sys.executable, "-m", spec.name.removesuffix(".__main__")]
    return [sys.executable, str(Path(sys.argv[0]).resolve())]


def module_command(name: str) -> list[str]:
    """The start of a command line that runs one of this package's modules, from wherever the package was
    loaded."""
    if is_frozen():
        return [sys.executable, _RUN_MODULE, name]
    root = str(Path(ghost.__file__).resolve().parent.parent)
    start = f"import runpy, sys; sys.path.insert(0, {root!r}); runpy.run_module({name!r}, None, '__main__', True)"
    return [sys.executable, "-c", start]

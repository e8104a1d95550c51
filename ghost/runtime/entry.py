"""How to start this program again, as the same version from the same place, in a process of its own.

Works from a checkout (`python ghosttunnel.py`), an installed script, `python -m ghost` and a .pyz: all of
them are Python programs, so this interpreter and the name under which it was started are enough.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ghost


def entry_command() -> list[str]:
    """The start of a command line that reaches the program that runs now; its options follow."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name.endswith(".__main__"):  # started as `python -m PACKAGE`
        return [sys.executable, "-m", spec.name.removesuffix(".__main__")]
    return [sys.executable, str(Path(sys.argv[0]).resolve())]


def module_command(name: str) -> list[str]:
    """The start of a command line that runs one of this package's modules, from wherever the package was
    loaded."""
    root = str(Path(ghost.__file__).resolve().parent.parent)
    start = f"import runpy, sys; sys.path.insert(0, {root!r}); runpy.run_module({name!r}, None, '__main__', True)"
    return [sys.executable, "-c", start]

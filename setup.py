"""What setup.cfg cannot say: with GHOSTTUNNEL_COMPILE=1 the core is compiled to C by mypyc, from the same sources.

A third of the processor time per byte is saved by that, and what every packet does stays readable Python. Compiled or
not, the same seed gives the same bytes (tests/test_compiled.py). It needs a C compiler, Python's headers, mypy and what
the program needs itself; packaging/build.sh and the Dockerfile put the modules beside the sources of an installation:

    GHOSTTUNNEL_COMPILE=1 python setup.py build_ext --build-lib DIRECTORY

Compiled are the packages that do no input or output and that every datagram passes. Of `ghost.crypto` only the replay
window: handshakes are rare, and ciphers are C already.
"""

from __future__ import annotations

import os
from glob import glob

from setuptools import setup

CORE = ("constants", "crypto/replay", "compression/*", "obfuscation/*", "reliability/*", "tunnel/*", "wire/*")


def extensions() -> list[object]:
    if os.environ.get("GHOSTTUNNEL_COMPILE") != "1":
        return []
    # A part of mypy, which nobody needs who does not compile.
    from mypyc.build import mypycify

    paths = [path for part in CORE for path in sorted(glob(f"ghost/{part}.py")) if not path.endswith("__init__.py")]
    os.environ["CFLAGS"] = "-ffp-contract=off " + os.environ.get("CFLAGS", "")  # the same results on every processor
    level = os.environ.get("MYPYC_OPT_LEVEL", "2")
    return list(
        mypycify(
            paths, opt_level=level, debug_level="0", multi_file=True, group_name="ghost_core", target_dir="build/core"
        )
    )


setup(ext_modules=extensions())

"""The program's entry: patch first, then run the command line.

It is a script (`python ghosttunnel.py`), the console script `ghosttunnel`, the entry point of ghosttunnel.pyz and the
start of the binary. Importing it changes nothing; only main() patches.
"""

from __future__ import annotations

import runpy
import sys


def needs_no_greenlets(argv: list[str]) -> bool:
    """What only asks a daemon, or starts one in another process, and should be there at once."""
    return argv[:1] in (["top"], ["configure"], ["status"], ["peers"], ["reload"]) or "--tui" in argv


def main() -> int:
    """Run the `ghosttunnel` command line and return its exit code.

    gevent replaces the blocking parts of the standard library. Whatever is imported before that may keep a
    blocking original and then stall the tunnel, hence the imports inside.
    """
    if getattr(sys, "frozen", False):
        from ghost.runtime.entry import thaw

        module = thaw()
        if module is not None:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            return 0

    if needs_no_greenlets(sys.argv[1:]):
        from ghost import cli

        return cli.main()

    try:
        from gevent import events, monkey
    except ModuleNotFoundError:
        print(
            "ghosttunnel: the Python package gevent is missing: run `make setup` or `pip install .`",
            file=sys.stderr,
        )
        return 3

    # For each of its fifteen patches gevent asks every installed package for plugins: 0.13 s where there are eighty,
    # for an answer that must be none, since what a plugin changed would run as root.
    events.notify_and_call_entry_points = events.notify
    monkey.patch_all()

    from ghost import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

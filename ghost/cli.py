"""The command line: finds the command, runs it, and turns an error into one line and an exit code.

A command is a module with HELP, configure(parser) and run(options); it is imported only when it is called, so that
`status` starts at once and a dependency that a router lacks costs only the command that needs it.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys

from ghost import __version__
from ghost.config import Parser, mode_of, suggestion
from ghost.errors import ConfigError, GhostError

log = logging.getLogger(__name__)

COMMANDS = {
    "server": "wait for clients and carry their traffic",
    "client": "connect to a server and send this host's traffic through it",
    "invite": "print a one-time ghost:// line that admits a client",
    "top": "watch and steer a running server or client on the dashboard",
    "configure": "fill in the options on a form and keep them in a file",
    "status": "show what a running server or client is doing",
    "peers": "list a running server's clients, or revoke one",
    "reload": "let a running server or client read its configuration again",
    "why": "say why the running tunnel is slow, with the evidence",
    "chaos": "put a bad link into a running tunnel, or list those known by name",
    "sim": "simulate the tunnel over a bad link, beside the same link without it",
    "selftest": "check that this host can run a tunnel",
    "demo": "compare a download outside and inside a tunnel on a bad link, on this machine alone",
}

EXIT_CODES = {
    0: "done",
    1: "failed",
    2: "wrong option, environment variable, config key or invite",
    3: "this host lacks something (root, /dev/net/tun, a free port) or refused a change",
    4: "no running ghosttunnel answers",
    5: "the server refused: invite used or expired, or no address left",
    6: "nothing answered at the server's address",
    70: "a bug: please report it",
    130: "interrupted",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code; nothing but an interrupt of the interpreter is raised."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except GhostError as error:
        print(f"ghosttunnel: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output left. Standard output must not be flushed again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit as leaving:  # argparse, after printing --help
        return int(leaving.code or 0)
    except Exception as error:
        log.debug("traceback", exc_info=True)
        print(f"ghosttunnel: internal error: {type(error).__name__}: {error}; please report it", file=sys.stderr)
        return 70


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if argv else ConfigError.exit_code
    if argv[0] in ("-V", "--version"):
        print(f"ghosttunnel {__version__}")
        return 0
    name, arguments = _command(argv)
    try:
        module = importlib.import_module(f"ghost.commands.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "ghost":
            raise
        raise GhostError(f"`ghosttunnel {name}` needs the Python package {error.name}: install it with pip") from error
    parser = Parser(name, module.HELP)
    module.configure(parser)
    return int(module.run(parser.parse(arguments)))


def _command(argv: list[str]) -> tuple[str, list[str]]:
    """The command, which may follow --config FILE, and its arguments; without one, `mode` in that file decides."""
    first = argv[0]
    if first in COMMANDS:
        return first, argv[1:]
    if not first.startswith("-"):
        raise ConfigError(f"unknown command '{first}'{suggestion(first, COMMANDS)}")
    for index, option in enumerate(argv):
        name, equals, path = option.partition("=")
        if name != "--config":
            continue
        after = index + (1 if equals else 2)
        path = path if equals else "".join(argv[index + 1 : after])
        if not path:
            raise ConfigError("--config needs a file: write for example --config /etc/ghost.conf")
        if after < len(argv) and argv[after] in COMMANDS:
            return argv[after], argv[:after] + argv[after + 1 :]
        return mode_of(path), argv
    known = ["--help", "--version", "--config"]
    raise ConfigError(f"no command before {first.partition('=')[0]}{suggestion(first.partition('=')[0], known)}")


def _help() -> str:
    lines = ["usage: ghosttunnel COMMAND [OPTION...]", "       ghosttunnel --config FILE", "", "commands:"]
    lines += [f"  {name:<10}{summary}" for name, summary in COMMANDS.items()]
    lines += [
        "",
        "`ghosttunnel COMMAND --help` lists a command's options; a file holds `mode = server|client` and options.",
        "",
    ]
    lines += ["exit codes:", *(f"  {code:<4}{meaning}" for code, meaning in EXIT_CODES.items())]
    return "\n".join(lines)

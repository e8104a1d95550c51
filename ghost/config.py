"""Every option, once: its flag, environment variable and config key share one name.

    --tun-name ghost0        GHOST_TUN_NAME=ghost0        tun-name = ghost0

The command line wins over the environment, the environment over the file, the file over the default. Values are
parsed here, at the edge: the frozen configurations below hold only valid ones. One file may serve every command of a
machine: a command passes over the keys that belong to others, and refuses a key that no command knows.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import io
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import Any, NoReturn, TextIO

import configargparse

from ghost.chaos.profiles import resolve
from ghost.compression.agreement import DEFAULT_MEMORY
from ghost.compression.agreement import MODES as COMPRESSIONS
from ghost.constants import DEFAULT_PORT
from ghost.errors import ConfigError
from ghost.log import FORMATS, LEVELS
from ghost.obfuscation.padding import PROFILES
from ghost.tunnel.invitation import parse_endpoint

MODES = ("server", "client")
DEFAULT_STATE_DIRECTORY = "/var/lib/ghosttunnel"

_ENVIRONMENT_PREFIX = "GHOST_"
_MODE_KEY = "mode"
_MAX_TUN_NAME = 15  # IFNAMSIZ less its end
_BITS_PER_SECOND = {"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_BYTES = {"kb": 1 << 10, "mb": 1 << 20}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LEAST_RATE_BPS, _MOST_RATE_BPS = 1e3, 1e12
_LONGEST = 10 * 365 * 86400.0


def _value(kind: str, example: str) -> Callable[[Callable[[str], Any]], Callable[[str], Any]]:
    """Turns a parser that raises ValueError into one whose error says what was wanted, with an example."""

    def wrap(parse: Callable[[str], Any]) -> Callable[[str], Any]:
        def checked(text: str) -> Any:
            try:
                return parse(text)
            except (ValueError, ConfigError) as error:
                raise argparse.ArgumentTypeError(f"'{text}' is no {kind}: write for example {example}") from error

        return checked

    return wrap


@_value("directory", DEFAULT_STATE_DIRECTORY)
def directory(text: str) -> Path:
    if not text:  # would be the current directory
        raise ValueError(text)
    return Path(text)


@_value("file", "hotel.trace")
def file(text: str) -> Path:
    if not text or Path(text).is_dir():
        raise ValueError(text)
    return Path(text)


@_value("address to listen on", f"0.0.0.0:{DEFAULT_PORT}")
def listen_address(text: str) -> tuple[str, int]:
    host, port = parse_endpoint(text)
    return str(ip_address(host)), port


@_value("IPv4 network of 8 to 30 bits for hosts", "10.77.0.0/24")
def subnet(text: str) -> IPv4Network:
    network = IPv4Network(text)
    first = network.network_address.packed[0]
    # RFC 6890: "this" network, loopback, multicast, reserved. The kernel takes them for a device and carries nothing.
    if not 8 <= network.prefixlen <= 30 or first in (0, 127) or first >= 224:
        raise ValueError(text)
    return network


@_value(f"device name of at most {_MAX_TUN_NAME} letters, digits, '_', '.' or '-'", "ghost0")
def tun_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", text) or len(text) > _MAX_TUN_NAME:
        raise ValueError(text)
    return text


@_value("rate of 1kbit or more", "10mbit")
def rate_bps(text: str) -> float:
    return _quantity(text, _BITS_PER_SECOND, least=_LEAST_RATE_BPS, most=_MOST_RATE_BPS)


@_value("size of 0mb to 1000mb", "16mb")
def memory(text: str) -> int:
    return int(_quantity(text, _BYTES, least=0.0, most=1000 * _BYTES["mb"]))


@_value("duration of 1s to 3650d", "24h")
def duration(text: str) -> float:
    return _quantity(text, _SECONDS, least=1.0, most=_LONGEST)


@_value("number of seconds from 1 to 3600", "10")
def whole_seconds(text: str) -> int:
    if not 1 <= int(text) <= 3600:
        raise ValueError(text)
    return int(text)


@_value("whole number", "1")
def whole_number(text: str) -> int:
    return int(text)


@_value("number of processes from 1 to 64", "2")
def workers(text: str) -> int:
    if not 1 <= int(text) <= 64:
        raise ValueError(text)
    return int(text)


@_value("name of 1 to 64 printable characters", "laptop")
def peer_name(text: str) -> str:
    if not 1 <= len(text) <= 64 or not text.isprintable():
        raise ValueError(text)
    return text


@_value("name of a group of this host", "ghosttunnel")
def group_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", text):
        raise ValueError(text)
    return text


@_value("address for metrics", "127.0.0.1:9586")
def metrics_address(text: str) -> tuple[str, int]:
    """A port alone stands for this host alone."""
    host, port = parse_endpoint(text if ":" in text else f"127.0.0.1:{text}")
    return str(ip_address(host)), port


@_value("list of HOST:PORT", f"vpn.example.org:{DEFAULT_PORT}")
def endpoints(text: str) -> tuple[tuple[str, int], ...]:
    parsed = tuple(parse_endpoint(part.strip()) for part in text.split(","))
    if any(not re.fullmatch(r"[A-Za-z0-9._:%-]+", host) for host, _ in parsed):
        raise ValueError(text)
    return parsed


def link(text: str) -> str:
    """A bad link in its canonical words; its refusal names the key and the range, so it goes out as it is."""
    return str(resolve(text))


def _quantity(text: str, units: Mapping[str, float], *, least: float, most: float) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-z]+)", text.lower())
    if match is None or match[2] not in units or not least <= float(match[1]) * units[match[2]] <= most:
        raise ValueError(text)
    return float(match[1]) * units[match[2]]


@dataclass(frozen=True, slots=True)
class Option:
    """One option; `parse` None makes it a switch."""

    help: str
    metavar: str = ""
    parse: Callable[[str], Any] | None = None
    default: Any = None
    choices: tuple[str, ...] | None = None


OPTIONS: dict[str, Option] = {
    "state-dir": Option("directory of keys, peers and the control socket", "DIR", directory, DEFAULT_STATE_DIRECTORY),
    "log-level": Option("what to log", "LEVEL", str, "info", LEVELS),
    "log-format": Option("how to write the log: lines for people, or JSON objects", "FORMAT", str, "text", FORMATS),
    "control-group": Option("group whose members may watch over the control socket", "GROUP", group_name),
    "metrics": Option("answer Prometheus there; a port alone is on 127.0.0.1", "ADDR:PORT", metrics_address),
    "ascii": Option("draw with ASCII characters only"),
    "tui": Option("show the dashboard; leaving it ends the tunnel"),
    "tun-name": Option("name of the network device", "NAME", tun_name),
    "profile": Option("how traffic is disguised", "PROFILE", str, "noise", tuple(PROFILES)),
    "compression": Option("compress headers and contents, headers, or nothing", "WHAT", str, "auto", COMPRESSIONS),
    "compression-memory": Option(
        "memory for what flows have sent before, each connection", "SIZE", memory, f"{DEFAULT_MEMORY >> 20}mb"
    ),
    "max-rate": Option("never send faster than this, for example 10mbit (default: find out)", "RATE", rate_bps),
    "chaos": Option("impair this end's packets both ways, to try a bad link: see `ghosttunnel chaos`", "SPEC", link),
    "record": Option("keep what the path did, second by second, in this file of 780 kB", "FILE", file),
    "listen": Option("where to wait for clients", "ADDR:PORT", listen_address, f"0.0.0.0:{DEFAULT_PORT}"),
    "subnet": Option("inner network; the server takes its first address", "NET", subnet, "10.77.0.0/24"),
    "workers": Option("processes that share the clients among them, for hosts of several cores", "N", workers, "1"),
    "no-nat": Option("do not forward or translate clients' traffic to other networks"),
    "invite": Option("the ghost:// line of the server (default: the one that worked before)", "INVITE", str),
    "no-default-route": Option("send only the inner network through the tunnel, not everything"),
    "kill-switch": Option("while the client runs, let nothing out that does not go through the tunnel"),
    "name": Option("whom the invite is for", "WHO", peer_name, "client"),
    "endpoint": Option("where clients find the server (default: this host's address)", "HOST:PORT", endpoints),
    "expires": Option("how long the invite can be used for the first time", "TIME", duration, "24h"),
    "qr": Option("draw the invite as a QR code too"),
    "json": Option("print JSON"),
    "revoke": Option("shut this client out: its name, or its public key", "WHO", str),
    "watch": Option("print again each second, until interrupted"),
}


class Parser(configargparse.ArgumentParser):  # type: ignore[misc]
    """A command's parser: every complaint is a ConfigError of one line, never a usage dump and an exit."""

    def __init__(self, command: str, description: str) -> None:
        self._file = _ConfigFile(command)
        super().__init__(
            prog=f"ghosttunnel {command}",
            description=description,
            allow_abbrev=False,
            add_config_file_help=False,
            add_env_var_help=False,
            auto_env_var_prefix=_ENVIRONMENT_PREFIX,
            config_file_parser_class=self._file,
            config_file_open_func=_open_config,
            formatter_class=argparse.HelpFormatter,
            epilog="Every option can also be a key of the file that --config names, and an environment variable: "
            "GHOST_ and its name in capitals, with underscores.",
        )
        self.add_argument("--config", metavar="FILE", is_config_file_arg=True, help="read options from a file")

    def add_options(self, *names: str, **defaults: object) -> None:
        """Adds options of the table; `defaults` replaces some of their defaults, '_' standing for '-'."""
        for name in names:
            option = OPTIONS[name]
            self._file.own.add(name)
            if option.parse is None:
                self.add_argument(f"--{name}", action="store_true", help=option.help)
                continue
            default = defaults.get(name.replace("-", "_"), option.default)
            shown = f" (default: {default})" if default is not None else ""
            # A text default is parsed like a given value, so a default cannot be invalid unnoticed.
            self.add_argument(
                f"--{name}", metavar=option.metavar, type=option.parse, default=default, choices=option.choices,
                help=option.help + shown,
            )  # fmt: skip

    def parse(self, argv: list[str]) -> argparse.Namespace:
        """Raises ConfigError for anything that is not understood. The result's `again()` reads it all once more."""
        if sum(argument.partition("=")[0] == "--config" for argument in argv) > 1:
            raise ConfigError("--config is given twice, and only one file is read: put all options into one")
        options, unknown = self.parse_known_args(argv)
        if unknown:
            first = unknown[0]
            if first.startswith("-"):
                known = [name for action in self._actions for name in action.option_strings]
                raise ConfigError(
                    f"unknown option {first.partition('=')[0]}{suggestion(first.partition('=')[0], known)}"
                )
            raise ConfigError(f"'{first}' is one argument too many: see `{self.prog} --help`")
        options.again = functools.partial(self.parse, argv)
        return options  # type: ignore[no-any-return]

    def error(self, message: str) -> NoReturn:
        raised = sys.exc_info()[1]
        if isinstance(raised, ConfigError):  # from _open_config: ConfigArgParse would wrap it in its own words
            raise raised
        message = " ".join(message.removeprefix("argument ").split())
        raise ConfigError(message.replace("ignored explicit argument", "a switch takes no value: leave out"))


class _ConfigFile(configargparse.DefaultConfigFileParser):  # type: ignore[misc]
    """`key = value` lines. Refuses keys that no command knows; hides those that only other commands know."""

    def __init__(self, command: str) -> None:
        super().__init__()
        self.command = command
        self.own: set[str] = set()

    def parse(self, stream: TextIO) -> dict[str, Any]:
        items = read_items(stream)
        mode = items.pop(_MODE_KEY, self.command)
        if self.command in MODES and mode != self.command:
            raise ConfigError(f"{stream.name} says mode = {mode}, the command is {self.command}: drop one of them")
        for key, value in items.items():
            if isinstance(value, list):
                raise ConfigError(f"{stream.name}: {key} takes one value: leave out the brackets")
        return {key: value for key, value in items.items() if key in self.own}


def read_items(stream: TextIO) -> dict[str, Any]:
    """The file's keys and values, every key known to some command."""
    try:
        parsed = configargparse.DefaultConfigFileParser().parse(stream)
    except (configargparse.ConfigFileParserException, UnicodeDecodeError) as error:
        raise ConfigError(f"{stream.name} is no list of `key = value` lines: {_one_line(error)}") from error
    items = {key.lstrip("-"): value for key, value in parsed.items()}
    for key in items:
        if key not in OPTIONS and key != _MODE_KEY:
            raise ConfigError(f"{stream.name}: unknown key '{key}'{suggestion(key, [*OPTIONS, _MODE_KEY])}")
    return items


def configured_items(text: str, name: str) -> dict[str, Any]:
    """The keys and values of a config file's text, `mode` among them; ConfigError for what is none."""
    stream = io.StringIO(text)
    stream.name = name
    return read_items(stream)


def mode_of(path: str) -> str:
    """The command that a config file asks for."""
    with _open_config(path) as stream:
        mode = read_items(stream).get(_MODE_KEY)
    if mode not in MODES:
        raise ConfigError(f"{path} does not say what to run: add `mode = server` or `mode = client`")
    return str(mode)


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "; did you mean X?", or nothing when no known word is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f": did you mean {near[0]}?" if near else ": see --help"


def _open_config(path: str, *_: str) -> TextIO:
    try:
        return open(path, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read config file {path} ({error.strerror}): check --config") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonConfig:
    """What server and client share."""

    state_dir: Path
    log_level: str
    tun_name: str
    profile: str
    compression: str
    compression_memory: int
    max_rate_bps: float | None
    chaos: str | None
    log_format: str = "text"
    control_group: str | None = None
    metrics: tuple[str, int] | None = None
    has_tui: bool = False
    config_file: str | None = None


COMMON_OPTIONS = (
    *("state-dir", "log-level", "log-format", "control-group", "metrics", "tui", "ascii"),
    *("tun-name", "profile", "compression", "compression-memory", "max-rate", "chaos"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig(CommonConfig):
    listen: tuple[str, int]
    subnet: IPv4Network
    has_nat: bool
    workers: int = 1

    OPTIONS = ("listen", "subnet", "no-nat", *COMMON_OPTIONS, "workers")

    @classmethod
    def of(cls, options: argparse.Namespace) -> ServerConfig:
        return cls(
            **_common(options),
            listen=options.listen,
            subnet=options.subnet,
            has_nat=not options.no_nat,
            workers=options.workers,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig(CommonConfig):
    invite: str | None
    has_default_route: bool
    has_kill_switch: bool
    record: Path | None

    OPTIONS = ("invite", "no-default-route", "kill-switch", "record", *COMMON_OPTIONS)

    @classmethod
    def of(cls, options: argparse.Namespace) -> ClientConfig:
        return cls(
            **_common(options),
            invite=options.invite_line or options.invite,
            has_default_route=not options.no_default_route,
            has_kill_switch=options.kill_switch,
            record=options.record,
        )


def option_of(field_name: str) -> str:
    """The option that a configuration's field comes from."""
    return _FIELDS.get(field_name) or field_name.replace("_", "-")


_FIELDS = {
    "max_rate_bps": "max-rate", "has_tui": "tui", "has_nat": "no-nat", "has_default_route": "no-default-route",
    "has_kill_switch": "kill-switch",
}  # fmt: skip


def _common(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "state_dir": options.state_dir,
        "log_level": options.log_level,
        "tun_name": options.tun_name,
        "profile": options.profile,
        "compression": options.compression,
        "compression_memory": options.compression_memory,
        "max_rate_bps": options.max_rate,
        "log_format": options.log_format,
        "control_group": options.control_group,
        "metrics": options.metrics,
        "has_tui": options.tui,
        "config_file": str(Path(options.config).absolute()) if options.config else None,
        "chaos": options.chaos,
    }

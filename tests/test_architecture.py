"""The shape of the program, read from its imports: arrows point down, the core is pure, dependencies have one door."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "ghost").rglob("*.py"))

# A part may import what stands below it, not what stands beside it.
LEVELS = (
    {"errors", "constants", "version", "units"},
    {"wire"},
    {"compression", "crypto", "obfuscation", "reliability"},
    {"tunnel", "chaos"},
    {"simulation", "runtime", "host", "ui", "log"},
    {"config", "config_file"},
    {"commands"},
    {"cli"},
)
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
BESIDE = {("obfuscation", "ghost.crypto.backend")}  # the envelope is sealed by the same primitives

CORE = {"wire", "compression", "crypto", "obfuscation", "reliability", "tunnel", "chaos", "simulation"}
IMPURE_MODULES = {
    *("datetime", "time"),
    *("io", "logging", "os", "pathlib", "subprocess", "sys", "tempfile"),
    *("asyncio", "select", "selectors", "signal", "socket", "ssl"),
    *("gevent", "multiprocessing", "threading"),
    *("importlib", "secrets", "uuid"),
}
IMPURE_CALLS = {"open", "print", "input", "__import__"}

# Where a router lacks one of these, one file changes. gevent is the runtime's own medium.
DOORS = {
    "compression": {"ghost/compression/zstd.py"},  # the standard library of Python 3.14
    "configargparse": {"ghost/config.py"},
    "cryptography": {"ghost/crypto/cryptography_backend.py"},
    "Crypto": {"ghost/crypto/pycryptodome_backend.py"},
    "prometheus_client": {"ghost/runtime/metrics.py"},
    "matplotlib": {"ghost/commands/plots.py"},
    "pytun": {"ghost/runtime/tun.py"},
    "npyscreen": {"ghost/ui/terminal.py"},
    "segno": {"ghost/commands/qr.py"},
    "zstandard": {"ghost/compression/zstd.py"},
}
GEVENT_PARTS = {"runtime", "commands"}


def part_of(path: Path) -> str:
    """The package or top-level module below ghost/ that a file belongs to."""
    name = path.relative_to(ROOT / "ghost").parts[0].removesuffix(".py")
    return "version" if name == "__init__" else name


def imports(source: str) -> Iterator[str]:
    """Dotted names of all that a source imports, wherever it does: at the top, in a function, for types only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import hides its arrow"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def upward_arrows(part: str, source: str) -> list[str]:
    """What this source of that part imports and must not."""
    faults = []
    for name in imports(source):
        top, _, rest = name.partition(".")
        if top != "ghost":
            continue
        target = rest.partition(".")[0]
        target = target if target in LEVEL else "version"
        is_below = LEVEL[target] < LEVEL[part]
        is_beside = any(part == who and name.startswith(what) for who, what in BESIDE)
        if target != part and not is_below and not is_beside:
            faults.append(name)
    return faults


def impurities(source: str) -> list[str]:
    """Clocks, input and output, and randomness that no seed decides."""
    faults = [name for name in imports(source) if name.partition(".")[0] in IMPURE_MODULES]
    faults += [name for name in imports(source) if name.startswith("random.") and name != "random.Random"]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(ast.Name("random"), name) if name != "Random":
                faults.append(f"random.{name}")
            case ast.Call(ast.Name("Random") | ast.Attribute(ast.Name("random"), "Random"), [], []):
                faults.append("Random()")
            case ast.Call(ast.Name(name)) if name in IMPURE_CALLS:
                faults.append(f"{name}()")
    return faults


def strange_dependencies(file: str, part: str, source: str) -> list[str]:
    """Third-party packages that this file is not the door of."""
    faults = []
    for name in imports(source):
        top = name.partition(".")[0]
        if top == "ghost" or top in sys.stdlib_module_names:
            continue
        if part not in GEVENT_PARTS if top == "gevent" else file not in DOORS.get(top, ()):
            faults.append(top)
    return faults


def test_every_part_has_its_level() -> None:
    parts = {part_of(path) for path in FILES}
    assert parts <= set(LEVEL)
    assert parts >= CORE


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_only(path: Path) -> None:
    assert upward_arrows(part_of(path), path.read_text()) == []


@pytest.mark.parametrize("path", [path for path in FILES if part_of(path) in CORE], ids=lambda path: path.stem)
def test_the_core_has_no_clock_no_input_or_output_and_no_chance_of_its_own(path: Path) -> None:
    assert impurities(path.read_text()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_dependency_comes_in_by_its_own_door(path: Path) -> None:
    assert strange_dependencies(str(path.relative_to(ROOT)), part_of(path), path.read_text()) == []


def test_every_door_is_in_use() -> None:
    used = {
        (name.partition(".")[0], str(path.relative_to(ROOT))) for path in FILES for name in imports(path.read_text())
    }
    assert {(name, file) for name, files in DOORS.items() for file in files} <= used


@pytest.mark.parametrize(
    ("part", "source", "culprit"),
    [
        ("wire", "from ghost.tunnel import sender", "ghost.tunnel.sender"),
        ("wire", "def late():\n    import ghost.crypto.noise", "ghost.crypto.noise"),
        ("chaos", "from ghost.tunnel.events import Event", "ghost.tunnel.events.Event"),
        ("crypto", "from ghost.obfuscation.mask import HeaderMask", "ghost.obfuscation.mask.HeaderMask"),
        ("obfuscation", "from ghost.crypto.noise import Initiator", "ghost.crypto.noise.Initiator"),
        ("runtime", "from ghost import config", "ghost.config"),
        (
            "tunnel",
            "if TYPE_CHECKING:\n    from ghost.simulation.pair import Pair",
            "ghost.simulation.pair.Pair",
        ),
        ("errors", "from ghost import __version__", "ghost.__version__"),
    ],
)
def test_an_upward_arrow_is_noticed(part: str, source: str, culprit: str) -> None:
    assert upward_arrows(part, source) == [culprit]


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("wire", "from ghost.errors import PeerError"),
        ("obfuscation", "from ghost.crypto.backend import Backend"),
        ("simulation", "from ghost.chaos.link import Link\nfrom ghost.tunnel import client"),
        ("cli", "from ghost import __version__, config"),
    ],
)
def test_a_downward_arrow_is_welcome(part: str, source: str) -> None:
    assert upward_arrows(part, source) == []


@pytest.mark.parametrize(
    ("source", "culprit"),
    [
        ("import time", "time"),
        ("from os import urandom", "os.urandom"),
        ("import gevent.socket", "gevent.socket"),
        ("def f():\n    import logging", "logging"),
        ("import random\nx = random.random()", "random.random"),
        ("import random\nx = random.SystemRandom()", "random.SystemRandom"),
        ("import random\nx = random.Random()", "Random()"),
        ("from random import Random\nx = Random()", "Random()"),
        ("from random import choice", "random.choice"),
        ("print('hello')", "print()"),
        ("open('/etc/passwd')", "open()"),
    ],
)
def test_an_impurity_is_noticed(source: str, culprit: str) -> None:
    assert impurities(source) == [culprit]


def test_seeded_randomness_and_methods_named_open_are_pure() -> None:
    assert impurities("from random import Random\nimport random\nx = random.Random(1)\naead.open(x)") == []


@pytest.mark.parametrize(
    ("file", "source", "culprit"),
    [
        ("ghost/tunnel/sender.py", "import zstandard", "zstandard"),
        ("ghost/commands/status.py", "from Crypto.Cipher import AES", "Crypto"),
        ("ghost/tunnel/sender.py", "import gevent", "gevent"),
        ("ghost/cli.py", "import requests", "requests"),
    ],
)
def test_a_dependency_at_the_wrong_door_is_noticed(file: str, source: str, culprit: str) -> None:
    assert strange_dependencies(file, part_of(ROOT / file), source) == [culprit]

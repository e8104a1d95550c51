"""The documents name what exists: files, make targets, commands, options, exit codes, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ghost.cli import COMMANDS, EXIT_CODES
from ghost.config import OPTIONS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def code(document: Path) -> str:
    """What stands in code spans and blocks, one piece a line."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return "\n".join([*blocks, *spans])


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of docs/operations.md, without its head."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]
    table = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def listed_files() -> Iterator[str]:
    """The files of the tree in docs/design.md: folders begin at the margin, files are indented."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    tree = re.search(r"^## The tree\n.*?```\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert tree, "docs/design.md has no tree"
    folder = ""
    for line in filter(None, tree[1].splitlines()):
        name = line.split()[0]
        if line.startswith(" "):
            yield folder + name
        else:
            assert name.endswith("/"), f"neither a folder nor a file in one: {line!r}"
            folder = name.removeprefix("./")


def test_the_tree_lists_every_source_file() -> None:
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "ghost").rglob("*.py")}
    assert sources - set(listed_files()) == set()


def test_every_file_of_the_tree_exists() -> None:
    assert [name for name in listed_files() if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z][a-z-]*)", code(document), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path) -> None:
    called = r"^(?:sudo |docker exec \w+ )?(?:\S*/)?ghosttunnel(?:\.pyz)? ([a-z][a-z-]*)"
    named = set(re.findall(called, code(document), re.MULTILINE))
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).is_file(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_source_files_that_the_text_names_exist(document: Path) -> None:
    for name in re.findall(
        r"`((?:ghost|tests|bench|packaging)/[a-z_/]+\.(?:py|sh))`", document.read_text(encoding="utf-8")
    ):
        assert (ROOT / name).is_file(), name


def test_the_readme_shows_every_command() -> None:
    readme = code(ROOT / "README.md")
    assert [name for name in COMMANDS if f"ghosttunnel {name}" not in readme] == []


def test_the_options_table_is_complete() -> None:
    documented = {}
    for option, environment, key, default, *_ in rows("Options"):
        name = option.strip("`").removeprefix("--").split()[0]
        assert environment == f"`GHOST_{name.upper().replace('-', '_')}`"
        assert key == f"`{name}`"
        documented[name] = default
    assert set(documented) == set(OPTIONS)
    assert {name: option.default for name, option in OPTIONS.items() if option.default is not None} == {
        name: default for name, default in documented.items() if default and name != "tun-name"
    }


def test_the_exit_codes_table_is_complete() -> None:
    assert {int(code) for code, _ in rows("Exit codes")} == set(EXIT_CODES)

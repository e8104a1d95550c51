"""Changing a file of `key = value` lines and nothing that a person wrote around them: comments, order, blank lines."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ghost.errors import ConfigError

_LINE = re.compile(r"(?P<head>\s*(?:--)?(?P<key>[A-Za-z][\w-]*)\s*(?:[:=]|\s)\s*)(?P<value>.*?)(?P<tail>\s+[#;].*)?\s*")
_NEW_MODE = 0o600  # a client's file may hold its invite


def rewritten(text: str, values: dict[str, str | None]) -> str:
    """The text with these values: changed where they stand, else below a comment that names the key, else at the end.

    None takes a key out: its line becomes a comment, so that the value is not lost.
    """
    left = dict(values)
    lines = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        key = match["key"] if match else ""
        if match is None or key not in values:
            lines.append(line)
        elif key not in left:  # twice in the file: the last one counted, and is now written at the first
            lines.append(f"# {line.strip()}")
        else:
            value = left.pop(key)
            same = value is not None and _unquoted(match["value"]) == value
            if same:
                lines.append(line)
            elif value is None:
                lines.append(f"# {line.strip()}")
            else:
                lines.append(f"{match['head']}{_quoted(value)}{match['tail'] or ''}")
    for key, value in left.items():
        if value is not None:
            lines.insert(_place(lines, key), f"{key} = {_quoted(value)}")
    return "\n".join(lines) + "\n" if lines else ""


def read(path: Path) -> str | None:
    """The file's text, None when there is none. Raises ConfigError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise ConfigError(f"cannot read {path} ({reason}): run it with sudo, or name another with --config") from error


def write(path: Path, former: str, values: dict[str, str | None], *, check: Callable[[str], dict[str, Any]]) -> None:
    """Puts the values into the file, whole or not at all. `check` reads a text as the program will: nothing is written
    that would be understood otherwise. Raises ConfigError."""
    text = rewritten(former, values)
    understood = {key: str(value) for key, value in check(text).items()}
    for key, value in values.items():
        if understood.get(key) != value:
            raise ConfigError(f"{key} cannot be written into a file as {value!r}: choose another value")
    path = path.resolve()  # a link stays a link
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else _NEW_MODE
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, mode)
                if path.exists() and os.geteuid() == 0:
                    found = path.stat()
                    os.fchown(descriptor, found.st_uid, found.st_gid)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot write {path} ({error.strerror}): run it with sudo, or name another with --config"
        ) from error


def _place(lines: list[str], key: str) -> int:
    """Behind the comment that shows this key, or at the end."""
    example = re.compile(rf"\s*[#;]\s*{re.escape(key)}\s*[:=].*")
    places = [index for index, line in enumerate(lines) if example.fullmatch(line)]
    return places[-1] + 1 if places else len(lines)


def _quoted(value: str) -> str:
    return f'"{value}"' if re.search(r"\s[#;]|^['\"\s]|\s$", value) else value


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" else value

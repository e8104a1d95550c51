from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ghost.config import configured_items
from ghost.config_file import read, rewritten, write
from ghost.errors import ConfigError

WRITTEN = """\
# My server in the cellar.
mode = server

listen: 0.0.0.0:8000   # the old port
log-level = info
# max-rate = 10mbit
  no-nat = true
"""


def test_values_change_and_everything_else_stays() -> None:
    changed = rewritten(WRITTEN, {"listen": "[::]:443", "max-rate": "5mbit", "no-nat": "true", "subnet": "10.9.0.0/24"})
    assert (
        changed
        == """\
# My server in the cellar.
mode = server

listen: [::]:443   # the old port
log-level = info
# max-rate = 10mbit
max-rate = 5mbit
  no-nat = true
subnet = 10.9.0.0/24
"""
    )


def test_a_key_taken_out_leaves_a_comment() -> None:
    assert "# log-level = info\n" in rewritten(WRITTEN, {"log-level": None})
    assert rewritten(WRITTEN, {"tun-name": None}) == WRITTEN


def test_what_is_as_wanted_is_not_touched() -> None:
    assert rewritten(WRITTEN, {"listen": "0.0.0.0:8000", "log-level": "info"}) == WRITTEN


def test_a_key_written_twice_is_written_once() -> None:
    assert rewritten("name = a\nname = b\n", {"name": "c"}) == "name = c\n# name = b\n"


@pytest.mark.parametrize("value", ["my phone", "a #b", "ghost://1.2.3.4:5/aaaa#laptop", "'quoted'", "x;y", "[::]:8000"])
def test_whatever_is_written_is_read_again(tmp_path: Path, value: str) -> None:
    path = tmp_path / "ghost.conf"
    write(path, "", {"name": value}, check=lambda text: configured_items(text, "x"))
    text = read(path)
    assert text is not None
    assert configured_items(text, "x") == {"name": value}


def test_what_cannot_be_written_is_refused_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "ghost.conf"
    path.write_text("name = me\n")
    with pytest.raises(ConfigError, match="cannot be written"):
        write(path, "name = me\n", {"name": "[a, b]"}, check=lambda text: configured_items(text, "x"))
    assert path.read_text() == "name = me\n"


def test_a_new_file_is_the_owners_alone_and_an_old_one_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    path, link = tmp_path / "ghost.conf", tmp_path / "link.conf"
    write(path, "", {"name": "a"}, check=lambda text: configured_items(text, "x"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    link.symlink_to(path)
    write(link, "name = a\n", {"name": "b"}, check=lambda text: configured_items(text, "x"))
    assert link.is_symlink()
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("name = b\n", 0o640)
    assert sorted(os.listdir(tmp_path)) == ["ghost.conf", "link.conf"]


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    assert read(tmp_path / "none") is None
    with pytest.raises(ConfigError, match=r"cannot read .*Is a directory"):
        read(tmp_path)
    with pytest.raises(ConfigError, match="cannot write"):
        write(tmp_path / "no" / "x", "", {"name": "a"}, check=lambda text: configured_items(text, "x"))

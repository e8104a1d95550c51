from __future__ import annotations

import importlib
import re
import shutil
import stat
from pathlib import Path

import pytest

from ghost import cli, errors
from ghost.commands.invite import make_invitation
from ghost.runtime.state import FileRegistry, StateDirectory
from ghost.tunnel.invitation import Invitation

from .conftest import Run

DAMAGED = "ghost://198.18.0.2:8000/aaaa"


@pytest.fixture
def server_state(tmp_path: Path) -> StateDirectory:
    """The directory of a server that has run."""
    state = StateDirectory.create(tmp_path / "server")
    state.own_key("server.key")
    state.write_json("server.json", {"listen": "198.18.0.2:8000", "subnet": "10.77.0.0/24"})
    return state


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_commands_and_exit_codes(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([option]) == 0
    output = capsys.readouterr().out
    assert all(name in output for name in cli.COMMANDS)
    assert all(str(code) in output for code in cli.EXIT_CODES)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert importlib.import_module(f"ghost.commands.{name}").HELP
    assert cli.main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: ghosttunnel {name}")


def test_every_exit_code_of_an_error_is_documented() -> None:
    codes = {error.exit_code for error in vars(errors).values() if hasattr(error, "exit_code")}
    assert codes <= set(cli.EXIT_CODES)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("sevrer", 2, "unknown command 'sevrer': did you mean server?"),
        ("xyzzy", 2, "unknown command 'xyzzy': see --help"),
        ("--listen=0.0.0.0:1", 2, "no command before --listen"),
        ("--confg /etc/ghost.conf", 2, "did you mean --config?"),
        ("--config /no/such/file", 2, "cannot read config file /no/such/file"),
        ("--config", 2, "--config needs a file: write for example --config /etc/ghost.conf"),
        ("server --subnet 1", 2, "no IPv4 network"),
        (f"client {DAMAGED}", 2, "this invite is damaged: copy the whole line"),
        ("client http://example.org", 2, "an invite starts with ghost://"),
        ("status --state-dir /no/such/dir", 4, "no ghosttunnel runs in /no/such/dir"),
        ("invite --state-dir /dev/null/x", 3, "cannot use /dev/null/x"),
    ],
)
def test_a_mistake_is_one_line_and_a_documented_code(ghosttunnel: Run, arguments: str, code: int, message: str) -> None:
    done = ghosttunnel(*arguments.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert re.fullmatch(r"ghosttunnel: .*\n", done.stderr)
    assert message in done.stderr


def test_a_damaged_invite_is_not_repeated(ghosttunnel: Run) -> None:
    assert DAMAGED not in ghosttunnel("client", DAMAGED).stderr


def test_without_arguments_the_help_is_shown_and_it_is_an_error(ghosttunnel: Run) -> None:
    done = ghosttunnel()
    assert done.returncode == 2
    assert done.stdout.startswith("usage: ghosttunnel COMMAND")


def test_the_mode_of_a_file_picks_the_command(tmp_path: Path, ghosttunnel: Run) -> None:
    path = tmp_path / "ghost.conf"
    path.write_text(f"mode = client\nstate-dir = {tmp_path}/client\ninvite = {DAMAGED}\n")
    for argv in (["--config", path], [f"--config={path}"]):
        assert "this invite is damaged" in ghosttunnel(*argv).stderr
    done = ghosttunnel("--config", path, "status")
    assert (done.returncode, done.stderr.count("client: start one")) == (4, 1)
    done = ghosttunnel("server", "--config", path)
    assert done.returncode == 2
    assert "says mode = client, the command is server" in done.stderr


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv, of util-linux")
@pytest.mark.parametrize("command", ["server", "client"])
def test_without_root_nothing_is_touched(command: str, tmp_path: Path, ghosttunnel: Run) -> None:
    arguments = (command, "--state-dir", tmp_path / "state")
    done = ghosttunnel(*arguments, start_with=("setpriv", "--bounding-set", "-net_admin"))
    if "setpriv" in done.stderr:
        pytest.skip("needs root to give rights up")
    assert done.returncode == 3
    assert re.fullmatch(r"ghosttunnel: a tunnel needs root .*\n", done.stderr)
    assert not (tmp_path / "state").exists()


def test_an_invite_is_one_line_and_stays_secret_on_disk(server_state: StateDirectory, ghosttunnel: Run) -> None:
    done = ghosttunnel("invite", "--state-dir", server_state.path, "--name", "phone", "--expires", "1h")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    invitation = Invitation.from_uri(done.stdout.strip())
    assert invitation.endpoints == (("198.18.0.2", 8000),)
    [kept] = FileRegistry(server_state).invites()
    assert (kept.invite_id, kept.secret, kept.name) == (invitation.invite_id, invitation.secret, "phone")
    [path] = (server_state.path / "invites").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_qr_code_goes_to_the_person_and_the_line_to_the_pipe(server_state: StateDirectory, ghosttunnel: Run) -> None:
    done = ghosttunnel("invite", "--state-dir", server_state.path, "--qr")
    assert done.stdout.startswith("ghost://")
    assert done.stdout.count("\n") == 1
    assert done.stderr.count("\n") > 10


def test_invites_of_one_server_share_its_key_and_nothing_else(server_state: StateDirectory) -> None:
    first, second = (make_invitation(server_state, "x", (("h", 1),), 60.0) for _ in range(2))
    assert first.server_public_key == second.server_public_key
    assert first.secret != second.secret
    assert first.invite_id != second.invite_id


def test_without_a_server_there_is_nothing_to_invite_to(tmp_path: Path, ghosttunnel: Run) -> None:
    done = ghosttunnel("invite", "--state-dir", tmp_path / "empty")
    assert (done.returncode, done.stdout) == (3, "")
    assert "start `ghosttunnel server`" in done.stderr


def test_an_unexpected_exception_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ghost.commands.status.Conversation", lambda *_: 1 / 0)
    assert cli.main(["status"]) == 70
    assert capsys.readouterr().err.count("\n") == 1


def test_the_self_test_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli.main(["selftest"]) == 1
    output = capsys.readouterr().out
    assert re.search(r"^FAILED +ip +.*install the package iproute2$", output, re.M)
    assert re.search(r"^missing +nft +.*install the package nftables$", output, re.M)
    assert re.search(r"^ok +encryption +.*pycryptodome", output, re.M)

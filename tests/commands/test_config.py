from __future__ import annotations

import argparse
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from ghost.commands import client, invite, server
from ghost.config import OPTIONS, ClientConfig, Parser, ServerConfig, mode_of
from ghost.errors import ConfigError

COMMANDS = {"server": server, "client": client, "invite": invite}


def parse(command: str, *argv: str) -> argparse.Namespace:
    parser = Parser(command, "")
    COMMANDS[command].configure(parser)
    return parser.parse(list(argv))


def config_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "ghost.conf"
    path.write_text(text)
    return str(path)


def test_a_server_needs_no_option() -> None:
    assert ServerConfig.of(parse("server")) == ServerConfig(
        state_dir=Path("/var/lib/ghosttunnel"),
        log_level="info",
        tun_name="ghosts",
        profile="noise",
        compression="auto",
        compression_memory=16 << 20,
        max_rate_bps=None,
        chaos=None,
        listen=("0.0.0.0", 8000),
        subnet=IPv4Network("10.77.0.0/24"),
        has_nat=True,
    )


def test_every_option_is_a_flag_a_variable_and_a_key_of_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config_file(tmp_path, "tun-name = from-file\nmax-rate = 2mbit\nno-nat = true\nlisten = [::]:443\n")
    assert parse("server", "--config", path).tun_name == "from-file"
    monkeypatch.setenv("GHOST_TUN_NAME", "from-env")
    monkeypatch.setenv("GHOST_MAX_RATE", "1.5mbit")
    config = ServerConfig.of(parse("server", "--config", path))
    assert (config.tun_name, config.max_rate_bps) == ("from-env", 1_500_000)
    assert (config.has_nat, config.listen) == (False, ("::", 443))
    assert parse("server", "--config", path, "--tun-name=from-flag").tun_name == "from-flag"


def test_a_switch_can_be_off_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = config_file(tmp_path, "kill-switch = yes\nno-default-route = no\n")
    assert ClientConfig.of(parse("client", "--config", path)).has_kill_switch
    monkeypatch.setenv("GHOST_KILL_SWITCH", "false")
    config = ClientConfig.of(parse("client", "--config", path))
    assert (config.has_kill_switch, config.has_default_route) == (False, True)


def test_an_invite_comes_by_argument_variable_or_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = config_file(tmp_path, "invite = ghost://file#me\n")
    assert ClientConfig.of(parse("client", "--config", path)).invite == "ghost://file#me"
    monkeypatch.setenv("GHOST_INVITE", "ghost://env")
    assert ClientConfig.of(parse("client")).invite == "ghost://env"
    assert ClientConfig.of(parse("client", "ghost://argument")).invite == "ghost://argument"


def test_one_file_serves_every_command_of_a_machine(tmp_path: Path) -> None:
    path = config_file(tmp_path, "# mine\nmode = server\nlisten = 0.0.0.0:443\nstate-dir = /tmp/ghost\nname = phone\n")
    assert mode_of(path) == "server"
    assert parse("server", "--config", path).listen == ("0.0.0.0", 443)
    options = parse("invite", "--config", path)
    assert (options.name, options.state_dir) == ("phone", Path("/tmp/ghost"))


def test_several_endpoints_are_a_list() -> None:
    options = parse("invite", "--endpoint", "vpn.example.org:8000,[2001:db8::1]:443")
    assert options.endpoint == (("vpn.example.org", 8000), ("2001:db8::1", 443))


BAD_ARGUMENTS = [
    (
        "server",
        "--listen 8000",
        "--listen: '8000' is no address to listen on: write for example 0.0.0.0:8000",
    ),
    ("server", "--listen vpn.example.org:8000", "no address to listen on"),
    ("server", "--listen 0.0.0.0:70000", "no address to listen on"),
    ("server", "--listen", "--listen: expected one argument"),
    ("server", "--subnet 10.77.0.1/24", "no IPv4 network of 8 to 30 bits"),
    ("server", "--subnet 10.77.0.0/31", "no IPv4 network of 8 to 30 bits"),
    ("server", "--subnet 0.0.0.0/0", "no IPv4 network of 8 to 30 bits"),
    ("server", "--subnet fd00::/64", "no IPv4 network of 8 to 30 bits"),
    ("server", "--subnet 0.0.0.0/8", "no IPv4 network of 8 to 30 bits for hosts"),
    ("server", "--subnet 127.77.0.0/24", "no IPv4 network of 8 to 30 bits for hosts"),
    ("server", "--subnet 224.0.0.0/24", "no IPv4 network of 8 to 30 bits for hosts"),
    ("server", "--tun-name a/b", "no device name"),
    ("server", "--tun-name -x", "--tun-name: expected one argument"),
    ("server", "--tun-name a-name-much-too-long", "no device name of at most 15"),
    ("server", "--max-rate 10", "no rate of 1kbit or more: write for example 10mbit"),
    ("server", "--max-rate 0mbit", "no rate"),
    ("server", "--max-rate fast", "no rate"),
    ("server", "--max-rate 999bit", "no rate"),
    ("server", f"--max-rate {'9' * 400}mbit", "no rate"),
    ("server", "--state-dir=", "--state-dir: '' is no directory: write for example /var/lib/ghosttunnel"),
    ("server", "--profile quiet", "--profile: invalid choice: 'quiet'"),
    ("server", "--log-level loud", "--log-level: invalid choice"),
    ("server", "--no-nat=perhaps", "--no-nat: a switch takes no value: leave out 'perhaps'"),
    ("server", "--no-nta", "unknown option --no-nta: did you mean --no-nat?"),
    ("server", "--xyzzy=1", "unknown option --xyzzy: see --help"),
    ("server", "extra", "'extra' is one argument too many"),
    ("server", "--tun", "unknown option --tun"),
    ("client", "ghost://one ghost://two", "one argument too many"),
    ("client", "--listen 0.0.0.0:8000", "unknown option --listen"),
    ("invite", "--expires 24", "no duration of 1s to 3650d: write for example 24h"),
    ("invite", "--expires 0h", "no duration"),
    ("invite", "--expires 99999d", "no duration"),
    ("invite", "--endpoint vpn.example.org", "no list of HOST:PORT"),
    ("invite", "--endpoint a/b:1", "no list of HOST:PORT"),
    ("invite", "--name=", "no name of 1 to 64"),
    ("invite", "--config", "--config: expected one argument"),
    ("invite", "--config one --config=two", "--config is given twice"),
    ("invite", "--config /no/such/file", "cannot read config file /no/such/file (No such file or directory)"),
    ("invite", "--config /", "cannot read config file / (Is a directory)"),
]


@pytest.mark.parametrize(("command", "arguments", "message"), BAD_ARGUMENTS)
def test_a_bad_argument_is_one_line_with_cause_and_cure(command: str, arguments: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(command, *arguments.split())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tunname = x", "unknown key 'tunname': did you mean tun-name?"),
        ("tun_name = x", "did you mean tun-name?"),
        ("mode = client", "says mode = client, the command is server"),
        ("listen = nowhere", "--listen: 'nowhere' is no address"),
        ("no-nat = perhaps", "Unexpected value for no-nat: 'perhaps'"),
        ("listen = [a, b]", "listen takes one value: leave out the brackets"),
        ("config = /etc/other", "unknown key 'config'"),
        ("= 5", "is no list of `key = value` lines"),
        ("\ufffd", "unknown key"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse("server", "--config", config_file(tmp_path, text + "\n"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ghost.conf"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no list of"):
        parse("server", "--config", str(path))


def test_a_bad_variable_is_refused_like_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHOST_LISTEN", "nowhere")
    with pytest.raises(ConfigError, match="no address to listen on"):
        parse("server")


def test_a_file_without_a_mode_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="add `mode = server`"):
        mode_of(config_file(tmp_path, "listen = 0.0.0.0:1\n"))
    with pytest.raises(ConfigError, match="add `mode = server`"):
        mode_of(config_file(tmp_path, "mode = both\n"))


def test_every_option_belongs_to_a_command() -> None:
    used: set[str] = {"json", "watch", "revoke"}
    for name, command in COMMANDS.items():
        parser = Parser(name, "")
        command.configure(parser)
        used |= {option.removeprefix("--") for action in parser._actions for option in action.option_strings}
    assert set(OPTIONS) <= used

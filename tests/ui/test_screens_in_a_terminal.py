"""The dashboard as it is seen: whole screens, captured from tmux."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from ghost.units import labelled, rate

from .conftest import ROOT, Daemon, Screen

SIZES = [(80, 24), (120, 40)]
PROGRAM = (sys.executable, str(ROOT / "ghosttunnel.py"))


def is_whole(text: str, height: int) -> bool:
    """Head and keys are where they should be, and no frame is torn."""
    lines = text.splitlines()
    bars = {line[0] for line in lines[2:-1] if line} | {line.rstrip()[-1] for line in lines[2:-1] if line}
    return len(lines) == height and "GHOSTTUNNEL" in lines[0] and "Dashboard" in lines[-1] and bars <= set("╭╮╯╰│+|")


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("role", ["client", "server"])
def test_every_number_is_that_of_the_status(
    screen: Screen, daemon: Daemon, tmp_path: Path, role: str, width: int, height: int
) -> None:
    daemon(role)
    done = subprocess.run(
        [*PROGRAM, "status", "--json", "--state-dir", tmp_path / "state"], capture_output=True, timeout=30, check=True
    )
    status = json.loads(done.stdout)
    screen.top(tmp_path / "state", width=width, height=height)
    text = screen.wait("last minutes")
    assert is_whole(text, height)
    one, totals = status["peers"][0], status["totals"]
    shown = [labelled(key, one[key])[1] for key in (
        "rtt_ms", "rtt_variation_ms", "queue_delay_ms", "rate_bps", "last_contact_s", "loss", "redundancy",
        "queued_bytes", "inner_received_bytes", "inner_sent_bytes", "received_bytes", "sent_bytes",
        "saved_by_compression_bytes", "compression_saved",
    )]  # fmt: skip
    shown += [rate(totals[key]) for key in ("received_bps", "sent_bps", "inner_received_bps", "inner_sent_bps")]
    shown += [labelled("uptime_s", status["uptime_s"])[1], f"{one['overhead']:.2f} x", f"{one['loss_burst']:.1f}"]
    assert [number for number in shown if number not in text] == []


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_each_screen_is_a_key_away(screen: Screen, daemon: Daemon, tmp_path: Path, width: int, height: int) -> None:
    daemon("server")
    screen.top(tmp_path / "state", width=width, height=height)
    screen.wait("last minutes")
    for key, wanted in (
        ("p", "open invite for watch"), ("c", "chaos: a bad link"), ("l", "line 39"), ("o", "options in"),
        ("h", "bytes on the wire for each inner byte"), ("d", "last minutes"),
    ):  # fmt: skip
        screen.press(key)
        assert is_whole(screen.wait(wanted), height), key
    screen.press("q")
    assert "exit code 0" in screen.wait("exit code")


def test_the_first_picture_is_there_within_a_second(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    daemon("client")
    start = time.monotonic()
    screen.top(tmp_path / "state")
    screen.wait("last minutes")
    assert time.monotonic() - start < 1.0


def test_a_size_in_the_environment_that_is_not_the_terminals_is_ignored(
    screen: Screen, daemon: Daemon, tmp_path: Path
) -> None:
    daemon()
    screen.top(tmp_path / "state", height=40, LINES="24", COLUMNS="80")
    screen.wait("last minutes")
    screen.press("q")
    screen.wait("exit code 0")
    assert screen.told("scroll_region_lower") == "39", "what follows would scroll in the upper rows alone"


def test_an_invite_is_made_and_shown_with_its_qr_code(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    daemon("server")
    screen.top(tmp_path / "state", width=120, height=40)
    screen.wait("last minutes")
    screen.press("p")
    screen.wait("laptop")
    screen.press("n")
    screen.wait("Whom is the invite for?")
    screen.press("q", "u", "i", "d", "Enter")  # a q in a name does not leave
    text = screen.wait("An invite for quid", "ghost://198.18.0.2:8000/")
    assert "█" in text
    assert "▀" in text
    screen.press("Space")
    screen.wait("open invite for watch")


def test_a_client_is_revoked_after_a_question(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    daemon("server")
    screen.top(tmp_path / "state")
    screen.wait("last minutes")
    screen.press("p")
    screen.wait("laptop", "tablet")
    screen.press("Down", "Up", "x")
    screen.wait("Shut laptop out for ever?")
    screen.press("n")
    screen.wait("laptop", "phone")
    screen.press("x")
    screen.wait("out for ever?")
    screen.press("y")
    text = screen.wait("is no client any more")
    assert "laptop  " not in text
    assert "phone" in text


def test_chaos_is_pushed_live_and_a_refusal_is_shown(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    daemon("client", "chaos")
    screen.top(tmp_path / "state")
    screen.wait("last minutes")
    screen.press("c")
    screen.wait("in a row")
    screen.press("Down", "Right", "Right")
    screen.wait("2.0 %", "loss=2%")
    screen.press("Up", "0", "Right", "Right")
    screen.wait("no satellite today")


def test_a_daemon_without_chaos_is_told_of_in_words(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    daemon("client")
    screen.top(tmp_path / "state")
    screen.wait("last minutes")
    screen.press("c")
    screen.wait("chaos is not supported")


def test_it_follows_the_window_down_to_nothing_and_back(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    daemon("client")
    screen.top(tmp_path / "state")
    screen.wait("last minutes")
    for width, height, wanted in ((120, 40, "last minutes"), (61, 16, "mending"), (30, 5, "Connected"), (3, 2, "")):
        screen.resize(width, height)
        text = screen.wait(wanted)
        if width > 60:
            deadline = time.monotonic() + 5
            while not is_whole(screen.text(), height):
                assert time.monotonic() < deadline, screen.text()
                time.sleep(0.05)
    screen.resize(80, 24)
    text = screen.wait("last minutes", "Dashboard")
    assert is_whole(text, 24)


def test_it_outlives_the_daemon_and_finds_the_next_one(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    first = daemon("client")
    screen.top(tmp_path / "state")
    screen.wait("last minutes")
    first.terminate()
    first.wait(10)
    screen.wait("The daemon does not answer")
    daemon("client")
    screen.wait("Connected. A bad link: 30.7 % lost, mended. Last contact 12.2 s ago.")


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C"}, {"LC_ALL": "no_SUCH.locale"}, {"TERM": "vt100"}, {"NO_COLOR": "1"}, {"TERM": "xterm"}],
)
def test_it_needs_neither_colour_nor_unicode(
    screen: Screen, daemon: Daemon, tmp_path: Path, environment: dict[str, str]
) -> None:
    daemon("server")
    screen.top(tmp_path / "state", **environment)
    text = screen.wait("last minutes", "30.7 %")
    assert is_whole(text, 24)
    is_ascii = environment.get("LC_ALL") == "C" or environment.get("TERM") == "vt100"
    assert text.isascii() == is_ascii
    if "NO_COLOR" in environment:
        assert not re.search(r"\x1b\[[34][0-8]", screen.text("-e"))
    screen.press("p")
    screen.wait("laptop", "tablet")


def test_ascii_is_had_for_the_asking(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    daemon("client")
    screen.top(tmp_path / "state", "--ascii")
    assert screen.wait("last minutes").isascii()


def test_numbers_wait_for_nobody_who_types(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    """In the form every letter is text; leaving it, q leaves again."""
    daemon("client")
    screen.top(tmp_path / "state")
    screen.wait("last minutes")
    screen.press("o")
    screen.wait("options in")
    screen.press("Enter", "q", "d", "Escape")
    screen.wait("invite")
    screen.press("q")
    screen.wait("exit code 0")


@pytest.mark.parametrize(
    ("role", "arguments", "code", "message"),
    [
        (None, (), 4, "no ghosttunnel runs in"),
        ("client", ("--wat",), 2, "unknown option --wat"),
    ],
)
def test_a_mistake_is_one_line_on_a_whole_terminal(
    screen: Screen,
    daemon: Daemon,
    tmp_path: Path,
    role: str | None,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    if role:
        daemon(role)
    screen.top(tmp_path / "state", *arguments, width=300)
    text = screen.wait("exit code")
    assert text.splitlines()[0].startswith("ghosttunnel: ")
    assert message in text
    assert text.splitlines()[1] == f"exit code {code}"


def test_what_is_typed_ahead_is_for_the_screen_that_comes(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    daemon("server")
    screen.top(tmp_path / "state", width=120, height=40)
    screen.wait("last minutes")
    screen.press("p", "n", "m", "e", "Enter")
    screen.wait("An invite for me")


def test_a_daemon_of_another_version_is_one_line(screen: Screen, daemon: Daemon, tmp_path: Path) -> None:
    daemon("client", "version=7")
    screen.top(tmp_path / "state", width=300)
    text = screen.wait("exit code 4")
    assert "speaks version 7 of the control socket and this program version 1" in text.splitlines()[0]
    assert text.splitlines()[1] == "exit code 4"


def test_a_config_file_that_makes_no_sense_hinders_only_its_own_screen(
    screen: Screen, daemon: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "ghost.conf").write_text("sbnet = 1\n")
    daemon("server", f"config={tmp_path / 'ghost.conf'}")
    screen.top(tmp_path / "state", width=160)
    screen.wait("last minutes")
    screen.press("o")
    screen.wait("unknown key 'sbnet'")
    screen.press("s")
    screen.wait("Not saved:")
    assert (tmp_path / "ghost.conf").read_text() == "sbnet = 1\n"


def test_it_ends_with_its_terminal_even_when_nobody_tells_it(daemon: Daemon, tmp_path: Path) -> None:
    daemon("client")
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [*PROGRAM, "top", "--state-dir", tmp_path / "state"]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, env={**os.environ, "TERM": "xterm"})
    os.close(follower)
    try:
        shown = b""
        while b"last minutes" not in shown:
            shown += os.read(leader, 65536)
        os.close(leader)  # it is no session leader: no signal comes, only an input that has ended
        process.wait(20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode >= 0, "it had to be killed"


@pytest.mark.parametrize("kind", ["dumb", "no-such-terminal"])
def test_a_terminal_that_cannot_draw_is_named(screen: Screen, daemon: Daemon, tmp_path: Path, kind: str) -> None:
    daemon("client")
    screen.top(tmp_path / "state", width=160, TERM=kind)
    text = screen.wait("exit code 3")
    assert kind in text.splitlines()[0]


def test_without_a_terminal_the_status_is_offered(daemon: Daemon, tmp_path: Path) -> None:
    daemon("client")
    for command in ("top", "configure", "client --tui", "server --tui"):
        done = subprocess.run(
            [*PROGRAM, *command.split(), *([] if command == "configure" else ["--state-dir", tmp_path / "state"])],
            capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 3, command
        assert done.stderr.count("\n") == 1
        assert "no terminal" in done.stderr


def test_the_dashboard_has_nothing_of_gevent() -> None:
    code = "import sys; from ghost.commands import top; print([name for name in sys.modules if 'gevent' in name])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"

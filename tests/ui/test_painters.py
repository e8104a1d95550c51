"""Painters from model, width and height to lines: without a terminal, at every size."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from ghost.chaos.profiles import PROFILES
from ghost.ui.cells import Line, plain
from ghost.ui.chaos import SLIDERS, ChaosDesk, paint_chaos, position
from ghost.ui.dashboard import paint_dashboard
from ghost.ui.frame import FOOT, HEAD, Tab, paint_frame, paint_small
from ghost.ui.glyphs import ASCII, UNICODE, Glyphs
from ghost.ui.help import paint_help
from ghost.ui.logview import paint_log
from ghost.ui.model import Model, sentence
from ghost.ui.peers import paint_invite, paint_peers
from ghost.ui.qr import paint_qr

from .fake_daemon import LOG, status

SIZES = [(60, 13), (61, 17), (80, 21), (120, 37), (200, 60)]
TABS = tuple(Tab(name[0].lower(), name) for name in ("Dashboard", "Peers", "Chaos", "Log", "Options", "Help"))


def model_of(role: str = "client", **facts: Any) -> Model:
    model = Model()
    told = status(role)
    told["peers"] = [peer | facts for peer in told["peers"]]
    model.on_answer({"status": told, "history": [told["totals"]] * 50}, 100.0)
    return model


def bodies(width: int, height: int, glyphs: Glyphs) -> dict[str, list[Line]]:
    """What each painter makes of it."""
    model = model_of("server")
    size = (width, height)
    return {
        "dashboard": paint_dashboard(model, *size, glyphs, rain_scale=4),
        "empty dashboard": paint_dashboard(Model(), *size, glyphs),
        "peers": paint_peers(model.peers * 30, [{"name": "x", "expires_in_s": 5}], 40, *size, glyphs),
        "no peers": paint_peers([], [], 0, *size, glyphs, message=("hm", "bad")),
        "invite": paint_invite("ghost://" + "a" * 150, "me", [[True] * 45] * 45, *size, glyphs),
        "chaos": paint_chaos(ChaosDesk(), *size, glyphs),
        "log": paint_log(LOG * 5, 7, *size, glyphs),
        "help": paint_help(*size, glyphs),
    }


@pytest.mark.parametrize(("size", "glyphs"), list(product(SIZES, (UNICODE, ASCII))))
def test_every_painter_fills_every_size_exactly(size: tuple[int, int], glyphs: Glyphs) -> None:
    for name, lines in bodies(*size, glyphs).items():
        assert [len(line) for line in plain(lines)] == [size[0]] * size[1], name
        if glyphs is ASCII:
            assert "".join(plain(lines)).replace("Zoë", "").isascii(), name


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 3), (59, 15)])
def test_the_smallest_terminal_has_the_sentence(width: int, height: int) -> None:
    lines = plain(paint_small(model_of(), width, height, 100.0))
    assert [len(line) for line in lines] == [width] * height
    assert width < 10 or "Connected." in lines[0]


def test_the_frame_has_the_sentence_on_top_and_the_keys_below() -> None:
    lines = plain(paint_frame(model_of(), [], 80, 24, tabs=TABS, shown="Peers", keys="x y", glyphs=UNICODE, now=100.0))
    assert lines[0].startswith(" GHOSTTUNNEL  client  ghost0  10.77.0.1/24")
    assert "30.7 % lost" in lines[1]
    assert lines[-1].startswith(" d Dashboard  p Peers  c Chaos  l Log  o Options  h Help ")
    assert lines[-1].rstrip().endswith("x y")


@pytest.mark.parametrize(
    ("width", "wanted"),
    [(90, "  n invite  x revoke  q quit"), (80, "Help   n invite  x revoke  q quit"), (70, "  n invite  q quit"),
     (60, "h Help   q quit"), (55, "h Help    ")],
)  # fmt: skip
def test_keys_that_do_not_fit_are_left_out_whole_and_the_one_that_leaves_stays(width: int, wanted: str) -> None:
    frame = paint_frame(model_of(), [], width, 24, tabs=TABS, shown="Peers", keys="n invite  x revoke  q quit",
                        glyphs=UNICODE, now=0.0)  # fmt: skip
    assert plain(frame)[-1].endswith(wanted)


def test_a_narrow_dashboard_has_short_words_for_what_it_shows() -> None:
    model = model_of(rtt_ms=2344.2, rtt_variation_ms=148.1, rate_bps=1_363_000, saved_by_compression_bytes=322_150)
    text = "\n".join(plain(paint_dashboard(model, 60, 17, UNICODE)))
    for words in ("rtt      2344.2 ms│", "spread   ±148.1 ms│", "rate  1.363 Mbit/s│", "│heard ", "│redundancy ",
                  "│wire ", "│saved    314.6 KiB│"):  # fmt: skip
        assert words in text, f"{words}\n{text}"


def test_a_client_has_a_server_and_makes_no_invites() -> None:
    alone = "".join(plain(paint_peers([], [], 0, 80, 21, UNICODE, role="client")))
    assert "server" in alone
    assert "invite" not in alone
    assert "n makes an invite" in "".join(plain(paint_peers([], [], 0, 80, 21, UNICODE, role="server")))


def test_a_profile_in_force_is_called_by_its_name() -> None:
    model = model_of()
    assert model.status is not None
    model.status["chaos"] = PROFILES["gprs"].text
    head = plain(paint_frame(model, [], 80, 24, tabs=TABS, shown="Log", keys="", glyphs=UNICODE, now=0.0))[0]
    assert "chaos: gprs " in head


def test_a_log_says_plus_minus_where_there_is_no_such_character() -> None:
    told = {"time": "2024-05-05T10:00:09", "level": "warning", "message": "chaos: delay=300ms±10ms,loss=3%"}
    assert "300ms+-10ms" in "".join(plain(paint_log([told], 0, 80, 6, ASCII)))
    assert "300ms±10ms" in "".join(plain(paint_log([told], 0, 80, 6, UNICODE)))


def test_a_bad_link_made_on_purpose_and_a_diagnosis_are_shown() -> None:
    model = model_of(diagnosis="The link loses packets at random.")
    assert model.status is not None
    model.status["chaos"] = "hostile-30"
    frame = plain(paint_frame(model, [], 80, 24, tabs=TABS, shown="", keys="", glyphs=UNICODE, now=100.0))
    assert " chaos: hostile-30 " in frame[0]
    assert "The link loses packets at random." in plain(paint_dashboard(model, 80, 21, UNICODE))[-1]


@pytest.mark.parametrize(
    ("facts", "peer", "text", "style"),
    [
        ({}, {"loss": 0.0}, "Connected. The link is clean. Last contact 12.2 s ago.", "good"),
        ({}, {"loss": 0.03}, "loses 3.0 %.", "good"),
        ({}, {"loss": 0.1}, "loses 10.0 %, mended.", "good"),
        ({}, {"loss": 0.5}, "A bad link: 50.0 % lost", "warn"),
        ({}, {"queue_delay_ms": 300.0}, "A queue of 300.0 ms", "warn"),
        ({}, {"last_contact_s": 45.0}, "silent. Last contact 45.0 s ago.", "warn"),
        ({"state": "connecting"}, {}, "The server is silent, connecting again.", "bad"),
        ({"state": "refused", "refusal": "the invite has expired"}, {}, "refuses this client: the invite", "bad"),
        ({"peers": []}, {}, "Looking for the server", "warn"),
        ({"role": "server", "peers": []}, {}, "No client is connected.", "warn"),
        ({"role": "server"}, {"loss": 0.0}, "One client is connected. The link is clean.", "good"),
    ],
)
def test_the_state_is_one_sentence(facts: dict[str, Any], peer: dict[str, Any], text: str, style: str) -> None:
    told = status("client")
    told["peers"] = [told["peers"][0] | peer]
    said, how = sentence(told | facts)
    assert text in said
    assert how == style
    assert len(said) <= 76 or "refuses" in said


def test_a_daemon_that_is_gone_leaves_its_numbers_and_their_age() -> None:
    model = model_of()
    assert not model.is_stale(102.0)
    model.on_silence("no ghosttunnel answers")
    assert model.sentence(107.0) == ("The daemon does not answer, asking on. What is shown is 7.0 s old.", "bad")
    model.on_answer({"status": status("client")}, 108.0)
    assert model.sentence(108.0)[0].startswith("Connected.")


def test_an_answer_tells_how_many_packets_passed() -> None:
    model = model_of()
    assert model.on_answer({"status": status("client")}, 101.0) == (0, 0)
    more = status("client")
    more["peers"][0] |= {"received_packets": 5778, "sent_packets": 3}
    assert model.on_answer({"status": more}, 102.0) == (100, 3)  # fewer than before: it connected again


def test_the_next_peer_has_its_turn_and_the_last_is_followed_by_the_first() -> None:
    model = model_of("server")
    seen = []
    for _ in range(4):
        assert model.peer is not None
        seen.append(model.peer["name"])
        model.choose(1)
    assert seen[0] == seen[3] != seen[1]


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_a_qr_code_keeps_every_module(glyphs: Glyphs) -> None:
    modules = [[True, False, True], [False, True, False], [True, True, False]]
    lines = plain(paint_qr(modules, glyphs))
    if glyphs is ASCII:
        rows = [[line[2 * x] == " " for x in range(7)] for line in lines]
    else:
        upper = {"█": (False, False), "▀": (False, True), "▄": (True, False), " ": (True, True)}
        rows = [[upper[character][half] for character in line] for line in lines for half in (0, 1)]
    assert [row[2:5] for row in rows[2:5]] == modules
    assert not any(any(row) for row in [*rows[:2], *rows[5:7]])


def test_the_log_follows_unless_one_reads_back() -> None:
    following = plain(paint_log(LOG, 0, 80, 12, UNICODE))
    assert "line 39" in following[-2]
    back = plain(paint_log(LOG, 5, 80, 12, UNICODE))
    assert "line 34" in back[-2]
    assert "5 newer below" in back[0]
    top = plain(paint_log(LOG, 999, 80, 12, UNICODE))
    assert "listening on 0.0.0.0:8000" in top[1]


def test_a_long_line_of_the_log_is_shown_whole() -> None:
    told = {"time": "2026-01-01T00:00:00Z", "level": "warning", "message": "word " * 30 + "end"}
    shown = plain(paint_log([*LOG, told], 0, 80, 12, UNICODE))
    assert shown[-2].split()[1:-1][-1] == "end"
    assert "".join(shown).count("word") == 30
    top = plain(paint_log([told, *LOG], 999, 80, 12, UNICODE))
    assert "warning" in top[1]
    assert "".join(top).count("word") == 30


def test_all_of_the_help_fits_into_80_by_24() -> None:
    assert "nothing to the tunnel" in "".join(plain(paint_help(80, 24 - HEAD - FOOT, UNICODE)))


# ---- chaos ----------------------------------------------------------------------------------------------------


def test_a_profile_moves_all_sliders_and_a_slider_makes_a_mixture() -> None:
    desk = ChaosDesk()
    assert desk.press("right")
    assert desk.text == "clean"
    for _ in range(1):
        desk.press("down")
    assert desk.press("right")
    assert (desk.name, desk.text) == ("", "rate=20mbit,delay=25ms,loss=1%")
    desk.adopt("rate=20mbit,delay=25ms")
    assert desk.text == "clean"
    assert desk.press("0")
    assert desk.text == "off"


def test_what_the_grammar_forbids_is_said_and_not_sent() -> None:
    desk = ChaosDesk()
    desk.row = 1 + [slider.field for slider in SLIDERS].index("jitter")
    assert not desk.press("right")
    assert "jitter" in desk.message[0]
    assert desk.text == "off"


def test_what_a_newer_daemon_says_and_nobody_here_understands_is_shown() -> None:
    desk = ChaosDesk()
    desk.adopt("wormhole=3")
    assert "wormhole" in desk.message[0]


@pytest.mark.parametrize("slider", SLIDERS, ids=lambda slider: slider.field)
def test_a_slider_finds_its_steps_again(slider: Any) -> None:
    assert [position(slider, step) for step in slider.steps] == list(range(len(slider.steps)))

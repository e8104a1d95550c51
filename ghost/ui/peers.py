"""Peers: who is a client of this server, here or not, and the invites that are still open; on a client the server."""

from __future__ import annotations

from typing import Any

from ghost import units
from ghost.ui.cells import Grid, Line, fitted
from ghost.ui.frame import notes, panel
from ghost.ui.glyphs import Glyphs
from ghost.ui.qr import paint_qr

_OTHERS = {"server": "client", "client": "server"}
_COLUMNS = (
    *(("name", 15), ("address", 13), ("in", 14), ("out", 14)),
    *(("loss", 8), ("from", 22), ("path rate", 14), ("round trip", 11), ("seen", 12)),
)


def rows(known: list[dict[str, Any]], live: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Known peers with the live facts of those that are here, these first; on a client just the server."""
    if not known:
        return live
    here = {peer.get("public_key"): peer for peer in live}
    joined = [peer | here.get(peer["public_key"], {"is_connected": False}) for peer in known]
    return sorted(joined, key=lambda peer: ("rtt_ms" not in peer, peer["name"].casefold()))


def paint_peers(
    peers: list[dict[str, Any]], invites: list[dict[str, Any]], selected: int, width: int, height: int, glyphs: Glyphs,
    *, role: str = "server", message: tuple[str, str] = ("", "label"),
) -> list[Line]:  # fmt: skip
    grid = Grid(width, height)
    foot = min(len(invites), 3) + (2 if message[0] else 0)
    panel(grid, 0, 0, width, height, "peers", note=str(len(peers)), glyphs=glyphs)
    columns = _fitting(width - 4)
    x = 3
    for name, across in columns:
        grid.put(x, 1, _OTHERS.get(role, name) if name == "name" else name, "label")
        x += across
    room = max(1, height - 4 - foot)
    first = max(0, min(selected - room + 1, len(peers) - room))
    for row, peer in enumerate(peers[first : first + room]):
        is_selected = first + row == selected
        x, y = 3, 2 + row
        if is_selected:
            grid.put(1, y, " " * (width - 2), "chosen")
            grid.put(1, y, glyphs.cursor, "chosen")
        for (name, across), text in zip(columns, _cells(peer, [name for name, _ in columns]), strict=True):
            style = "chosen" if is_selected else "value" if name == "name" else _style(peer)
            grid.put(x, y, fitted(text, across - 1), style)
            x += across
    if not peers:
        hint = "nobody yet: n makes an invite" if role == "server" else "no server yet: the log says what is tried"
        grid.put(3, 3, hint, "label")
    y = height - 1 - foot
    for invite in invites[:3]:
        left = units.duration(invite["expires_in_s"])
        grid.put(3, y, fitted(f"open invite for {invite['name']}, expires in {left}", width - 6), "dim")
        y += 1
    if message[0]:
        notes(grid, 3, y, width - 6, [message])
    return grid.lines()


def paint_invite(
    invite: str, name: str, modules: list[list[bool]] | None, width: int, height: int, glyphs: Glyphs
) -> list[Line]:
    """The ghost:// line to be copied and its QR code, as far as the screen is high enough for it."""
    grid = Grid(width, height)
    code = paint_qr(modules, glyphs) if modules else []
    across = sum(len(text) for text, _ in code[0]) if code else 0
    has_room = code and len(code) <= height and across <= width
    is_beside = has_room and width - across >= 30
    if has_room:
        grid.paste(0 if is_beside else (width - across) // 2, 0, code)
    if is_beside or not has_room:
        x = across + 2 if is_beside else 2
        room = width - x - 1
        texts = [(f"An invite for {name}", "bright"), ("", "plain"), (invite, "value"), ("", "plain")]
        texts += [
            ("It is a secret and admits one client, once. On its machine: ghosttunnel client INVITE", "label"),
            ("", "plain"),
            ("Any key goes back; it cannot be shown again.", "dim"),
        ]
        if code and not has_room:
            texts.append((f"Its QR code needs {across} x {len(code) + 3} characters.", "dim"))
        notes(grid, x, 1, room, texts)
    return grid.lines()


def _fitting(width: int) -> list[tuple[str, int]]:
    """The columns that fit, the last ones left out first but for `seen`."""
    columns = list(_COLUMNS)
    while sum(across for _, across in columns) > width and len(columns) > 2:
        columns.pop(-2)
    return columns


def _cells(peer: dict[str, Any], names: list[str]) -> list[str]:
    is_here = "rtt_ms" in peer
    seen = peer.get("last_contact_s", peer.get("last_seen_s", 0.0))
    texts = {
        "name": peer["name"],
        "address": peer["address"],
        "from": units.endpoint(peer["endpoint"]) if is_here else "not connected",
        "in": units.rate(peer["received_bps"]) if is_here else "-",
        "out": units.rate(peer["sent_bps"]) if is_here else "-",
        "loss": units.percent(peer["loss"]) if is_here else "-",
        "path rate": units.rate(peer["rate_bps"]) if is_here else "-",
        "round trip": units.milliseconds(peer["rtt_ms"]) if is_here else "-",
        "seen": f"{units.duration(seen)} ago",
    }
    return [texts[name] for name in names]


def _style(peer: dict[str, Any]) -> str:
    return "label" if "rtt_ms" in peer else "dim"

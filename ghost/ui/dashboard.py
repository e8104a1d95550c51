"""The Dashboard: what passes, over what link, at what price, and rain made of it."""

from __future__ import annotations

from typing import Any

from ghost import units
from ghost.ui.cells import Grid, Line, shortened
from ghost.ui.frame import fact, notes, panel
from ghost.ui.glyphs import Glyphs
from ghost.ui.graph import ceiling, mountain, samples_across, sparkline
from ghost.ui.model import Model

_FACTS = 7
_TRENDS = 5
_LEAST_GRAPH = 5
_LEAST_RATE = 1e4  # bit/s: a keep-alive every 20 s is no mountain
_GRAPHS = (("received", "in", "down"), ("sent", "out", "up"))

Fact = tuple[str, str, str]


def rain_rows(height: int) -> int:
    """Rows at the top of a body of that height in which it rains: behind the graphs."""
    return _graph_height(height)


def paint_dashboard(model: Model, width: int, height: int, glyphs: Glyphs, *, rain_scale: int = 0) -> list[Line]:
    """`rain_scale` is how many packets a drop stands for, 0 when it does not rain."""
    grid = Grid(width, height)
    tall = _graph_height(height)
    half = width // 2
    for index, (way, name, arrow) in enumerate(_GRAPHS):
        x, across = (0, half) if index == 0 else (half, width - half)
        _traffic(grid, x, across, tall, model, way, f"{getattr(glyphs, arrow)} {name}", glyphs)
    y = tall
    if height - y >= _FACTS:
        _facts(grid, y, model, glyphs)
        y += _FACTS
    if height - y >= _TRENDS:
        _trends(grid, y, height - y, model, glyphs, _legend(rain_scale))
    return grid.lines()


def _graph_height(height: int) -> int:
    """Facts and trends have their rows; a tall screen gives most of what is left to the graphs."""
    left = height - _FACTS - _TRENDS
    if left < _LEAST_GRAPH:
        left = height - _FACTS
    return min(height, max(_LEAST_GRAPH, left - max(0, left - 12) // 6 * 3))


def _legend(rain_scale: int) -> str:
    if not rain_scale:
        return ""
    return "a drop is a packet" if rain_scale == 1 else f"a drop is {rain_scale} packets"


def _traffic(grid: Grid, x: int, width: int, height: int, model: Model, way: str, name: str, glyphs: Glyphs) -> None:
    """Bytes on the wire as an area, and within it, brighter, what of them is worth something: the goodput."""
    outer, inner = model.series(f"{way}_bps"), model.series(f"inner_{way}_bps")
    top = ceiling([*outer[-samples_across(width, glyphs) :], *inner[-samples_across(width, glyphs) :]], _LEAST_RATE)
    totals = model.status["totals"] if model.status else {}
    now = units.rate(totals[f"{way}_bps"]) if totals else ""
    inside = mountain(outer, inner, width - 2, height - 2, top=top, glyphs=glyphs)
    grid.paste(x + 1, 1, inside)
    panel(grid, x, 0, width, height, name, note=now, glyphs=glyphs, style="bright")
    goodput = f" goodput {units.rate(totals[f'inner_{way}_bps'])} " if totals else ""
    grid.put(x + 2, height - 1, goodput, "value")
    grid.put(x + 1, 1, units.rate(top), "dim")


def _facts(grid: Grid, y: int, model: Model, glyphs: Glyphs) -> None:
    peer = model.peer
    if peer is None:
        panel(grid, 0, y, grid.width, _FACTS, "peer", glyphs=glyphs)
        hint = (
            "Nobody is here yet. An invite lets a client in: press p, then n."
            if model.role == "server"
            else "No answer from the server yet. Is it running, is its UDP port open, is the invite its own and unused?"
        )
        notes(grid, 2, y + 2, grid.width - 4, [(hint, "label")])
        return
    third = grid.width // 3
    margin = 2 if third > 22 else 1
    columns = ((0, third), (third, third), (2 * third, grid.width - 2 * third))
    count = f"{model.chosen + 1}/{len(model.peers)}" if len(model.peers) > 1 else ""
    panels = (
        (f"link to {peer['name']}", count, _link(peer, glyphs)),
        ("mending", "", _mending(peer)),
        ("carried", "", _carried(peer, third - 2 * margin)),
    )
    for (x, width), (title, note, facts) in zip(columns, panels, strict=True):
        panel(grid, x, y, width, _FACTS, title, note=note, glyphs=glyphs)
        for row, (label, value, style) in enumerate(facts[: _FACTS - 2]):
            fact(grid, x + margin, y + 1 + row, width - 2 * margin, label, value, style)


def _link(peer: dict[str, Any], glyphs: Glyphs) -> list[Fact]:
    queue = peer["queue_delay_ms"]
    return [
        ("round trip|rtt", units.milliseconds(peer["rtt_ms"]), "value"),
        ("spread", glyphs.spread + units.milliseconds(peer["rtt_variation_ms"]), "value"),
        ("queue", units.milliseconds(queue), "warn" if queue > 150 else "value"),
        ("path rate|rate", units.rate(peer["rate_bps"]), "value"),
        ("last contact|heard", f"{units.duration(peer['last_contact_s'])} ago", _age(peer["last_contact_s"])),
    ]


def _mending(peer: dict[str, Any]) -> list[Fact]:
    loss = peer["loss"]
    return [
        ("loss", units.percent(loss), "bad" if loss >= 0.2 else "warn" if loss >= 0.01 else "good"),
        ("in a row", f"{peer['loss_burst']:.1f}", "value"),
        ("redundancy|repairs", units.percent(peer["redundancy"]), "value"),
        ("price", f"{peer['overhead']:.2f} x", "value"),
        ("waiting", units.size(peer["queued_bytes"]), "value"),
    ]


def _carried(peer: dict[str, Any], width: int) -> list[Fact]:
    return [
        ("in", units.size(peer["inner_received_bytes"]), "value"),
        ("out", units.size(peer["inner_sent_bytes"]), "value"),
        ("on the wire|wire", units.size(peer["received_bytes"]), "value"),
        ("", units.size(peer["sent_bytes"]), "value"),
        ("saved", _saved(peer, width - len("saved ")), "good"),
    ]


def _saved(peer: dict[str, Any], width: int) -> str:
    size, share = units.size(peer["saved_by_compression_bytes"]), units.percent(peer["compression_saved"])
    return f"{size} {share}" if len(size) + 1 + len(share) <= width else size


def _trends(grid: Grid, y: int, height: int, model: Model, glyphs: Glyphs, legend: str) -> None:
    """Loss, round trip and queue of the last minutes, a band of rows for each."""
    panel(grid, 0, y, grid.width, height, "last minutes", note=legend, glyphs=glyphs, style="dim")
    diagnosis = (model.peer or {}).get("diagnosis", "")
    if diagnosis:
        grid.put(2, y + height - 1, f" {shortened(diagnosis, grid.width - 6)} ", "value")
    totals = model.status["totals"] if model.status else {}
    band = (height - 2) // 3
    rows = (
        ("loss", "loss", lambda value: units.percent(value), 0.05),
        ("round trip", "rtt_ms", units.milliseconds, 20.0),
        ("queue", "queue_delay_ms", units.milliseconds, 20.0),
    )
    left, right = 13, 12
    width = grid.width - left - right - 2
    for index, (label, key, show, least) in enumerate(rows):
        values = model.series(key)
        top = ceiling(values[-samples_across(width, glyphs) :], least)
        row = y + 1 + index * band
        grid.put(2, row + band - 1, label, "label")
        if totals:
            grid.put_right(grid.width - 2, row + band - 1, show(totals[key]), "value")
        if band == 1:
            grid.put(left, row, sparkline(values, width, top=top, glyphs=glyphs), "trend")
        else:
            grid.paste(left, row, mountain(values, values, width, band, top=top, glyphs=glyphs))


def _age(seconds: float) -> str:
    return "value" if seconds < 30 else "warn" if seconds < 60 else "bad"

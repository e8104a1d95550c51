"""The characters that pictures are made of: one set for terminals that have Unicode, one for those that have not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """`corners` clockwise from the upper left; `levels` from empty to full, for one row of a graph."""

    corners: str
    horizontal: str
    vertical: str
    levels: str
    has_braille: bool
    rain: str
    down: str
    up: str
    bullet: str
    cursor: str
    knob: str
    groove: str
    spread: str
    upper_half: str
    lower_half: str
    full: str


UNICODE = Glyphs(
    corners="╭╮╯╰",
    horizontal="─",
    vertical="│",
    levels=" ▁▂▃▄▅▆▇█",
    has_braille=True,
    # Half-width katakana: one column each, as everything here has to be.
    rain="ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝ0123456789",
    down="▼",
    up="▲",
    bullet="●",
    cursor="▸",
    knob="●",
    groove="─",
    spread="±",
    upper_half="▀",
    lower_half="▄",
    full="█",
)
ASCII = Glyphs(
    corners="++++",
    horizontal="-",
    vertical="|",
    levels=" .:-=+*#",
    has_braille=False,
    rain="abcdefghijklmnopqrstuvwxyz0123456789$%&*+<>",
    down="v",
    up="^",
    bullet="*",
    cursor=">",
    knob="O",
    groove="-",
    spread="+-",
    upper_half="'",
    lower_half=",",
    full="#",
)

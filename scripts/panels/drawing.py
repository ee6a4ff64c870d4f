"""The inside of panels as HTML: stats, graphs, timelines and tables, for pictures in the docs.

It resembles Grafana only as far as a picture needs: kinds, units, colours and legends.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .appearance import Json
from .units import shown

Line = tuple[str, dict[int, float]]
"""The name of a series, and its values by time."""

#: Colours by the names of Grafana's palette.
COLOURS = {
    "green": "#56a64b",
    "orange": "#ff780a",
    "red": "#e02f44",
    "blue": "#3274d9",
    "purple": "#a352cc",
}
PALETTE = (
    *("#56a64b", "#f2cc0c", "#3274d9", "#ff780a", "#e02f44", "#a352cc", "#37872d", "#8ab8ff"),
    *("#ffb357", "#c0d8ff", "#b877d9", "#ff9830"),
)


def colour_of(value: float, panel: Json, name: str = "") -> str:
    """The colour of a value by the thresholds of its panel or of its own name."""
    steps, colour = panel["fieldConfig"]["defaults"]["thresholds"]["steps"], "green"
    for override in panel["fieldConfig"]["overrides"]:
        for each in override["properties"]:
            if each["id"] == "thresholds" and override["matcher"]["options"] == name:
                steps = each["value"]["steps"]
    for step in steps:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return COLOURS.get(colour, colour)


def _fixed(panel: Json) -> dict[str, str]:
    found = {}
    for override in panel["fieldConfig"]["overrides"]:
        for each in override["properties"]:
            if each["id"] == "color":
                colour = each["value"]["fixedColor"]
                found[override["matcher"]["options"]] = COLOURS.get(colour, colour)
    return found


def _mapping(panel: Json, column: str = "") -> dict[str, Json]:
    """The words of a panel's values, or of those in a column of a table."""
    defaults = panel["fieldConfig"]["defaults"]["mappings"]
    found: dict[str, Json] = defaults[0]["options"] if defaults else {}
    for override in panel["fieldConfig"]["overrides"]:
        for each in override["properties"]:
            if each["id"] == "mappings" and override["matcher"]["options"] == column:
                found = each["value"][0]["options"]
    return found


def stat(panel: Json, lines: Sequence[Line]) -> str:
    """Present values side by side."""
    fixed, mapping = _fixed(panel), _mapping(panel)
    parts = []
    for name, points in lines:
        value = points[max(points)]
        mapped = mapping.get(f"{value:.0f}", {})
        text = mapped.get("text") or shown(value, panel["fieldConfig"]["defaults"]["unit"])
        colour = mapped.get("color") or fixed.get(name) or colour_of(value, panel, name)
        label = html.escape(name) if len(lines) > 1 else ""
        colour = COLOURS.get(colour, colour)
        parts.append(f'<div>{label}<b style="color:{colour}">{html.escape(text)}</b></div>')
    return f'<div class="stats">{"".join(parts)}</div>'


def graph(panel: Json, lines: Sequence[Line], width: int, height: int, period: Any) -> str:
    """Lines over time, with a legend of last and max."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    fixed = _fixed(panel)
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    listed = sorted(lines, key=lambda line: -max(line[1].values()))
    rows = min(len(listed), 5)
    plot = height - 34 - 15 * (rows + 1) - 14
    drawn = [points for _, points in lines]
    if stacked:
        drawn = _stacked(drawn)
    most = max((max(points.values()) for points in drawn), default=1) or 1
    ticks = _ticks(most, unit)
    high = max(ticks[-1], most) * 1.02
    left, right = 72, width - 6

    def place(time: float, value: float) -> str:
        x = left + (right - left) * (time - period.start) / (period.end - period.start)
        return f"{x:.1f},{plot - (plot - 8) * value / high:.1f}"

    parts = []
    for value in ticks:
        y = place(period.start, value).partition(",")[2]
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="#e7e9eb"/>')
        parts.append(f'<text x="{left - 5}" y="{y}" text-anchor="end">{shown(value, unit)}</text>')
    for tick in range(5):
        time = period.start + (period.end - period.start) * (tick + 0.5) / 5
        x = place(time, 0).partition(",")[0]
        parts.append(f'<text x="{x}" y="{plot + 13}" text-anchor="middle">{_clock(time)}</text>')
    colours = {}
    for index, ((name, _), points) in enumerate(zip(lines, drawn)):
        colour = fixed.get(name) or PALETTE[index % len(PALETTE)]
        colours[name] = colour
        path = " ".join(place(time, value) for time, value in sorted(points.items()))
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
        )
    legend = "".join(
        f'<tr><td style="color:{colours[name]}">▬</td><td>{html.escape(name)}</td>'
        f'<td class="n">{shown(points[max(points)], unit)}</td>'
        f'<td class="n">{shown(max(points.values()), unit)}</td></tr>'
        for name, points in listed[:rows]
    )
    head = '<tr><td></td><td></td><td class="n">Last</td><td class="n">Max</td></tr>'
    return (
        f'<svg width="{width}" height="{plot + 16}">{"".join(parts)}</svg>'
        f'<table class="legend">{head}{legend}</table>'
    )


def _ticks(most: float, unit: str) -> list[float]:
    """Three to five round values from 0 to about the highest one."""
    base = 1024 if unit in ("bytes", "kbytes") else 1000
    scale = base ** math.floor(math.log(most / 3, base))
    for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
        if most / (scale * step) <= 4:
            break
    return [scale * step * number for number in range(math.ceil(most / (scale * step)) + 1)]


def _stacked(drawn: Sequence[dict[int, float]]) -> list[dict[int, float]]:
    base: dict[int, float] = {}
    found = []
    for points in drawn:
        base = {time: base.get(time, 0) + value for time, value in points.items()}
        found.append(base)
    return found


def _clock(time: float) -> str:
    minutes = int(time) // 60 % 1440
    return f"{minutes // 60:02}:{minutes % 60:02}"


def timeline(panel: Json, lines: Sequence[Line], width: int, height: int, period: Any) -> str:
    """States over time, a bar for each series."""
    mapping = _mapping(panel)
    left, top = 170, 4
    each = min(34, (height - 60) // max(1, len(lines)))
    parts = []
    for row, (name, points) in enumerate(lines):
        y = top + row * each
        parts.append(f'<text x="{left - 6}" y="{y + each / 2 + 4}" text-anchor="end">')
        parts.append(f"{html.escape(name[:26])}</text>")
        times = sorted(points)
        step = (width - left) / max(1, len(times))
        for index, time in enumerate(times):
            colour = mapping.get(f"{points[time]:.0f}", {}).get("color", "green")
            parts.append(
                f'<rect x="{left + index * step:.1f}" y="{y}" width="{step + 0.6:.1f}" '
                f'height="{each - 4}" fill="{COLOURS.get(colour, colour)}" opacity="0.8"/>'
            )
    return f'<svg width="{width}" height="{height - 40}">{"".join(parts)}</svg>'


def table(panel: Json, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], most: int) -> str:
    """A table with a row for each guest. Columns of numbers are aligned at the right."""
    default = panel["fieldConfig"]["defaults"]["unit"]
    units = {
        override["matcher"]["options"]: each["value"]
        for override in panel["fieldConfig"]["overrides"]
        for each in override["properties"]
        if each["id"] == "unit"
    }
    drawn = []
    for name in columns:
        words = _mapping(panel, name)
        values = [row.get(name, "") for row in rows[:most]]
        right = any(isinstance(v, float) and f"{v:.0f}" not in words for v in values)
        css = ' class="n"' if right else ""
        cells = [f"<th{css}>{html.escape(name)}</th>"]
        for value in values:
            link = ' class="link"' if name == "guest" else css
            colour, text = "inherit", str(value)
            if isinstance(value, float):
                word = words.get(f"{value:.0f}", {})
                text = word.get("text") or shown(value, units.get(name, default))
                if word:
                    colour = word.get("color", colour)
                elif len(columns) == 3:
                    colour = colour_of(value, panel)
            colour = COLOURS.get(colour, colour)
            style = "" if colour == "inherit" else f' style="color:{colour}"'
            cells.append(f"<td{link}{style}>{html.escape(text)}</td>")
        drawn.append(cells)
    lines = "".join(f"<tr>{''.join(line)}</tr>" for line in zip(*drawn))
    return f"<table>{lines}</table>"

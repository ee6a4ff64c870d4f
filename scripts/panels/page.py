"""A page that draws a dashboard's JSON and the answers to its queries, for pictures in the docs.

It resembles Grafana only as far as a picture needs; ``drawing`` draws the panels.
"""

from __future__ import annotations

import html
from collections.abc import Callable

from .appearance import Json

WIDTH, ROW, GAP = 1600, 30, 8
STYLE = """
body { margin: 0; background: #f4f5f5; color: #24292e; font: 13px 'DejaVu Sans', sans-serif; }
.panel, .row, h1, .note { position: absolute; box-sizing: border-box; overflow: hidden; }
.panel { background: #fff; border: 1px solid #d8dbde; border-radius: 2px; padding: 6px 8px; }
.panel h2 { font-size: 13px; margin: 0 0 4px; font-weight: 600; }
.row { font-size: 15px; font-weight: 600; padding: 6px 4px; }
h1 { font-size: 19px; margin: 0; left: 12px; top: 12px; }
.note { right: 12px; top: 16px; color: #6a737d; }
.stats { display: flex; justify-content: space-around; align-items: center; height: 76%; }
.stats div { text-align: center; } .stats b { display: block; font-size: 25px; font-weight: 500; }
table { border-collapse: collapse; width: 100%; font-size: 12px; }
th { text-align: left; color: #3274d9; font-weight: 600; }
td, th { padding: 2px 6px; border-bottom: 1px solid #eceeef; white-space: nowrap; }
td.n, th.n { text-align: right; } td.link { color: #1f60c4; }
.legend td { border: 0; padding: 0 6px; line-height: 15px; }
svg text { font-size: 11px; fill: #6a737d; }
"""


def page(dashboard: Json, note: str, draw: Callable[[Json, int, int], str]) -> tuple[str, int]:
    """The HTML of a dashboard and its height; ``draw`` gives the inside of a panel."""
    parts, bottom = [], 0
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        left = GAP + place["x"] * (WIDTH - GAP) // 24
        width = place["w"] * (WIDTH - GAP) // 24 - GAP
        top = 48 + place["y"] * (ROW + GAP)
        height = place["h"] * (ROW + GAP) - GAP
        bottom = max(bottom, top + height)
        box = f'style="left:{left}px;top:{top}px;width:{width}px;height:{height}px"'
        title = html.escape(panel["title"])
        if panel["type"] == "row":
            parts.append(f'<div class="row" {box}>▾ {title}</div>')
        else:
            inside = draw(panel, width - 18, height)
            parts.append(f'<div class="panel" {box}><h2>{title}</h2>{inside}</div>')
    head = f"<h1>{html.escape(dashboard['title'])}</h1><div class='note'>{html.escape(note)}</div>"
    text = f"<!doctype html><meta charset='utf-8'><style>{STYLE}</style>{head}{''.join(parts)}"
    return text, bottom + GAP

"""The pictures of the documentation show what the queries answer."""

import re

import pytest

from support.documents import ROOT, load_script
from support.fleet_lines import lines
from support.grafana import Period, Source, load

render = load_script("render_dashboards")

#: What follows from the example fleet, in each picture.
SHOWN = {
    "fleet": r"running<b[^>]*>2\d<",
    "limits": r"<td[^>]*>build-4</td><td[^>]*>[\d.]+ %</td><td[^>]*>90 %</td>.*>no limit<",
    "guest": r">running</b>",
}


@pytest.mark.parametrize("name", render.PICTURES)
def test_drawing(victoria_metrics, monkeypatch, name):
    """Each panel above the end of the picture is drawn, with its numbers. The picture is a PNG of
    the page's width."""
    victoria_metrics.fill(lines(render.FLEET, render.END - 300, render.END, render.STEP))
    monkeypatch.setattr(render, "PERIOD", Period(render.END - 120, render.END))
    text, height = render.document(Source(victoria_metrics), name)
    picture = render.PICTURES[name]
    panels = picture.panels(load(picture.dashboard, "promql"))
    shown = [panel["title"] for panel in panels if panel["type"] != "row"]
    assert re.findall(r"<h2>(.+?)</h2>", text) == shown
    assert "not by Grafana" in text
    assert re.search(SHOWN[name], text)
    assert 300 < height < 3000
    image = (ROOT / "docs" / "images" / f"{name}.png").read_bytes()
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(image[16:20], "big") == 1600

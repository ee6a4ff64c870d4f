"""The pictures of the documentation show what the queries answer."""

import re

import pytest

from support.documents import ROOT, load_script
from support.fleet_lines import lines
from support.grafana import Period, Source, load

render = load_script("render_dashboards")


@pytest.mark.parametrize("name", render.PICTURES)
def test_drawing(victoria_metrics, monkeypatch, name):
    """Each panel above the end of the picture is drawn, with its numbers. The picture is a PNG of
    the page's width."""
    victoria_metrics.fill(lines(render.FLEET, render.END - 300, render.END, render.STEP))
    monkeypatch.setattr(render, "PERIOD", Period(render.END - 120, render.END))
    text, height = render.document(Source(victoria_metrics), name)
    everything = load(name, "promql")["panels"]
    end = [panel["title"] for panel in everything].index(render.PICTURES[name][1])
    shown = [panel["title"] for panel in everything[:end] if panel["type"] != "row"]
    assert re.findall(r"<h2>(.+?)</h2>", text) == shown
    assert "not by Grafana" in text
    assert re.search(r"running<b[^>]*>2\d<" if name == "fleet" else r">running</b>", text)
    assert 500 < height < 3000
    image = (ROOT / "docs" / "images" / f"{name}.png").read_bytes()
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(image[16:20], "big") == 1600

"""Draw the dashboards with an example fleet into docs/images; `make pictures` runs this script.

A VictoriaMetrics on loopback gets an hour of the plugin's lines, each panel's queries are asked as
Grafana asks them, and headless Chromium takes the pictures. They show this project's own drawing
of the JSON, not Grafana's.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from demo_fleet import END, FLEET, START, STEP
from panels import drawing, page
from support.databases import VictoriaMetrics, start_victoria_metrics
from support.fleet_lines import lines
from support.grafana import Json, Period, Series, Source, Values, legend, load
from support.missing import Missing
from support.process import Workspace

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
PERIOD = Period(END - 3600, END)
NOTE = "example data, drawn by scripts/render_dashboards.py, not by Grafana"
EVERYTHING: Values = {"host": ".*", "project": ".*", "domain": ".*"}

#: The pictures: dashboard, chosen variables, and the first row that is left out.
PICTURES = {
    "fleet": (EVERYTHING, "Inventory"),
    "guest": ({**EVERYTHING, "domain": "db-2"}, "Jobs and events, where they are collected"),
}


def _draw(source: Source, chosen: Values, panel: Json, width: int, height: int) -> str:
    answers = [(target, source.ask(panel, target, chosen, PERIOD)) for target in panel["targets"]]
    if panel["type"] == "table":
        return _table(panel, answers, height)
    lines = [(legend(t, series), series.points) for t, found in answers for series in found]
    if panel["type"] == "stat":
        return drawing.stat(panel, lines)
    lines.sort(key=lambda line: line[0])
    if panel["type"] == "state-timeline":
        return drawing.timeline(panel, lines, width, height, PERIOD)
    return drawing.graph(panel, lines, width, height, PERIOD)


def _table(panel: Json, answers: list[tuple[Any, list[Series]]], height: int) -> str:
    (organize,) = (t["options"] for t in panel["transformations"] if t["id"] == "organize")
    names = organize["renameByName"]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    columns = ["host", "guest"]
    for target, found in answers:
        raw = f"Value #{target['refId']}" if len(answers) > 1 else "Value"
        column = names[raw]
        if raw not in organize["excludeByName"]:
            columns.append(column)
        for series in found:
            key = (series.labels["host"], series.labels["domain_name"])
            row = rows.setdefault(key, {"host": key[0], "guest": key[1]})
            row[column] = series.last
    last = columns[-1]
    ordered = sorted(rows.values(), key=lambda row: -row.get(last, 0))
    return drawing.table(panel, ordered, columns, (height - 50) // 21)


def document(source: Source, name: str) -> tuple[str, int]:
    """The HTML of one dashboard, and its height."""
    chosen, end = PICTURES[name]
    dashboard = load(name, source.language)
    titles = [panel["title"] for panel in dashboard["panels"]]
    dashboard["panels"] = dashboard["panels"][: titles.index(end)]
    return page.page(dashboard, NOTE, lambda panel, w, h: _draw(source, chosen, panel, w, h))


def picture(workspace: Workspace, chromium: str, source: Source, name: str) -> Path:
    """Draw one dashboard; return the path of the picture."""
    text, height = document(source, name)
    drawing, image = workspace.folder / f"{name}.html", IMAGES / f"{name}.png"
    drawing.write_text(text, "utf-8")
    image.parent.mkdir(exist_ok=True)
    command = [
        chromium,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={workspace.folder}/chromium",
        f"--window-size={page.WIDTH},{height}",
        f"--screenshot={workspace.folder}/{name}.png",
        drawing.as_uri(),
    ]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    shutil.copyfile(workspace.folder / f"{name}.png", image)
    return image


def main() -> int:
    """Draw all pictures; return the exit status."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("chromium is not installed (Debian's package chromium)", file=sys.stderr)
        return 1
    with Workspace("pictures") as workspace:
        try:
            database = VictoriaMetrics(start_victoria_metrics(workspace))
        except Missing as missing:
            print(f"needs {missing}", file=sys.stderr)
            return 1
        database.fill(lines(FLEET, START, END, STEP))
        for name in PICTURES:
            print(picture(workspace, chromium, Source(database), name).relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())

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
from typing import Any, NamedTuple

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


class Picture(NamedTuple):
    """A part of a dashboard with chosen variables: from its first row to the row ``end``, which is
    left out."""

    dashboard: str
    chosen: Values
    first: str
    end: str

    def panels(self, dashboard: Json) -> list[Json]:
        """The panels of the part, at their places in the picture."""
        panels = dashboard["panels"]
        titles = [panel["title"] for panel in panels]
        shown = panels[titles.index(self.first) : titles.index(self.end)]
        top = shown[0]["gridPos"]["y"]
        return [{**p, "gridPos": {**p["gridPos"], "y": p["gridPos"]["y"] - top}} for p in shown]


_LIMITS, _JOBS = (f"{what}, where they are collected" for what in ("Limits", "Jobs and events"))
PICTURES = {
    "fleet": Picture("fleet", EVERYTHING, "Guests", "Inventory"),
    "limits": Picture(
        "fleet", EVERYTHING, _LIMITS, "Addresses and systems, where they are collected"
    ),
    "guest": Picture("guest", {**EVERYTHING, "domain": "db-2"}, "Now", _JOBS),
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
    """Rows as Grafana's transformations make them: values of the same tags are merged."""
    steps = {each["id"]: each["options"] for each in panel["transformations"]}
    names, hidden = steps["organize"]["renameByName"], steps["organize"]["excludeByName"]
    rows: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    tags, columns = dict.fromkeys(("host", "guest")), []
    for target, found in answers:
        raw = f"Value #{target['refId']}" if len(answers) > 1 else "Value"
        columns += [] if raw in hidden else [names[raw]]
        for series in found:
            labels = {names.get(name, name): text for name, text in series.labels.items()}
            tags.update(dict.fromkeys(labels))
            row = rows.setdefault(tuple(sorted(labels.items())), {**labels})
            row[names[raw]] = series.last
    chosen = list(rows.values())
    for step in panel["transformations"]:
        if step["id"] == "calculateField":
            part, whole = step["options"]["binary"]["left"], step["options"]["binary"]["right"]
            columns.append(step["options"]["alias"])
            for row in chosen:
                if part in row and row.get(whole):
                    row[columns[-1]] = row[part] / row[whole]
        elif step["id"] == "filterByValue":
            fields = [each["fieldName"] for each in step["options"]["filters"]]
            chosen = [row for row in chosen if any(row.get(name, 0) > 0 for name in fields)]
    if panel["options"]["sortBy"][0]["desc"]:
        chosen.sort(key=lambda row: -row.get(columns[-1], 0))
    else:
        chosen.sort(key=lambda row: row["guest"])
    return drawing.table(panel, chosen, [*tags, *columns], (height - 50) // 21)


def document(source: Source, name: str) -> tuple[str, int]:
    """The HTML of one picture, and its height."""
    picture = PICTURES[name]
    dashboard = load(picture.dashboard, source.language)
    dashboard["panels"] = picture.panels(dashboard)
    return page.page(dashboard, NOTE, lambda p, w, h: _draw(source, picture.chosen, p, w, h))


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

"""Grafana's JSON of a dashboard, in one of the languages.

Invariant: nothing has to be edited after the import; the data source is a variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .appearance import Json, defaults, options, overrides, transformations
from .model import Dashboard, Panel, Target, Variable
from .queries import FRESH

SOURCES = {"influxql": "influxdb", "promql": "prometheus"}

#: Shortest step of a graph and of the rates in a table: at least Telegraf's interval.
SHORTEST_STEP = "30s"


def dashboard(which: Dashboard, language: str) -> Json:
    """The document to import."""
    return {
        "annotations": {"list": []},
        "description": which.description,
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [_link_to_others(language)],
        "panels": _panels(which, language),
        "refresh": "30s",
        "schemaVersion": 39,
        "tags": ["libvirt", language],
        "templating": {
            "list": [
                _source_variable(language),
                *(_variable(variable, language) for variable in which.variables),
            ]
        },
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "timezone": "",
        "title": f"{which.title} ({'InfluxQL' if language == 'influxql' else 'PromQL'})",
        "uid": f"libvirt-{which.name}-{language}",
        "version": 1,
        "weekStart": "",
    }


def _source(language: str) -> Json:
    return {"type": SOURCES[language], "uid": "${datasource}"}


def _link_to_others(language: str) -> Json:
    return {
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": ["libvirt", language],
        "targetBlank": False,
        "title": "libvirt",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    }


def _source_variable(language: str) -> Json:
    return {
        "current": {},
        "description": "where Telegraf's metrics are",
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": SOURCES[language],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "type": "datasource",
    }


def _variable(variable: Variable, language: str) -> Json:
    query = variable.influxql if language == "influxql" else variable.promql
    every = {"allValue": ".*"} if variable.everything else {}
    chosen = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return {
        **every,
        "current": chosen if variable.everything else {},
        "datasource": _source(language),
        "definition": query,
        "description": variable.description,
        "hide": 0,
        "includeAll": variable.everything,
        "label": variable.label,
        "multi": True,
        "name": variable.name,
        "options": [],
        "query": query,
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 7,
        "type": "query",
    }


def _panels(which: Dashboard, language: str) -> list[Json]:
    found: list[Json] = []
    top = 0
    for row in which.rows:
        position = {"h": 1, "w": 24, "x": 0, "y": top}
        found.append(
            {
                "collapsed": False,
                "gridPos": position,
                "id": len(found) + 1,
                "panels": [],
                "title": row.title,
                "type": "row",
            }
        )
        top += 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > 24:
                top, left, height = top + height, 0, 0
            position = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            found.append(_panel(panel, language, len(found) + 1, position))
            left, height = left + panel.width, max(height, panel.height)
        top += height
    return found


def _panel(panel: Panel, language: str, number: int, position: Json) -> Json:
    made: Json = {
        "datasource": _source(language),
        "description": panel.description,
        "fieldConfig": {"defaults": defaults(panel), "overrides": overrides(panel, language)},
        "gridPos": position,
        "id": number,
        "options": options(panel),
        "targets": list(_targets(panel, language)),
        "title": panel.title,
        "transformations": transformations(panel, language),
        "type": panel.kind,
    }
    if panel.kind in ("timeseries", "state-timeline") or "$__interval" in str(made["targets"]):
        made["interval"] = (panel.step if language == "influxql" else "") or SHORTEST_STEP
    if panel.range or (panel.fresh and language == "influxql"):
        made["timeFrom"] = panel.range or FRESH
    return made


def _targets(panel: Panel, language: str) -> Iterable[Json]:
    letters = iter("ABCDEFGHIJ")
    for target in panel.targets:
        query = target.influxql if language == "influxql" else target.promql
        if query:
            yield _target(target, panel, language, query, next(letters))


def _target(target: Target, panel: Panel, language: str, query: str, letter: str) -> Json:
    table = panel.kind == "table"
    shape = "table" if table else "time_series"
    common: Json = {"datasource": _source(language), "refId": letter}
    if language == "influxql":
        alias = re.sub(r"\{(\w+)\}", r"[[tag_\1]]", target.legend)
        named = {"alias": alias} if alias and not table else {}
        return {**common, **named, "query": query, "rawQuery": True, "resultFormat": shape}
    instant = table or target.fresh
    return {
        **common,
        "editorMode": "code",
        "expr": query,
        "format": shape,
        "instant": instant,
        "legendFormat": re.sub(r"\{(\w+)\}", r"{{\1}}", target.legend) or "__auto",
        "range": not instant,
    }

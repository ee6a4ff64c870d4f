"""Grafana's JSON of a dashboard, in one of the languages.

Invariant: nothing has to be edited after the import; the data source is a variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from .model import GREEN, RED, YELLOW, Dashboard, Panel, Target, Variable
from .queries import FRESH

Json = dict[str, Any]

SOURCES = {"influxql": "influxdb", "promql": "prometheus"}

#: Shortest step of a graph: at least Telegraf's interval.
SHORTEST_STEP = "30s"

_TIME_COLUMNS = ("Time", "time")


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
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel, language)},
        "gridPos": position,
        "id": number,
        "options": _options(panel),
        "targets": list(_targets(panel, language)),
        "title": panel.title,
        "transformations": _transformations(panel, language),
        "type": panel.kind,
    }
    if panel.kind in ("timeseries", "state-timeline"):
        made["interval"] = SHORTEST_STEP
    if panel.fresh and language == "influxql":
        made["timeFrom"] = FRESH
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


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": GREEN, "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in panel.thresholds]
    defaults: Json = {
        "color": {"mode": "thresholds"},
        "custom": {},
        "mappings": _mappings(panel),
        "thresholds": {"mode": "absolute", "steps": steps},
        "unit": panel.unit,
    }
    if panel.minimum is not None and panel.kind == "timeseries":
        defaults["min"] = panel.minimum
    for name, value in (
        ("max", panel.maximum),
        ("decimals", panel.decimals),
        ("noValue", panel.no_value or None),
    ):
        if value is not None:
            defaults[name] = value
    if panel.kind == "timeseries":
        defaults["color"] = {"mode": "palette-classic-by-name"}
        defaults["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 30 if panel.stacked else 8,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "dashed" if panel.thresholds else "off"},
        }
    elif panel.kind == "state-timeline":
        defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0}
    elif panel.kind == "table":
        defaults["custom"] = {"align": "auto", "filterable": True}
    return defaults


def _mappings(panel: Panel) -> list[Json]:
    if not panel.mappings or panel.kind == "table":
        return []
    return [_value_mapping(panel)]


def _value_mapping(panel: Panel) -> Json:
    options = {
        str(value): {"color": colour, "index": index, "text": text}
        for index, (value, (text, colour)) in enumerate(panel.mappings.items())
    }
    return {"options": options, "type": "value"}


def _override(name: str, **properties: Any) -> Json:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [
            {"id": key.replace("__", "."), "value": value} for key, value in properties.items()
        ],
    }


def _overrides(panel: Panel, language: str) -> list[Json]:
    found = [_coloured(panel, name, colour) for name, colour in panel.colours.items()]
    if panel.kind != "table":
        return found
    guest = {"title": "Open the dashboard of this guest", "url": _guest_url(language)}
    found.append(_override("guest", links=[guest]))
    found += [_override(name, unit=unit) for name, unit in panel.units.items()]
    if panel.mappings:
        coloured = {"type": "color-text"}
        found.append(
            _override("state", mappings=[_value_mapping(panel)], custom__cellOptions=coloured)
        )
    elif panel.thresholds:
        gauge = {"mode": "basic", "type": "gauge"}
        found += [_override(target.column, custom__cellOptions=gauge) for target in panel.targets]
    return found


def _coloured(panel: Panel, name: str, colour: str) -> Json:
    """A series in its colour; a count of what is wrong only if it is not 0."""
    if panel.kind == "stat" and colour in (RED, YELLOW):
        steps = [{"color": GREEN, "value": None}, {"color": colour, "value": 1}]
        return _override(name, thresholds={"mode": "absolute", "steps": steps})
    return _override(name, color={"fixedColor": colour, "mode": "fixed"})


def _guest_url(language: str) -> str:
    return (
        f"/d/libvirt-guest-{language}?${{datasource:queryparam}}"
        "&var-host=${__data.fields.host:percentencode}"
        "&var-domain=${__value.raw:percentencode}&${__url_time_range}"
    )


def _options(panel: Panel) -> Json:
    last: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "stat":
        return {
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": last,
            "textMode": "value_and_name" if len(panel.targets) > 1 else "auto",
        }
    if panel.kind == "state-timeline":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
            "mergeValues": True,
            "rowHeight": 0.9,
            "showValue": "auto",
            "tooltip": {"mode": "single", "sort": "none"},
        }
    if panel.kind == "table":
        return {"cellHeight": "sm", "showHeader": True, "sortBy": _order(panel)}
    return {
        "legend": {
            "calcs": ["lastNotNull", "max"],
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _order(panel: Panel) -> list[Json]:
    if len(panel.targets) == 1 and not panel.fresh:
        return [{"desc": True, "displayName": panel.targets[0].column}]
    return [{"desc": False, "displayName": "guest"}]


def _transformations(panel: Panel, language: str) -> list[Json]:
    if panel.kind != "table":
        return []
    several = len(panel.targets) > 1 and language == "promql"
    names = {"domain_name": "guest", "project_name": "project", "instance_name": "instance"}
    if language == "promql":
        columns: Sequence[str] = [target.column for target in panel.targets]
        letters = "ABCDEFGHIJ"
        for letter, column in zip(letters, columns):
            names[f"Value #{letter}" if several else "Value"] = column
    hidden = dict.fromkeys((*_TIME_COLUMNS, *_raw(panel.hidden, names)), True)
    organize = {"excludeByName": hidden, "indexByName": {}, "renameByName": names}
    merge: list[Json] = [{"id": "merge", "options": {}}] if several else []
    return [*merge, {"id": "organize", "options": organize}]


def _raw(columns: Iterable[str], names: dict[str, str]) -> Iterable[str]:
    """The names of columns before they are renamed."""
    raw = {shown: name for name, shown in names.items()}
    return (raw.get(column, column) for column in columns)

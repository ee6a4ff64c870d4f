"""How a panel looks: units, colours, thresholds, legends, links and columns, as Grafana's JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .model import GREEN, RED, YELLOW, Panel, Words

Json = dict[str, Any]

_TIME_COLUMNS = ("Time", "time")


def defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": GREEN, "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in panel.thresholds]
    made: Json = {
        "color": {"mode": "thresholds"},
        "custom": {},
        "mappings": _mappings(panel),
        "thresholds": {"mode": "absolute", "steps": steps},
        "unit": panel.unit,
    }
    if panel.minimum is not None and panel.kind == "timeseries":
        made["min"] = panel.minimum
    for name, value in (
        ("max", panel.maximum),
        ("decimals", panel.decimals),
        ("noValue", panel.no_value or None),
    ):
        if value is not None:
            made[name] = value
    if panel.kind == "timeseries":
        made["color"] = {"mode": "palette-classic-by-name"}
        made["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 30 if panel.stacked else 8,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "dashed" if panel.thresholds else "off"},
        }
    elif panel.kind == "state-timeline":
        made["custom"] = {"fillOpacity": 80, "lineWidth": 0}
    elif panel.kind == "table":
        made["custom"] = {"align": "auto", "filterable": True}
    return made


def _mappings(panel: Panel) -> list[Json]:
    return [_value_mapping(panel.mappings)] if panel.mappings else []


def _value_mapping(words: Words) -> Json:
    options = {
        str(value): {"color": colour, "index": index, "text": text}
        for index, (value, (text, colour)) in enumerate(words.items())
    }
    return {"options": options, "type": "value"}


def _override(name: str, **properties: Any) -> Json:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [
            {"id": key.replace("__", "."), "value": value} for key, value in properties.items()
        ],
    }


def overrides(panel: Panel, language: str) -> list[Json]:
    found = [_coloured(panel, name, colour) for name, colour in panel.colours.items()]
    if panel.kind != "table":
        return found
    guest = {"title": "Open the dashboard of this guest", "url": _guest_url(language)}
    found.append(_override("guest", links=[guest]))
    found += [_override(name, unit=unit) for name, unit in panel.units.items()]
    coloured = {"type": "color-text"}
    found += [
        _override(name, mappings=[_value_mapping(words)], custom__cellOptions=coloured)
        for name, words in panel.words.items()
    ]
    if panel.thresholds and not panel.words:
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


def options(panel: Panel) -> Json:
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


def transformations(panel: Panel, language: str) -> list[Json]:
    if panel.kind != "table":
        return []
    queries = [target for target in panel.targets if getattr(target, language)]
    several = len(queries) > 1
    names = {"domain_name": "guest", "project_name": "project", "instance_name": "instance"}
    if language == "promql":
        columns: Sequence[str] = [target.column for target in queries]
        letters = "ABCDEFGHIJ"
        for letter, column in zip(letters, columns):
            names[f"Value #{letter}" if several else "Value"] = column
    hidden = dict.fromkeys((*_TIME_COLUMNS, *_raw(panel.hidden, names)), True)
    organize = {"excludeByName": hidden, "indexByName": {}, "renameByName": names}
    # Rows are merged if all their other columns are equal, so without the time.
    times = {"exclude": {"names": [*_TIME_COLUMNS]}}
    merge: list[Json] = [
        {"id": "filterFieldsByName", "options": times},
        {"id": "merge", "options": {}},
    ]
    made = [*(merge if several else ()), {"id": "organize", "options": organize}]
    return [*made, *_shares(panel)]


def _shares(panel: Panel) -> Iterable[Json]:
    """The columns that Grafana computes, and the filter of rows."""
    for name, part, whole in panel.shares:
        binary = {"left": part, "operator": "/", "right": whole}
        yield {
            "id": "calculateField",
            "options": {"alias": name, "binary": binary, "mode": "binary", "replaceFields": False},
        }
    if panel.nonzero:
        above = {"id": "greater", "options": {"value": 0}}
        filters = [{"config": above, "fieldName": name} for name in panel.nonzero]
        options = {"filters": filters, "match": "any", "type": "include"}
        yield {"id": "filterByValue", "options": options}


def _raw(columns: Iterable[str], names: dict[str, str]) -> Iterable[str]:
    """The names of columns before they are renamed."""
    raw = {shown: name for name, shown in names.items()}
    return (raw.get(column, column) for column in columns)

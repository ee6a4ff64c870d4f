"""What Grafana does with a dashboard: substitute variables, ask the data source, read the answer.

The rule: nothing here knows a panel; a query is taken from the dashboard's JSON as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Union

from support.databases import InfluxDB, Prometheus
from support.documents import ROOT

FOLDER = ROOT / "dashboards"
STEP = 30
UNITS = {"s": 1, "m": 60, "h": 3600}
RATE_INTERVAL = "2m"

Json = dict[str, Any]
Values = Mapping[str, Union[str, Sequence[str]]]

#: Columns of a table that are tags.
TAGS = ("host", "domain_name", "project_name", "instance_name", "uuid")

LANGUAGES = ("influxql", "promql")
BOARDS = tuple((name, language) for name in ("fleet", "guest") for language in LANGUAGES)

NOTHING: Values = {}
#: No choice.
ALL: Values = {"host": ".*", "domain": ".*", "project": ".*"}


class Series(NamedTuple):
    """Points of one series, by time in seconds; ``column`` is the name of its values."""

    labels: dict[str, str]
    column: str
    points: dict[int, Any]

    @property
    def last(self) -> Any:
        """The latest value."""
        return self.points[max(self.points)]


class Period(NamedTuple):
    """The range of a dashboard, in seconds."""

    start: int
    end: int


def load(name: str, language: str) -> Json:
    """A dashboard as it is shipped."""
    document: Json = json.loads((FOLDER / f"{name}-{language}.json").read_text("utf-8"))
    return document


def panels(dashboard: Json) -> Iterator[Json]:
    """The panels with queries."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


def query_of(target: Json) -> str:
    """The query of a target, in either language."""
    text: str = target["query"] if "query" in target else target["expr"]
    return text


def variables(dashboard: Json) -> list[Json]:
    """The variables with queries."""
    return [v for v in dashboard["templating"]["list"] if v["type"] == "query"]


def regex(value: Union[str, Sequence[str]]) -> str:
    """The chosen values of a variable in the format ``regex``."""
    if value == ".*":  # the dashboard's own text for All, which Grafana does not escape
        return ".*"
    if not isinstance(value, str) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", value)
    return f"({'|'.join(map(regex, value))})"


def seconds(duration: str) -> int:
    """A duration such as 5m."""
    return int(duration[:-1]) * UNITS[duration[-1]]


def substitute(query: str, values: Values, period: Period, interval: int = STEP) -> str:
    """The query with all variables replaced; fails if one is left, or leaves its format to the data
    source."""
    known = {
        "timeFilter": f"time >= {period.start}000ms and time <= {period.end}000ms",
        "__interval": f"{interval}s",
        "__rate_interval": RATE_INTERVAL,
        "__range": f"{period.end - period.start}s",
        **{f"{{{name}:regex}}": regex(value) for name, value in values.items()},
    }

    def replace(match: re.Match[str]) -> str:
        assert match[1] in known, f"{match[0]} in {query}"
        return known[match[1]]

    variable = r"\$(\w+|\{[^}]*\})"
    plain = re.sub(variable, "", query)
    assert not re.search(r"\$(?!/)", plain), f"$ in {query}"
    return re.sub(variable, replace, query)


def step_of(panel: Json) -> int:
    """The step of a panel in a short range: its shortest one."""
    step = seconds(panel["interval"]) if "interval" in panel else 0
    assert "$__interval" not in json.dumps(panel["targets"]) or step >= STEP, panel["title"]
    return step or STEP


class Source:
    """A data source in one language."""

    def __init__(self, database: InfluxDB | Prometheus) -> None:
        self.database = database
        self.language = "influxql" if isinstance(database, InfluxDB) else "promql"

    def values(self, variable: Json, chosen: Values, period: Period) -> list[str]:
        """The values of a variable."""
        query = substitute(variable["query"], chosen, period)
        if isinstance(self.database, InfluxDB):
            found = self.database.query(query).get("series", [])
            return sorted({row[1] for series in found for row in series["values"]})
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert match, query
        return sorted(self.database.label_values(match[2], match[1], *period))

    def ask(self, panel: Json, target: Json, chosen: Values, period: Period) -> list[Series]:
        """The answer to one query of a panel."""
        if panel.get("timeFrom"):
            period = Period(period.end - seconds(panel["timeFrom"]), period.end)
        text = query_of(target)
        if isinstance(self.database, InfluxDB):
            assert target["rawQuery"] is True
            return self.select(text, period, chosen, step_of(panel))
        query = substitute(text, chosen, period, step_of(panel))
        if target["instant"]:
            return list(_of_prometheus(self.database.instant(query, period.end)))
        return list(_of_prometheus(self.database.range(query, *period, STEP)))

    def select(
        self, query: str, period: Period, chosen: Values = NOTHING, interval: int = STEP
    ) -> list[Series]:
        """The answer to a query in InfluxQL."""
        assert isinstance(self.database, InfluxDB)
        text = substitute(query, chosen, period, interval)
        return list(_of_influxdb(self.database.query(text)))


def _of_influxdb(result: Json) -> Iterator[Series]:
    for series in result.get("series", []):
        columns = series["columns"][1:]
        tags = {name: value for name, value in series.get("tags", {}).items() if value}
        found: dict[tuple[Any, ...], Series] = {}
        for nanoseconds, *row in series["values"]:
            cells = dict(zip(columns, row))
            own = {name: cells.pop(name) for name in TAGS if "tags" not in series and name in cells}
            for column, value in cells.items():
                if value is not None:
                    labels = {**tags, **own}
                    key = (column, *labels.items())
                    each = found.setdefault(key, Series(labels, column, {}))
                    each.points[nanoseconds // 10**9] = value
        yield from found.values()


def _of_prometheus(result: list[Json]) -> Iterator[Series]:
    for series in result:
        labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
        values = series["values"] if "values" in series else [series["value"]]
        yield Series(labels, "", {int(time): float(value) for time, value in values})


def legend_labels(target: Json) -> list[str]:
    """The labels of which the legend has the values."""
    return re.findall(r"\{(\w+)\}", _legend(target))


def legend(target: Json, series: Series) -> str:
    """The name of a series in the legend."""
    known = {name: series.labels.get(name, "") for name in legend_labels(target)}
    return " ".join(_legend(target).format_map(known).split())


def _legend(target: Json) -> str:
    """The pattern of the legend, with each label in braces."""
    pattern = target.get("alias") or target.get("legendFormat", "")
    return re.sub(r"\[\[tag_(\w+)\]\]|\{\{(\w+)\}\}", r"{\1\2}", pattern)

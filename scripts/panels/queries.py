"""Queries for values in both languages, made from the same names of measurements, fields and tags.

InfluxQL: only the outermost SELECT has the time filter; InfluxDB applies it to inner ones, too.
PromQL: present values are those that were written in the last two minutes. A changed tag starts a
new series while the old one is still present, so values are made one before they are added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .model import Target

#: Time in which sources that are read every few minutes have written.
LATELY = "15m"

#: Age from which on a value is no longer the present one; Telegraf's interval must be below half.
FRESH = "2m"

GUEST = ("host", "domain_name")
VCPU = (*GUEST, "vcpu_id")
DISK = (*GUEST, "block_id", "device")
NIC = (*GUEST, "interface_id")
NODE = ("host", "libvirt_uri")


class Scope(NamedTuple):
    """Which series a query reads."""

    influxql: str
    promql: str


def chosen(variable: str, language: str) -> str:
    """A regular expression for the values that are chosen in a variable.

    The format ``regex`` does not leave the escaping to Grafana's data sources: these differ between
    versions, and that of Prometheus fails for a name with a double quote.
    """
    text = f"${{{variable}:regex}}"
    return f"/^{text}$/" if language == "influxql" else f"`{text}`"


def scope(*pairs: tuple[str, str]) -> Scope:
    """The series whose tag matches the variable, for each pair of both."""
    return Scope(
        " AND ".join(f'"{tag}" =~ {chosen(name, "influxql")}' for tag, name in pairs),
        "{" + ",".join(f"{tag}=~{chosen(name, 'promql')}" for tag, name in pairs) + "}",
    )


HOSTS = scope(("host", "host"))
GUESTS = scope(("host", "host"), ("domain_name", "domain"), ("project_name", "project"))
ONE_GUEST = scope(("host", "host"), ("domain_name", "domain"))
PROJECTS = scope(("host", "host"), ("project_name", "project"))


def quoted(tags: Sequence[str]) -> str:
    """Tags for GROUP BY."""
    return ", ".join(f'"{tag}"' for tag in tags)


def by_tags(function: str, tags: Sequence[str]) -> str:
    """An aggregation of PromQL by these tags."""
    return f"{function} by ({', '.join(tags)})" if tags else function


def one_of_each(tags: Sequence[str], values: str) -> str:
    """In PromQL, one value for these tags, also where another tag has just changed."""
    return f"{by_tags('max', tags)} ({values})"


def over_time(tags: Sequence[str]) -> str:
    """The end of a query over time, in InfluxQL."""
    return f"$timeFilter GROUP BY time($__interval), {quoted(tags)} fill(none)"


def gauge(
    which: Scope, measurement: str, name: str, by: Sequence[str], legend: str, window: str = ""
) -> Target:
    """A value over time. ``window``: it is written less often than the others, so that in PromQL
    the last value of this time counts."""
    series = f"{measurement}_{name}{which.promql}"
    if window:
        series = f"last_over_time({series}[{window}])"
    return Target(
        f'SELECT last("{name}") FROM "{measurement}" WHERE {which.influxql} AND {over_time(by)}',
        f"{by_tags('max', by)} ({series})",
        legend,
    )


def ratio(
    which: Scope,
    measurement: str,
    part: str,
    whole: str,
    by: Sequence[str],
    legend: str,
    factor: str,
) -> Target:
    """One value as a multiple of another of the same line, where that is not 0."""
    one, other = (
        f"{by_tags('max', by)} ({measurement}_{name}{which.promql})" for name in (part, whole)
    )
    return Target(
        f'SELECT {factor} * last("{part}") / last("{whole}") FROM "{measurement}" '
        f'WHERE {which.influxql} AND "{whole}" > 0 AND {over_time(by)}',
        f"{factor} * {one} / ({other} > 0)",
        legend,
    )


def limit(
    which: Scope,
    measurement: str,
    name: str,
    by: Sequence[str],
    legend: str,
    factor: str = "1",
    period: str = "",
) -> Target:
    """A limit over time, where there is one; 0 is none. A quota is a multiple of its period."""
    value, whole = (
        f"{by_tags('max', by)} (last_over_time({measurement}_{field}{which.promql}[{LATELY}]))"
        for field in (name, period)
    )
    each = f' / last("{period}")' if period else ""
    return Target(
        f'SELECT {factor} * last("{name}"){each} FROM "{measurement}" '
        f'WHERE {which.influxql} AND "{name}" > 0 AND {over_time(by)}',
        f"{factor} * ({value} > 0){f' / {whole}' if period else ''}",
        legend,
    )


def total(
    which: Scope,
    measurement: str,
    name: str,
    by: Sequence[str],
    of: Sequence[str],
    legend: str,
) -> Target:
    """A value over time, added up."""
    groups = f"time($__interval){''.join(f', {quoted([tag])}' for tag in by)}"
    recent = f"last_over_time({measurement}_{name}{which.promql}[{FRESH}])"
    return Target(
        f'SELECT sum("v") FROM (SELECT last("{name}") AS "v" FROM "{measurement}" '
        f"WHERE {which.influxql} GROUP BY time($__interval), {quoted(of)} fill(none)) "
        f"WHERE $timeFilter GROUP BY {groups} fill(none)",
        f"{by_tags('sum', by)} ({one_of_each(of, recent)})",
        legend,
    )


def count(
    which: Scope, measurement: str, name: str, value: str, legend: str, of: Sequence[str] = GUEST
) -> Target:
    """The number of series whose present value is this one; ``value`` has the comparison."""
    recent = f"last_over_time({measurement}_{name}{which.promql}[{FRESH}])"
    return Target(
        f'SELECT count("v") FROM (SELECT last("{name}") AS "v" FROM "{measurement}" '
        f'WHERE {which.influxql} GROUP BY {quoted(of)}) WHERE "v" {value} AND $timeFilter',
        f"count({one_of_each(of, recent)} "
        f"{'==' + value[1:] if value.startswith('= ') else value}) or vector(0)",
        legend,
        fresh=True,
    )


def total_now(
    which: Scope, measurement: str, name: str, legend: str, of: Sequence[str] = NODE
) -> Target:
    """The sum of a present value."""
    recent = f"last_over_time({measurement}_{name}{which.promql}[{FRESH}])"
    return Target(
        f'SELECT sum("v") FROM (SELECT last("{name}") AS "v" FROM "{measurement}" '
        f"WHERE {which.influxql} GROUP BY {quoted(of)}) WHERE $timeFilter",
        f"sum({one_of_each(of, recent)})",
        legend,
        fresh=True,
    )


def total_of_running(which: Scope, name: str, legend: str) -> Target:
    """The sum of a present value over running guests; inactive copies elsewhere do not count."""
    value, running = (
        f"last_over_time(libvirt_domain_{field}{which.promql}[{FRESH}])"
        for field in (name, "running")
    )
    return Target(
        f'SELECT sum("v") FROM (SELECT last("{name}") AS "v", last("running") AS "r" '
        f'FROM "libvirt_domain" WHERE {which.influxql} GROUP BY {quoted(GUEST)}) '
        f'WHERE "r" = 1 AND $timeFilter',
        f"sum({by_tags('max', GUEST)} ({value}) and on (host, domain_name) ({running} == 1))",
        legend,
        fresh=True,
    )


def now(
    which: Scope, measurement: str, name: str, by: Sequence[str], column: str, legend: str = ""
) -> Target:
    """The present value of each series."""
    return Target(
        f'SELECT last("{name}") AS "{column}" FROM "{measurement}" '
        f"WHERE {which.influxql} AND $timeFilter GROUP BY {quoted(by)}",
        f"{by_tags('max', by)} (last_over_time({measurement}_{name}{which.promql}[{FRESH}]))",
        legend,
        column,
        fresh=True,
    )

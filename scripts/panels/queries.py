"""Queries in both languages, made from the same names of measurements, fields and tags.

InfluxQL: the filter of the time is in the outermost SELECT only; inner ones without it get it from
there. Rates are between neighbouring points, so that an interval that has begun is not too low.
PromQL: what is so now is what was written in the last two minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .model import Target

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


def scope(*pairs: tuple[str, str]) -> Scope:
    """The series whose tag matches the variable, for each pair of both."""
    return Scope(
        " AND ".join(f'"{tag}" =~ /^${variable}$/' for tag, variable in pairs),
        "{" + ",".join(f'{tag}=~"${variable}"' for tag, variable in pairs) + "}",
    )


HOSTS = scope(("host", "host"))
GUESTS = scope(("host", "host"), ("domain_name", "domain"), ("project_name", "project"))
ONE_GUEST = scope(("host", "host"), ("domain_name", "domain"))


def quoted(tags: Sequence[str]) -> str:
    """Tags for GROUP BY."""
    return ", ".join(f'"{tag}"' for tag in tags)


def _by(function: str, tags: Sequence[str]) -> str:
    return f"{function} by ({', '.join(tags)})" if tags else function


def _each(fields: Sequence[str], unit: str = "1s") -> str:
    return " + ".join(f'non_negative_derivative("{name}", {unit})' for name in fields)


def _rates(which: Scope, measurement: str, fields: Sequence[str], window: str) -> str:
    return " + ".join(f"rate({measurement}_{name}{which.promql}[{window}])" for name in fields)


def _over_time(tags: Sequence[str]) -> str:
    return f"$timeFilter GROUP BY time($__interval), {quoted(tags)} fill(none)"


def rate(
    which: Scope,
    measurement: str,
    fields: Sequence[str],
    by: Sequence[str],
    legend: str,
    of: Sequence[str] = (),
    how: str = "sum",
    times: str = "",
) -> Target:
    """The rate of counters over time, added up; ``of`` has the tags of one series if ``by`` has
    fewer, and ``how`` is sum or mean over them. ``times`` is arithmetic on the result."""
    inner = f'SELECT {_each(fields)} AS "r" FROM "{measurement}" WHERE {which.influxql}'
    inner += f" GROUP BY {quoted(of or by)}"
    if of and how == "sum":
        inner = f'SELECT mean("r") AS "r" FROM ({inner})'
        inner += f" GROUP BY time($__interval), {quoted(of)} fill(none)"
    outer = "sum" if of and how == "sum" else "mean"
    rates = _rates(which, measurement, fields, "$__rate_interval")
    return Target(
        f'SELECT {outer}("r"){times} FROM ({inner}) WHERE {_over_time(by)}',
        f"{_by('avg' if how == 'mean' else 'sum', by)} ({rates}){times}",
        legend,
    )


def top_rate(
    which: Scope,
    measurement: str,
    fields: Sequence[str],
    column: str,
    of: Sequence[str] = GUEST,
    how: str = "sum",
    times: str = "",
) -> Target:
    """The ten guests with the highest rate in the range of the dashboard."""
    inner = f'SELECT {_each(fields)} AS "r" FROM "{measurement}" WHERE {which.influxql}'
    inner += f" GROUP BY {quoted(of)}"
    if of != GUEST and how == "sum":
        inner = f'SELECT mean("r") AS "r" FROM ({inner}) GROUP BY {quoted(of)}'
    outer = "sum" if of != GUEST and how == "sum" else "mean"
    each = f'SELECT {outer}("r"){times} AS "v" FROM ({inner}) GROUP BY {quoted(GUEST)}'
    rates = _rates(which, measurement, fields, "$__range")
    function = _by("avg" if how == "mean" else "sum", GUEST)
    return Target(
        f'SELECT top("v", {quoted(GUEST)}, 10) AS "{column}" FROM ({each}) WHERE $timeFilter',
        f"topk(10, {function} ({rates}){times})",
        column=column,
    )


_TIMES, _REQUESTS = ("rd_times", "wr_times"), ("rd_reqs", "wr_reqs")


def _latency(which: Scope, times: Sequence[str], requests: Sequence[str]) -> str:
    return (
        f'SELECT {_each(times)} AS "t", {_each(requests)} AS "n" FROM "libvirt_block" '
        f"WHERE {which.influxql} GROUP BY {quoted(DISK)}"
    )


def latency(
    which: Scope, by: Sequence[str], legend: str, times: str = "", requests: str = ""
) -> Target:
    """Milliseconds for each request over time, where there are any; default: reads and writes."""
    both = ((times,) if times else _TIMES, (requests,) if requests else _REQUESTS)
    spent, count = (_rates(which, "libvirt_block", names, "$__rate_interval") for names in both)
    return Target(
        f'SELECT sum("t") / sum("n") / 1000000 FROM ({_latency(which, *both)}) '
        f'WHERE "n" > 0 AND {_over_time(by)}',
        f"{_by('sum', by)} ({spent}) / ({_by('sum', by)} ({count}) > 0) / 1e6",
        legend,
    )


def top_latency(which: Scope, column: str) -> Target:
    """The ten guests with the longest time for a request."""
    each = (
        f'SELECT sum("t") / sum("n") / 1000000 AS "v" FROM '
        f'({_latency(which, _TIMES, _REQUESTS)}) WHERE "n" > 0 GROUP BY {quoted(GUEST)}'
    )
    spent, count = (
        f"{_by('sum', GUEST)} ({_rates(which, 'libvirt_block', names, '$__range')})"
        for names in (_TIMES, _REQUESTS)
    )
    return Target(
        f'SELECT top("v", {quoted(GUEST)}, 10) AS "{column}" FROM ({each}) WHERE $timeFilter',
        f"topk(10, {spent} / ({count} > 0) / 1e6)",
        column=column,
    )


def gauge(
    which: Scope, measurement: str, name: str, by: Sequence[str], legend: str, times: str = ""
) -> Target:
    """A value over time."""
    return Target(
        f'SELECT last("{name}"){times} FROM "{measurement}" '
        f"WHERE {which.influxql} AND {_over_time(by)}",
        f"{_by('max', by)} ({measurement}_{name}{which.promql}){times}",
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
    """One value as a multiple of another of the same line."""
    parts = (f"{_by('max', by)} ({measurement}_{name}{which.promql})" for name in (part, whole))
    return Target(
        f'SELECT {factor} * last("{part}") / last("{whole}") FROM "{measurement}" '
        f'WHERE {which.influxql} AND "{whole}" > 0 AND {_over_time(by)}',
        f"{factor} * {' / '.join(parts)}",
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
    return Target(
        f'SELECT sum("v") FROM (SELECT last("{name}") AS "v" FROM "{measurement}" '
        f"WHERE {which.influxql} GROUP BY time($__interval), {quoted(of)} fill(none)) "
        f"WHERE $timeFilter GROUP BY {groups} fill(none)",
        f"{_by('sum', by)} (last_over_time({measurement}_{name}{which.promql}[{FRESH}]))",
        legend,
    )


def count(
    which: Scope, measurement: str, name: str, value: str, legend: str, of: Sequence[str] = GUEST
) -> Target:
    """The number of series whose present value is this one; ``value`` has the comparison."""
    return Target(
        f'SELECT count("v") FROM (SELECT last("{name}") AS "v" FROM "{measurement}" '
        f'WHERE {which.influxql} GROUP BY {quoted(of)}) WHERE "v" {value} AND $timeFilter',
        f"count(last_over_time({measurement}_{name}{which.promql}[{FRESH}]) "
        f"{'==' + value[1:] if value.startswith('= ') else value}) or vector(0)",
        legend,
        fresh=True,
    )


def total_now(
    which: Scope, measurement: str, name: str, legend: str, of: Sequence[str] = NODE
) -> Target:
    """The sum of a present value."""
    return Target(
        f'SELECT sum("v") FROM (SELECT last("{name}") AS "v" FROM "{measurement}" '
        f"WHERE {which.influxql} GROUP BY {quoted(of)}) WHERE $timeFilter",
        f"sum(last_over_time({measurement}_{name}{which.promql}[{FRESH}]))",
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
        f"sum({_by('max', GUEST)} ({value}) and on (host, domain_name) ({running} == 1))",
        legend,
        fresh=True,
    )


def now(
    which: Scope, measurement: str, name: str, by: Sequence[str], column: str, legend: str = ""
) -> Target:
    """A present value of each."""
    return Target(
        f'SELECT last("{name}") AS "{column}" FROM "{measurement}" '
        f"WHERE {which.influxql} AND $timeFilter GROUP BY {quoted(by)}",
        f"{_by('max', by)} (last_over_time({measurement}_{name}{which.promql}[{FRESH}]))",
        legend,
        column,
        fresh=True,
    )

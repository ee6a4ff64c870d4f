"""Queries for rates of counters in both languages.

Invariant: InfluxQL reads the first value of each interval and series, and no other: raw points are
too many, and with the last value an interval that has begun would be too low. What is added up is
of one interval; a mean over the time comes after it. The filter of the time is in the outermost
SELECT only.
"""

from __future__ import annotations

from collections.abc import Sequence

from .model import Target
from .queries import DISK, GUEST, Scope, by_tags, one_of_each, over_time, quoted


def _each(fields: Sequence[str]) -> str:
    return " + ".join(f'non_negative_derivative(first("{name}"), 1s)' for name in fields)


def _in_intervals(which: Scope, measurement: str, columns: str, of: Sequence[str]) -> str:
    return (
        f'SELECT {columns} FROM "{measurement}" WHERE {which.influxql} '
        f"GROUP BY time($__interval), {quoted(of)} fill(none)"
    )


def _rates(which: Scope, measurement: str, fields: Sequence[str], window: str) -> str:
    return " + ".join(f"rate({measurement}_{name}{which.promql}[{window}])" for name in fields)


def _added_up(
    which: Scope,
    measurement: str,
    fields: Sequence[str],
    by: Sequence[str],
    of: Sequence[str],
    how: str,
) -> str:
    """The rates in PromQL, one of each series by the tags ``of``, added up or their mean."""
    rates = one_of_each(of, _rates(which, measurement, fields, "$__rate_interval"))
    return rates if of == by else f"{by_tags('avg' if how == 'mean' else how, by)} ({rates})"


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
    of = of or by
    inner = _in_intervals(which, measurement, f'{_each(fields)} AS "r"', of)
    return Target(
        f'SELECT {how}("r"){times} FROM ({inner}) WHERE {over_time(by)}',
        f"{_added_up(which, measurement, fields, by, of, how)}{times}",
        legend,
    )


def mean_rate(
    which: Scope,
    measurement: str,
    fields: Sequence[str],
    column: str,
    by: Sequence[str] = GUEST,
    of: Sequence[str] = (),
    how: str = "sum",
    times: str = "",
) -> Target:
    """The rate of each guest or device, as a mean of the time that it has one in the range."""
    each, rates = _means(which, measurement, fields, by, of or by, how, times)
    return Target(
        f'SELECT mean("r"){times} AS "{column}" FROM ({each}) '
        f"WHERE $timeFilter GROUP BY {quoted(by)}",
        f"avg_over_time(({rates})[$__range:$__interval])",
        column=column,
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
    """The ten guests with the highest rate, as a mean of the time that they have one in the range
    of the dashboard."""
    inner, rates = _means(which, measurement, fields, GUEST, of, how, times)
    each = f'SELECT mean("r"){times} AS "v" FROM ({inner}) GROUP BY {quoted(GUEST)}'
    return Target(
        f'SELECT top("v", {quoted(GUEST)}, 10) AS "{column}" FROM ({each}) WHERE $timeFilter',
        f"topk(10, avg_over_time(({rates})[$__range:$__interval]))",
        column=column,
    )


def _means(
    which: Scope,
    measurement: str,
    fields: Sequence[str],
    by: Sequence[str],
    of: Sequence[str],
    how: str,
    times: str,
) -> tuple[str, str]:
    """The rates in intervals, added up or their mean, in both languages."""
    inner = _in_intervals(which, measurement, f'{_each(fields)} AS "r"', of)
    if of != by:
        inner = f'SELECT {how}("r") AS "r" FROM ({inner})'
        inner += f" GROUP BY time($__interval), {quoted(by)} fill(none)"
    return inner, f"{_added_up(which, measurement, fields, by, of, how)}{times}"


_TIMES, _REQUESTS = ("rd_times", "wr_times"), ("rd_reqs", "wr_reqs")


def _latency(which: Scope, times: Sequence[str], requests: Sequence[str]) -> str:
    columns = f'{_each(times)} AS "t", {_each(requests)} AS "n"'
    return _in_intervals(which, "libvirt_block", columns, DISK)


def latency(
    which: Scope, by: Sequence[str], legend: str, times: str = "", requests: str = ""
) -> Target:
    """Milliseconds for each request over time, where there are any; default: reads and writes."""
    both = ((times,) if times else _TIMES, (requests,) if requests else _REQUESTS)
    spent, count = (_rates(which, "libvirt_block", names, "$__rate_interval") for names in both)
    return Target(
        f'SELECT sum("t") / sum("n") / 1000000 FROM ({_latency(which, *both)}) '
        f'WHERE "n" > 0 AND {over_time(by)}',
        f"{by_tags('sum', by)} ({spent}) / ({by_tags('sum', by)} ({count}) > 0) / 1e6",
        legend,
    )


def mean_latency(which: Scope, by: Sequence[str], column: str) -> Target:
    """Milliseconds for each read or write in the range, where there are any."""
    each, milliseconds = _mean_latencies(which, by, column)
    return Target(
        f"{each} AND $timeFilter GROUP BY {quoted(by)}",
        milliseconds,
        column=column,
    )


def top_latency(which: Scope, column: str) -> Target:
    """The ten guests with the longest time for a request."""
    each, milliseconds = _mean_latencies(which, GUEST, "v")
    return Target(
        f'SELECT top("v", {quoted(GUEST)}, 10) AS "{column}" FROM '
        f"({each} GROUP BY {quoted(GUEST)}) WHERE $timeFilter",
        f"topk(10, {milliseconds})",
        column=column,
    )


def _mean_latencies(which: Scope, by: Sequence[str], column: str) -> tuple[str, str]:
    spent, count = (
        f"{by_tags('sum', by)} ({_rates(which, 'libvirt_block', names, '$__range')})"
        for names in (_TIMES, _REQUESTS)
    )
    return (
        f'SELECT sum("t") / sum("n") / 1000000 AS "{column}" FROM '
        f'({_latency(which, _TIMES, _REQUESTS)}) WHERE "n" > 0',
        f"{spent} / ({count} > 0) / 1e6",
    )

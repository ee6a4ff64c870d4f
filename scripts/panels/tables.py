"""Queries for tables in both languages: present values of several fields, and facts.

Invariant: a row has the values of one series by its tags, and each tag is a column. PromQL has no
texts, so their columns are in InfluxQL only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from .model import Target
from .queries import FRESH, LATELY, Scope, one_of_each, quoted

_NONE: Mapping[str, str] = MappingProxyType({})

#: A field in arithmetic.
_FIELD = re.compile(r"[a-z_]\w*")


def table(
    which: Scope,
    measurement: str,
    columns: Mapping[str, str],
    by: Sequence[str],
    window: str = FRESH,
    where: Sequence[tuple[str, str]] = (),
    texts: Mapping[str, str] = _NONE,
    beside: Sequence[str] = (),
) -> tuple[Target, ...]:
    """The present values of some fields of each series, a column for each.

    ``columns`` has the names of the columns by fields, or by arithmetic on them; ``texts`` those
    of fields that are texts. ``where`` has fields with comparisons that a series has to fulfil.
    ``beside`` are tags that only describe a series.
    """
    groups = quoted([*by, *(tag for tag in beside if tag not in texts)])
    inner = ", ".join(
        [
            *(f'{_FIELD.sub(_last, what)} AS "{name}"' for what, name in columns.items()),
            *(f'last("{field}"::field) AS "{name}"' for field, name in texts.items()),
        ]
    )
    query = f'SELECT {inner} FROM "{measurement}" WHERE {which.influxql}'
    if where:
        conditions = "".join(f', last("{field}") AS "{field}"' for field, _ in where)
        holds = " AND ".join(f'"{field}" {comparison}' for field, comparison in where)
        query = query.replace(" FROM ", f"{conditions} FROM ", 1)
        shown = ", ".join(f'"{name}"' for name in (*columns.values(), *texts.values()))
        query = f"SELECT {shown} FROM ({query} GROUP BY {groups}) WHERE {holds}"
    query = f"{query} AND $timeFilter GROUP BY {groups}"

    def series(what: str, tags: Sequence[str] = by) -> str:
        return _FIELD.sub(
            lambda field: one_of_each(
                tags, f"last_over_time({measurement}_{field[0]}{which.promql}[{window}])"
            ),
            what,
        )

    holds = "".join(
        f" and on ({', '.join(by)}) ({series(field)} {_in_promql(comparison)})"
        for field, comparison in where
    )
    return tuple(
        Target(
            "" if at else query,
            f"{series(what, by if at else (*by, *beside))}{holds}",
            column=name,
            fresh=True,
        )
        for at, (what, name) in enumerate(columns.items())
    )


def _last(field: re.Match[str]) -> str:
    return f'last("{field[0]}")'


def _in_promql(comparison: str) -> str:
    return f"={comparison}" if comparison.startswith("= ") else comparison


def facts(which: Scope, measurement: str, tags: Sequence[str]) -> Target:
    """The info lines of these tags. Telegraf's outputs for Prometheus name their field ``value``
    like the measurement; other ways into a database keep its name."""
    series = f'{{__name__=~"{measurement}(_value)?",{which.promql[1:]}'
    return Target(
        f'SELECT last("value") AS "value" FROM "{measurement}" WHERE {which.influxql} '
        f"AND $timeFilter GROUP BY {quoted(tags)}",
        one_of_each(tags, f"last_over_time({series}[{LATELY}])"),
        column="value",
        fresh=True,
    )

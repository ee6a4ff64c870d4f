"""What an alert consists of, and the queries that most alerts are made of.

Invariant: an alert of a guest is about one guest on one host, so that it ends with its cause.
"""

from __future__ import annotations

from dataclasses import dataclass

from .queries import GUEST, NODE, quoted

BY_GUEST = f"by ({', '.join(GUEST)})"
BY_NODE = f"by ({', '.join(NODE)})"
WHO = "{{ $labels.domain_name }} on {{ $labels.host }}"
WHERE = "{{ $labels.libvirt_uri }} on {{ $labels.host }}"


@dataclass(frozen=True)
class Alert:
    """One rule.

    For Grafana, ``influxql`` is asked over ``period``, its last value is compared by ``condition``.
    """

    name: str
    severity: str
    hold: str
    promql: str
    influxql: str
    period: str
    condition: str
    summary: str
    description: str


def now(condition: str, fields: str, measurement: str, by: tuple[str, ...] = GUEST) -> str:
    """1 for each series whose present values fulfil the condition."""
    values = ", ".join(f'last("{name}") AS "{name}"' for name in fields.split())
    first = fields.split()[0]
    return (
        f'SELECT count("{first}") FROM (SELECT {values} FROM "{measurement}" '
        f"GROUP BY {quoted(by)}) WHERE {condition} AND $timeFilter GROUP BY {quoted(by)}"
    )


def rate(fields: str, measurement: str, of: tuple[str, ...], how: str = "sum") -> str:
    """The rate of counters of each guest."""
    rates = " + ".join(f'non_negative_derivative("{name}", 1s)' for name in fields.split())
    inner = f'SELECT {rates} AS "r" FROM "{measurement}" GROUP BY {quoted(of)}'
    if how == "mean":
        return f'SELECT mean("r") FROM ({inner}) WHERE $timeFilter GROUP BY {quoted(GUEST)}'
    each = f'SELECT mean("r") AS "m" FROM ({inner}) GROUP BY {quoted(of)}'
    return f'SELECT sum("m") FROM ({each}) WHERE $timeFilter GROUP BY {quoted(GUEST)}'

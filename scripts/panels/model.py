"""What a dashboard consists of, without Grafana's JSON.

Invariant: each target has one query in each language, and both mean the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LANGUAGES = ("influxql", "promql")

GREEN, YELLOW, ORANGE, RED = "green", "#EAB839", "orange", "red"
GREY, BLUE, PURPLE = "#8E8E8E", "blue", "purple"

#: Colours and names of virDomainState.
STATES = {
    0: ("no state", GREY),
    1: ("running", GREEN),
    2: ("blocked", BLUE),
    3: ("paused", YELLOW),
    4: ("shutting down", BLUE),
    5: ("off", GREY),
    6: ("crashed", RED),
    7: ("suspended", PURPLE),
}

Thresholds = Sequence[tuple[float, str]]
"""Values from which on a colour applies; green below the first."""


@dataclass(frozen=True)
class Target:
    """One query.

    ``legend`` has names of labels in braces. ``column`` is the name of the value in a table; in
    InfluxQL the query itself names its columns. ``fresh``: the query asks for what is so now.
    """

    influxql: str
    promql: str
    legend: str = ""
    column: str = ""
    fresh: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel. ``width`` is in 24ths of the page, ``height`` in Grafana's rows. ``step`` is the
    shortest step in InfluxQL, if it differs from that of other panels."""

    title: str
    description: str
    targets: Sequence[Target]
    kind: str = "timeseries"
    unit: str = "none"
    width: int = 12
    height: int = 8
    thresholds: Thresholds = ()
    minimum: float | None = 0
    maximum: float | None = None
    decimals: int | None = None
    stacked: bool = False
    no_value: str = ""
    mappings: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    hidden: Sequence[str] = ()
    step: str = ""

    @property
    def fresh(self) -> bool:
        """Whether all queries ask for what is so now."""
        return all(target.fresh for target in self.targets)


@dataclass(frozen=True)
class Row:
    """Panels below a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """A template variable: one query in each language, and whether it has the value All."""

    name: str
    label: str
    influxql: str
    promql: str
    description: str
    everything: bool = True


@dataclass(frozen=True)
class Dashboard:
    """One dashboard, in each language one file."""

    name: str
    title: str
    description: str
    variables: Sequence[Variable]
    rows: Sequence[Row]

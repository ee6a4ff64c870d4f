"""What a dashboard consists of, without Grafana's JSON.

Invariant: each target has one query in each language, and both mean the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from telegraf_execd_libvirt.domain.record import STATE_NAMES
from telegraf_execd_libvirt.groups.state import REASONS as _REASONS

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

#: The reasons of all states in words, by 100 times the state and the reason.
REASONS = {
    100 * state + reason: (f"{STATES[state][0]}: {name.replace('_', ' ')}", STATES[state][1])
    for state, state_name in enumerate(STATE_NAMES)
    for reason, (name, _) in enumerate(_REASONS[state_name])
}

Words = Mapping[int, tuple[str, str]]
"""Values as words, with their colours."""

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
    shortest step in InfluxQL, if it differs from that of other panels. ``range`` is the time that
    its queries read, if that is not the range of the page.

    In a table, ``words`` are the values of a column, ``units`` its unit, and ``hidden`` are columns
    that are not shown. ``shares`` has columns that Grafana computes: the names of the column, of
    its part and of its whole. Of rows with ``nonzero`` columns, Grafana shows those in which one
    of these is above 0.
    """

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
    mappings: Words = field(default_factory=dict)
    words: Mapping[str, Words] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    hidden: Sequence[str] = ()
    shares: Sequence[tuple[str, str, str]] = ()
    nonzero: Sequence[str] = ()
    step: str = ""
    range: str = ""

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

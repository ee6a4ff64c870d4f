"""A plugin read tick by tick: it collects once a second, or when a test asks for it.

The rule: a test looks at each tick in the order in which they are written, and never waits for a
time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from support.metrics import Series, fields_of
from support.plugin import Plugin
from telegraf_execd_libvirt.sources import SOURCES

OPTIONS = 'interval = "1s"\ntimeout = "5s"\n'
"""Options of a plugin whose ticks are read."""

BESIDE = (
    "libvirt_source_health,",
    *(f"libvirt_{metric.prefix}," for source in SOURCES.values() for metric in source.metrics),
)
"""Lines of sources, which come at any time."""

Fields = frozenset[tuple[Series, str]]
"""Series with the names of their fields."""

MOST_TICKS = 5
"""The number of ticks in which a change must have been noticed; slow machines need some."""

SECONDS = 90.0
"""How long a change may take that only a defect prevents."""


@dataclass(frozen=True)
class Tick:
    """One tick: the fields of each domain without those of sources, `libvirt_health`, and
    `libvirt_domain_health` of each domain that has one. `timestamp` is in nanoseconds."""

    timestamp: int
    lines: list[str]
    domains: Mapping[str, Fields]
    health: Mapping[str, object]
    troubled: Mapping[str, Mapping[str, object]]

    def fields(self, name: str) -> Fields:
        """The fields of a domain, none if it is missing."""
        return self.domains.get(name, frozenset())

    @property
    def whole(self) -> bool:
        """Whether each domain was read completely."""
        return self.health["up"] == 1 and not self.troubled

    @property
    def locked(self) -> set[str]:
        """The domains whose lines say that libvirt has locked them; the number is right, too."""
        names = {name for name, fields in self.troubled.items() if fields.get("locked") == 1}
        assert all(self.troubled[name]["complete"] == 0 for name in names)
        assert self.health["domains_locked"] == len(names)
        return names


class Ticks:
    """The ticks of a plugin. `expected` has the fields that each domain should have."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.expected: Mapping[str, Fields] = {}
        self._seen = 0

    def learn(self) -> Ticks:
        """Expect what the next tick has, in which nothing may be missing."""
        tick = self.next()
        assert tick.whole, f"{tick.health}, {self.plugin.log.lines}"
        self.expected = tick.domains
        return self

    def calm(self) -> Ticks:
        """Ask for ticks until nothing is missing in one, and expect what that has."""
        self.expected = self.until(lambda tick: tick.whole).domains
        return self

    def tick(self) -> Tick:
        """Ask for a tick, and read it."""
        self.plugin.tick()
        return self.next()

    def until(self, condition: Callable[[Tick], object]) -> Tick:
        """Ask for ticks until the condition holds for one; return it."""
        deadline = time.monotonic() + SECONDS
        while not condition(tick := self.tick()):
            problem = f"{tick.health}, {tick.troubled}, {self.lacking(tick)}"
            assert time.monotonic() < deadline, f"{problem}, {self.plugin.log.lines}"
            time.sleep(0.02)
        return tick

    def lacking(self, tick: Tick) -> set[str]:
        """The domains of which a tick has not all fields."""
        return {name for name in self.expected if self.expected[name] - tick.fields(name)}

    def next(self) -> Tick:
        """The next tick."""
        lines = self.plugin.end_tick(self._seen)
        self._seen += len(lines)
        return _tick(lines)

    def with_all(self, names: Collection[str], blocks: bool = True) -> Tick:
        """The next tick, which has all fields of these domains, `blocks`: also of their disks."""
        tick = self.next()
        for name in names:
            lacks = self.expected[name] - tick.fields(name)
            if not blocks:
                lacks = frozenset(at for at in lacks if not at[0][0].startswith("libvirt_block"))
            assert not lacks, f"{name} lacks {len(lacks)} fields; {self.plugin.log.lines}"
        return tick

    def until_locked(
        self, locked: Collection[str], names: Collection[str], blocks: bool = True
    ) -> Tick:
        """Read until libvirt has locked these domains; each tick has all fields of the others."""
        for _ in range(MOST_TICKS):
            tick = self.with_all(names, blocks)
            if tick.locked == set(locked):
                return tick
        raise AssertionError(f"{locked} not locked: {tick.troubled}, {self.plugin.log.lines}")

    def after(self, moment: int) -> Tick:
        """The first tick that began after this time, in nanoseconds."""
        while (tick := self.next()).timestamp < moment:
            pass
        return tick


def _tick(lines: list[str]) -> Tick:
    domains: dict[str, set[tuple[Series, str]]] = {}
    troubled: dict[str, dict[str, object]] = {}
    health: dict[str, object] = {}
    read = (line for line in lines if not line.startswith(BESIDE))
    for (series, field), value in fields_of(read).items():
        name = dict(series[1]).get("domain_name", "")
        if series[0] == "libvirt_health":
            health[field] = value
        elif series[0] == "libvirt_domain_health":
            troubled.setdefault(name, {})[field] = value
        elif name:
            domains.setdefault(name, set()).add((series, field))
    return Tick(
        timestamp=int(lines[-1].rpartition(" ")[2]),
        lines=lines,
        domains={name: frozenset(fields) for name, fields in domains.items()},
        health=health,
        troubled=troubled,
    )

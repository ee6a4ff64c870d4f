"""A plugin that collects once a second, read tick by tick.

The rule: a test looks at each tick in the order in which they are written, and never waits for a
time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from support.metrics import Series, fields_of
from support.plugin import Plugin

OPTIONS = 'interval = "1s"\ntimeout = "5s"\n'
"""Options of a plugin whose ticks are read."""

END = "libvirt_health,"
"""The line that ends a tick."""

BESIDE = ("libvirt_source_health,", "libvirt_snapshot,", "libvirt_event,", "libvirt_job,")
"""Lines of sources, which come at any time."""

Fields = frozenset[tuple[Series, str]]
"""Series with the names of their fields."""

MOST_TICKS = 5
"""The number of ticks in which a change must have been noticed; slow machines need some."""


@dataclass(frozen=True)
class Tick:
    """One tick: the fields of each domain without those of sources, `libvirt_health`, and
    `libvirt_domain_health` of each domain that has one. `timestamp` is in nanoseconds."""

    timestamp: int
    lines: list[str]
    domains: Mapping[str, Fields]
    health: Mapping[str, object]
    troubled: Mapping[str, Mapping[str, object]]

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

    def next(self) -> Tick:
        """The next tick."""
        lines = self.plugin.metrics.wait_for(
            lambda lines: any(line.startswith(END) for line in lines[self._seen :]), "a tick"
        )[self._seen :]
        size = [line.startswith(END) for line in lines].index(True) + 1
        self._seen += size
        return _tick(lines[:size])

    def with_all(self, names: Collection[str], blocks: bool = True) -> Tick:
        """The next tick, which has all fields of these domains, `blocks`: also of their disks."""
        tick = self.next()
        for name in names:
            lacks = self.expected[name] - tick.domains.get(name, frozenset())
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

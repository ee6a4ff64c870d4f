"""What the summaries last knew of each domain, for groups of statistics that have intervals.

Invariant: a value is kept until its group is asked again, so for at most the group's interval, and
only while the domain stays on or off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ..domain.record import Domain, Stats
from ..groups import domain as domain_group
from ..groups import node as node_group

#: The groups of the values that are kept, by their keys: those of the summary of a domain, and
#: those from which that of the node is computed.
_GROUPS = {**node_group.GROUP_OF, **domain_group.GROUP_OF}


class Kept:
    """The domains of one hypervisor."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[bool, Stats]] = {}
        self._seen: set[str] = set()

    def complete(self, domain: Domain, summary: Stats) -> tuple[Stats, Stats]:
        """The ``summary`` of what was asked, with the values of groups that were not asked; and all
        that is known."""
        now = {**{k: domain.stats[k] for k in node_group.GROUP_OF if k in domain.stats}, **summary}
        active, old = self._known.get(domain.name, (domain.active, {}))
        if domain.groups is not None and active is domain.active:
            kept = {k: v for k, v in old.items() if _GROUPS.get(k, "") not in domain.groups}
            now = {**{k: v for k, v in kept.items() if k in _GROUPS}, **now}
        # Always in one order, so that the lines keep their layout.
        known = {key: now.pop(key) for key in _GROUPS if key in now}
        self._known[domain.name] = domain.active, known
        self._seen.add(domain.name)
        summary = {k: v for k, v in known.items() if k not in node_group.GROUP_OF}
        return {**summary, **now}, known

    def rest(self, names: Collection[str]) -> Iterator[tuple[bool, Stats]]:
        """Of these domains whether they are active, and what is known."""
        self._seen.update(names)
        return (self._known[name] for name in names if name in self._known)

    def forget_others(self) -> None:
        """Forgets the domains that were not seen since the last call."""
        if len(self._known) > len(self._seen):
            self._known = {name: self._known[name] for name in self._seen & self._known.keys()}
        self._seen.clear()

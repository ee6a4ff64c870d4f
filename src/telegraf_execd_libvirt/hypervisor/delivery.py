"""Which domains of a tick are written, and when.

Invariant: each domain is delivered at most once in a tick: complete at once, or incomplete at the
end, when nothing better can come any more. No thread, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..domain import Domain


@dataclass(frozen=True)
class Reading:
    """Domains, and the monotonic time at which they were requested; ``incomplete`` names those
    that lack the keys that need their monitor."""

    domains: list[Domain]
    asked: float
    incomplete: frozenset[str] = frozenset()


class Delivery:
    """The domains of one tick."""

    def __init__(self) -> None:
        self._delivered: set[str] = set()
        self._held: dict[str, tuple[Domain, float]] = {}

    @property
    def count(self) -> int:
        """The number of domains that were read, the held ones included."""
        return len(self._delivered) + len(self._held)

    @property
    def held(self) -> frozenset[str]:
        """The names of the domains that were read incompletely."""
        return frozenset(self._held)

    def accept(self, domains: list[Domain], partial: frozenset[str], asked: float) -> Reading:
        """The domains to write now. Those in ``partial`` are held back; what was delivered before
        is dropped."""
        names = [domain.name for domain in domains]
        if partial or not self._delivered.isdisjoint(names):
            for domain in domains:
                if domain.name in partial and domain.name not in self._delivered:
                    self._held[domain.name] = (domain, asked)
            skip = partial | self._delivered
            domains = [domain for domain in domains if domain.name not in skip]
            names = [domain.name for domain in domains]
        self._delivered.update(names)
        if self._held:
            for name in names:
                self._held.pop(name, None)
        return Reading(domains, asked)

    def rest(self) -> Iterator[Reading]:
        """The domains that are still incomplete, at the end of the tick."""
        by_time: dict[float, list[Domain]] = {}
        for domain, asked in self._held.values():
            by_time.setdefault(asked, []).append(domain)
        for asked, domains in by_time.items():
            yield Reading(domains, asked, frozenset(domain.name for domain in domains))

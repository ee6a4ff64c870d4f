"""Which domains of a tick are written, and when.

Invariant: each domain is delivered at most once in a tick: as soon as it is complete and its
identity is known, or else at the end, when nothing better can come. No thread, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..domain.record import NO_IDENTITY, Domain, Identity

#: A request within this time after the tick counts as made at the tick.
_ON_TIME_SECONDS = 0.5


def moment(timestamp: int, late: float) -> int:
    """The timestamp, in nanoseconds, of a request made ``late`` seconds after the tick."""
    return timestamp + (int(late * 1e9) if late > _ON_TIME_SECONDS else 0)


@dataclass(frozen=True)
class Reading:
    """Domains, and the monotonic time at which they were requested; ``incomplete`` names those
    that lack the keys that need their monitor."""

    domains: list[Domain]
    asked: float
    incomplete: frozenset[str] = frozenset()


@dataclass
class _Held:
    domain: Domain
    asked: float
    partial: bool


class Delivery:
    """The domains of one tick."""

    def __init__(self) -> None:
        self._delivered: set[str] = set()
        self._held: dict[str, _Held] = {}
        self._anonymous: set[str] = set()

    @property
    def count(self) -> int:
        """The number of domains that were read, the held ones included."""
        return len(self._delivered) + len(self._held)

    @property
    def incomplete(self) -> frozenset[str]:
        """The names of the domains that are held because they lack keys."""
        return frozenset(name for name, held in self._held.items() if held.partial)

    @property
    def unidentified(self) -> bool:
        """Whether a domain waits for its identity."""
        return any(held.domain.identity is None for held in self._held.values())

    @property
    def anonymous(self) -> int:
        """The number of domains whose identity could not be read in this tick."""
        return len(self._anonymous) + sum(h.domain.identity is None for h in self._held.values())

    def accept(self, domains: list[Domain], partial: frozenset[str], asked: float) -> Reading:
        """The domains to write now. Domains that lack keys (``partial``) or an identity are held
        back; domains that were already delivered are dropped."""
        names = [domain.name for domain in domains]
        unknown = any(domain.identity is None for domain in domains)
        if not (partial or unknown or self._held) and self._delivered.isdisjoint(names):
            self._delivered.update(names)
            return Reading(domains, asked)
        ready = []
        for domain in domains:
            if domain.name in self._delivered:
                continue
            held = self._held.pop(domain.name, None)
            if held is not None and domain.identity is None:
                domain = domain._replace(identity=held.domain.identity)
            if domain.name in partial or domain.identity is None:
                self._held[domain.name] = _Held(domain, asked, domain.name in partial)
            else:
                ready.append(domain)
        self._delivered.update(domain.name for domain in ready)
        return Reading(ready, asked)

    def identify(self, names: Iterable[str], found: Mapping[str, Identity]) -> Iterator[Reading]:
        """The domains to write now that the identities of these names are known, or cannot be."""
        ready = []
        for name in names:
            held = self._held.get(name)
            if held is None or held.domain.identity is not None:
                continue
            if name not in found:
                self._anonymous.add(name)
            held.domain = held.domain._replace(identity=found.get(name, NO_IDENTITY))
            if not held.partial:
                ready.append(self._held.pop(name))
        self._delivered.update(held.domain.name for held in ready)
        yield from _by_time(ready, frozenset())

    def rest(self) -> Iterator[Reading]:
        """The domains that are still held, at the end of the tick."""
        yield from _by_time(self._held.values(), self.incomplete)


def _by_time(all_held: Iterable[_Held], partial: frozenset[str]) -> Iterator[Reading]:
    """Readings of domains that were requested at the same time."""
    by_time: dict[float, list[Domain]] = {}
    for held in all_held:
        domain = held.domain
        if domain.identity is None:
            domain = domain._replace(identity=NO_IDENTITY)
        by_time.setdefault(held.asked, []).append(domain)
    for asked, domains in by_time.items():
        names = frozenset(domain.name for domain in domains)
        yield Reading(domains, asked, names & partial)

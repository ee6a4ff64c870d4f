"""Tables of a configuration that write the same series: guests of the same names, and no tag that
differs. A database would keep only one of two points.

Invariant: each table is compared once, with what its first successful tick reads; a table with tags
that no other one has is not compared at all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import combinations

from ..config.config import HypervisorConfig
from ..config.words import show
from ..domain.record import NO_IDENTITY, Domain
from ..uri import driver_and_transport, redact_uri

#: Names for the tag that is to be added; the first one that the table does not have.
_TAGS = ("hypervisor", "hypervisor_name")


class Twins:
    """The series of all tables. Several threads may use it."""

    def __init__(self, tables: Sequence[HypervisorConfig]) -> None:
        self._tables = tables
        self._lock = threading.Lock()
        #: The tables that write an object, by its name and tags, each with the statistics.
        self._writers: dict[tuple[str, frozenset[tuple[str, str]]], dict[int, frozenset[str]]] = {}
        self._told: set[int] = set()

    def shared(self, index: int) -> set[str]:
        """The statistics of a table that another one has, too, with the same tags."""
        table = self._tables[index]
        found: set[str] = set()
        for at, other in enumerate(self._tables):
            if at != index and other.tags == table.tags:
                found |= _statistics(table) & _statistics(other)
        return found

    def add(
        self, index: int, statistics: Iterable[str], domains: Iterable[Domain]
    ) -> list[tuple[str, str]]:
        """Notes what a table reads; returns what is wrong and what helps, once for each table that
        is to be changed."""
        names = frozenset(statistics)
        found = {}
        with self._lock:
            for domain in domains:
                own = (domain.identity or NO_IDENTITY).tags
                tags = frozenset({**self._tables[index].tags, **own}.items())
                writers = self._writers.setdefault((domain.name, tags), {})
                writers[index] = names | writers[index] if index in writers else names
                for first, other in combinations(sorted(writers), 2):
                    if other not in self._told and writers[first] & writers[other]:
                        self._told.add(other)
                        found[other] = first, domain.name
        return [self._text(first, other, name) for other, (first, name) in found.items()]

    def _text(self, first: int, other: int, name: str) -> tuple[str, str]:
        table = self._tables[other]
        tag = next((tag for tag in _TAGS if tag not in table.tags), _TAGS[-1])
        value = _host(table)
        if [_host(each) for each in self._tables].count(value) > 1:
            value = f"{value}-{other}"
        line = f"{tag} = {show(value)}"
        where = f"inputs.libvirt[{other}]"
        return (
            f"inputs.libvirt[{first}] and {where} write the same series, such as those of "
            f"{show(name)}: a database keeps only one of two points",
            f"add to {where}.tags: {line}"
            if table.tags
            else f"add to {where}: tags = {{ {line} }}",
        )


def _statistics(table: HypervisorConfig) -> set[str]:
    """The statistics of a table that are not about the hypervisor itself."""
    groups = (*table.groups, *table.additions, *(source.group for source in table.sources))
    return {group.name for group in groups if group.metrics[0].subject != "libvirt_uri"}


def _host(table: HypervisorConfig) -> str:
    """The host of a table's URI, or else its driver."""
    shown = redact_uri(table.libvirt_uri)
    host = shown.partition("://")[2].partition("/")[0]
    return host or driver_and_transport(shown)[0]

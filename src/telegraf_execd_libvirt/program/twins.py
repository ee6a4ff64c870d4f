"""Tables of a configuration that write the same series: guests of the same names, or the same URI,
and no tag that differs. A database would keep only one of two points.

Invariant: each table is compared once, with what its first successful tick reads; a table with tags
that no other one has is not compared at all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from ..config.config import HypervisorConfig
from ..config.words import show
from ..domain.record import NO_IDENTITY, Domain
from ..groups.schema import Group
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
        """The statistics of a table that another one has, too, with the same tags. Those about the
        hypervisor itself have its URI, as it is shown."""
        table = self._tables[index]
        found: set[str] = set()
        for at, other in enumerate(self._tables):
            if at != index and other.tags == table.tags:
                both = _statistics(table) & _statistics(other)
                found |= both if _uri(other) == _uri(table) else both - _about_hypervisor(table)
        return found

    def add(
        self, index: int, statistics: Iterable[str], domains: Iterable[Domain]
    ) -> list[tuple[str, str]]:
        """Notes what a table reads; returns what is wrong and what helps, once for each table that
        is to be changed."""
        table, names = self._tables[index], frozenset(statistics)
        of_table = names & _about_hypervisor(table)
        of_guests = names - of_table
        objects = [(_uri(table), NO_IDENTITY, of_table)] if of_table else []
        if of_guests:
            objects += [(each.name, each.identity or NO_IDENTITY, of_guests) for each in domains]
        found = {}
        with self._lock:
            for name, identity, these in objects:
                tags = frozenset({**table.tags, **identity.tags}.items())
                writers = self._writers.setdefault((name, tags), {})
                writers[index] = these | writers.get(index, these)
                for first, other in combinations(sorted(writers), 2):
                    if other not in self._told and writers[first] & writers[other]:
                        self._told.add(other)
                        found[other] = first, name
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


def _groups(table: HypervisorConfig) -> Iterator[Group]:
    yield from (*table.groups, *table.additions, *(source.group for source in table.sources))


def _statistics(table: HypervisorConfig) -> set[str]:
    return {group.name for group in _groups(table)}


def _about_hypervisor(table: HypervisorConfig) -> set[str]:
    """The statistics of a table whose lines have the URI instead of the name of a guest."""
    found = (group for group in _groups(table) if group.metrics[0].subject == "libvirt_uri")
    return {group.name for group in found}


def _uri(table: HypervisorConfig) -> str:
    return redact_uri(table.libvirt_uri)


def _host(table: HypervisorConfig) -> str:
    """The host of a table's URI, or else its driver."""
    shown = _uri(table)
    host = shown.partition("://")[2].partition("/")[0]
    return host or driver_and_transport(shown)[0]

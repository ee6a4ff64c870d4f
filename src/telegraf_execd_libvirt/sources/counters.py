"""Counters of what libvirt's events report about domains, kept until the domain is gone.

Invariant: counters of a domain that has left the host are written once more, so that a short
migration is seen, and dropped by the next fetch: an event may come after the domain has left, and
the lines of a fetch that fails are lost. If another domain has its name and tags, that one has its
series, so its counters go on there. The number of counters of a domain is bounded, so that one
domain takes no room from another; what is not counted is logged once, and its number is in the
health.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ..domain.record import Domain, record
from .source import Scope

#: Counters of one domain in one source, and domains; more are not kept. libvirt has at most 16,384
#: domains per hypervisor.
MOST_COUNTERS = 256
_MOST_DOMAINS = 16_384

#: The tags of one counter beside those of the domain: names and values.
Tags = tuple[tuple[str, str], ...]

#: Keys and values of lines, by their tags.
Values = dict[Tags, dict[str, Optional[int]]]


@dataclass
class _Counted:
    """What is counted of one domain, by the tags of the line: the numbers that grow, and what is
    known of the last event."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    counts: dict[Tags, dict[str, int]] = field(default_factory=dict)
    latest: dict[Tags, dict[str, Optional[int]]] = field(default_factory=dict)
    #: Events since the last complete fetch that had no room.
    dropped: int = 0
    #: The values that were written after the domain had gone.
    written: Optional[Values] = None

    def values(self) -> Values:
        """A copy of the keys and values of each line."""
        return {at: {**counts, **self.latest[at]} for at, counts in self.counts.items()}

    def add(
        self, at: Tags, changes: Mapping[str, int], latest: Mapping[str, Optional[int]]
    ) -> None:
        """Counts the changes, unless there is no room."""
        if at not in self.counts and len(self.counts) >= MOST_COUNTERS:
            self.dropped += 1
            return
        counts = self.counts.setdefault(at, {})
        for key, change in changes.items():
            counts[key] = counts.get(key, 0) + change
        self.latest.setdefault(at, {}).update(latest)

    def inherit(self, older: _Counted) -> None:
        """Adds what is counted of a domain that had the same series before this one."""
        for at, counts in older.counts.items():
            self.add(at, counts, {**older.latest[at], **self.latest.get(at, {})})
        self.dropped += older.dropped


def _series(domain: _Counted) -> tuple[str, frozenset[tuple[str, str]]]:
    return domain.name, frozenset(domain.tags.items())


class Counters:
    """The counters of one source of one hypervisor; ``prefix`` is that of their metric."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._lock = threading.Lock()
        #: By the UUIDs of the domains.
        self._domains: dict[str, _Counted] = {}
        #: Events since the last complete fetch of domains that had no room.
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._domains)

    def add(
        self,
        uuid: str,
        name: str,
        at: Tags,
        changes: Mapping[str, int],
        latest: Mapping[str, Optional[int]],
    ) -> None:
        """Adds ``changes`` to the keys of one counter of a domain, and sets those in ``latest``;
        None: it is not known this time."""
        with self._lock:
            if uuid not in self._domains and len(self._domains) >= _MOST_DOMAINS:
                self._dropped += 1
                return
            domain = self._domains.setdefault(uuid, _Counted(name))
            domain.name = name
            domain.add(at, changes, latest)

    def records(self, scope: Scope) -> Iterator[Domain]:
        """The records of all counters."""
        with self._lock:
            counted = {uuid: (domain, domain.values()) for uuid, domain in self._domains.items()}
        handles = {scope.uuid(h): h for h in scope.domains(any_state=True, hung=True)}
        names = {scope.name(handle) for handle in handles.values()}
        for uuid, (domain, _) in counted.items():
            if uuid in handles:
                domain.name, domain.tags = scope.name(handles[uuid]), scope.tags(handles[uuid])
            elif not domain.tags:  # locked since its first event
                domain.tags = scope.last_tags(uuid)
        if scope.sees_all:
            self._bequeath(scope, counted, handles)
        for uuid, (domain, values) in counted.items():
            is_last = uuid not in handles and domain.written == values
            # Whether it is gone cannot be seen, and the other one may have the same series.
            is_twice = uuid not in handles and domain.name in names and not scope.sees_all
            if not (is_last or is_twice) and (uuid in handles or scope.selects(domain.name)):
                for at, found in sorted(values.items()):
                    yield record(domain.name, self._prefix, found, {**domain.tags, **dict(at)})
        with self._lock:
            self._drop(scope)
            for uuid, (domain, values) in counted.items():
                is_gone = uuid not in handles and scope.sees_all
                if is_gone and domain.written == domain.values():
                    self._domains.pop(uuid, None)
                domain.written = values if is_gone else None

    def _bequeath(
        self,
        scope: Scope,
        counted: dict[str, tuple[_Counted, Values]],
        handles: Mapping[str, Any],
    ) -> None:
        """Lets the counters of each domain that is gone go on in those of the last one that has its
        name and tags."""
        gone = {uuid: domain for uuid, (domain, _) in counted.items() if uuid not in handles}
        names = {domain.name for domain in gone.values()}
        last = {_series(domain): uuid for uuid, domain in gone.items()}
        for uuid, handle in handles.items():
            if scope.name(handle) in names:
                found = _Counted(scope.name(handle), scope.tags(handle))
                last[_series(found)] = uuid
        for uuid, domain in gone.items():
            heir = last[_series(domain)]
            if heir != uuid:
                del counted[uuid]
                with self._lock:
                    if self._domains.pop(uuid, None) is domain:  # else another fetch has done it
                        known = self._domains.setdefault(heir, _Counted(domain.name, domain.tags))
                        known.inherit(domain)
                        counted[heir] = known, known.values()

    def _drop(self, scope: Scope) -> None:
        """Reports the events since the last complete fetch that had no room."""
        scope.drop(self._dropped, f"events of more than {_MOST_DOMAINS} domains are not counted")
        self._dropped = 0
        for domain in self._domains.values():
            kinds = f"events of more than {MOST_COUNTERS} kinds"
            scope.drop(domain.dropped, f"domain {domain.name}: {kinds} are not counted")
            domain.dropped = 0

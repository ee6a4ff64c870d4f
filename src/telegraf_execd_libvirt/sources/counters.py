"""Counters of what libvirt's events report about domains, kept until the domain is gone.

Invariant: counters of a domain that has left the host are written once more, so that a short
migration is seen, and dropped by the next fetch: an event may come after the domain has left, and
the lines of a fetch that fails are lost. The number of counters of a domain is bounded, so that one
domain takes no room from another; what is not counted is logged once, and its number is in the
health.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Optional

from ..domain.record import Domain, record
from .source import Scope

#: Counters of one domain in one source, and domains; more are not kept. libvirt has at most 16,384
#: domains per hypervisor.
MOST_COUNTERS = 256
_MOST_DOMAINS = 16_384

#: The tags of one counter beside those of the domain: names and values.
Tags = tuple[tuple[str, str], ...]


@dataclass
class _Counted:
    """What is counted of one domain: keys and values by the tags of the line."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    values: dict[Tags, dict[str, Optional[int]]] = field(default_factory=dict)
    #: Events since the last complete fetch that had no room.
    dropped: int = 0
    #: The values that were written after the domain had gone.
    written: Optional[Mapping[Tags, Mapping[str, Optional[int]]]] = None


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
            if at not in domain.values and len(domain.values) >= MOST_COUNTERS:
                domain.dropped += 1
                return
            values = domain.values.setdefault(at, {})
            for key, change in changes.items():
                values[key] = (values.get(key) or 0) + change
            values.update(latest)

    def records(self, scope: Scope) -> Iterator[Domain]:
        """The records of all counters."""
        with self._lock:
            counted = [
                (uuid, domain, {at: dict(values) for at, values in domain.values.items()})
                for uuid, domain in self._domains.items()
            ]
        handles = {scope.uuid(h): h for h in scope.domains(any_state=True, hung=True)}
        names = {scope.name(handle) for handle in handles.values()}
        for uuid, domain, counters in counted:
            handle = handles.get(uuid)
            if handle is not None:
                domain.tags = scope.tags(handle)
            elif not domain.tags:  # locked since its first event
                domain.tags = scope.last_tags(uuid)
            is_last = handle is None and domain.written == counters
            # A domain that was defined again has the same series.
            is_other = handle is None and (domain.name in names or not scope.selects(domain.name))
            if not (is_last or is_other):
                for at, values in sorted(counters.items()):
                    yield record(domain.name, self._prefix, values, {**domain.tags, **dict(at)})
        with self._lock:
            self._drop(scope)
            for uuid, domain, counters in counted:
                is_gone = uuid not in handles and scope.sees_all
                if is_gone and domain.written == domain.values:
                    self._domains.pop(uuid, None)
                domain.written = counters if is_gone else None

    def _drop(self, scope: Scope) -> None:
        """Reports the events since the last complete fetch that had no room."""
        scope.drop(self._dropped, f"events of more than {_MOST_DOMAINS} domains are not counted")
        self._dropped = 0
        for domain in self._domains.values():
            kinds = f"events of more than {MOST_COUNTERS} kinds"
            scope.drop(domain.dropped, f"domain {domain.name}: {kinds} are not counted")
            domain.dropped = 0

"""Source ``event``: counters of libvirt's events.

Events are counted as they come, in libvirt's event thread, and written at the tick. A flood of
events, such as I/O errors, costs one counter. Events during a reconnect are lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from ..domain import Domain
from ..groups import event
from .event_names import KINDS, names
from .source import Source, record

if TYPE_CHECKING:
    from ..connection.scope import Scope

#: Counters of all domains together; more are not kept.
MOST_COUNTERS = 10_000


@dataclass
class _Counted:
    """The events of one domain: number and time of the last one, by event and detail."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    counters: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)


class Events:
    """The counters of one hypervisor, by the UUIDs of its domains."""

    def __init__(self) -> None:
        self._scope: Optional[Scope] = None
        self._lock = threading.Lock()
        self._domains: dict[str, _Counted] = {}
        self._size = 0

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        if self._scope is not scope:
            self._scope = scope
            scope.watch(KINDS, lambda *happened: self._count(scope, *happened))
        with self._lock:
            counted = [
                (uuid, domain, dict(domain.counters)) for uuid, domain in self._domains.items()
            ]
        handles = {scope.uuid(h): h for h in scope.domains(any_state=True, hanging=True)}
        for uuid, domain, counters in counted:
            handle = handles.get(uuid)
            if handle is not None:
                domain.tags = scope.tags(handle)
            if handle is not None or scope.selects(domain.name):
                yield from _records(domain, counters)
            if handle is None:  # its last events are written once
                self._drop(uuid)

    def _drop(self, uuid: str) -> None:
        with self._lock:
            domain = self._domains.pop(uuid, None)
            self._size -= len(domain.counters) if domain is not None else 0

    def _count(
        self, scope: Scope, kind: int, uuid: str, name: str, arguments: tuple[Any, ...]
    ) -> None:
        at = names(kind, arguments)
        with self._lock:
            if scope is not self._scope:
                return  # a connection that was given up
            domain = self._domains.get(uuid)
            if domain is None or at not in domain.counters:
                if self._size >= MOST_COUNTERS:
                    return
                self._size += 1
                domain = domain or self._domains.setdefault(uuid, _Counted(name))
            domain.name = name
            count, _ = domain.counters.get(at, (0, 0))
            domain.counters[at] = (count + 1, int(time.time()))


def _records(
    domain: _Counted, counters: Mapping[tuple[str, str], tuple[int, int]]
) -> Iterator[Domain]:
    for (name, detail), (count, last) in sorted(counters.items()):
        tags = {**domain.tags, "event": name, "detail": detail}
        yield record(domain.name, "event", {"count": count, "last": last}, tags)


SOURCE = Source(group=event.GROUP, new=Events)

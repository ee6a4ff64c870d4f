"""Source ``event``: counters of libvirt's events.

Events are counted as they come, in libvirt's event thread, and written at the tick. A flood of
events, such as I/O errors, costs one counter. Events during a reconnect are lost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..domain.record import Domain
from ..groups import event
from .counters import Counters
from .event_names import KINDS, names
from .source import Source

if TYPE_CHECKING:
    from .scope import Scope


class Events:
    """The events of one hypervisor."""

    def __init__(self) -> None:
        self._counters = Counters("event")

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        self._counters.watch(scope, KINDS, self._count)
        yield from self._counters.records(scope)

    def _count(
        self, scope: Scope, kind: int, uuid: str, name: str, arguments: tuple[Any, ...]
    ) -> None:
        event_name, detail = names(kind, arguments)
        at = (("event", event_name), ("detail", detail))
        self._counters.add(scope, uuid, name, at, {"count": 1}, {"last": int(time.time())})


SOURCE = Source(group=event.GROUP, new=Events)

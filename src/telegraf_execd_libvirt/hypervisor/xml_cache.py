"""The domains' XML, parsed once and kept until it may have changed.

Invariant: an entry is as new as the last event about its domain, also an event that comes while
the XML is being read.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Optional

from ..log import log
from .devices import Devices, parse

#: An entry is read again after this, for drivers and changes without an event.
_OLDEST_SECONDS = 60.0

#: What tells one life of a domain from the next: whether it runs, and its id.
Life = tuple[bool, int]

_NOTHING = Devices((), (), None)


class XmlCache:
    """The devices of domains by UUID. Several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held for moments, never while the XML is read
        self._known: dict[str, tuple[Life, float, Devices]] = {}
        self._reading: dict[str, object] = {}
        self._swept = 0.0

    def forget(self, uuid: str) -> None:
        """The domain has changed: an entry, and a read that is under way, are out of date."""
        with self._lock:
            self._reading.pop(uuid, None)
            self._known.pop(uuid, None)

    def devices(
        self, uuid: str, life: Life, read: Callable[[], Optional[str]]
    ) -> Optional[Devices]:
        """The devices of a domain; ``read`` fetches the XML if it is needed, or returns None."""
        now = time.monotonic()
        known = self._known.get(uuid)
        if known is not None and known[0] == life and now - known[1] <= _OLDEST_SECONDS:
            return known[2]
        mark = self._reading[uuid] = object()
        xml = read()
        if xml is None:
            return None
        try:
            found = parse(xml)
        except ValueError as error:
            log.warning("domain %s: %s", uuid, error)
            found = _NOTHING
        with self._lock:
            if self._reading.get(uuid) is mark:
                del self._reading[uuid]
                self._known[uuid] = (life, now, found)
            if now - self._swept > _OLDEST_SECONDS:  # domains may be gone without an event
                self._swept = now
                self._known = {
                    uuid: entry
                    for uuid, entry in self._known.items()
                    if now - entry[1] <= _OLDEST_SECONDS
                }
        return found

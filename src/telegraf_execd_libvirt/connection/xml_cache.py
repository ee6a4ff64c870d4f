"""The cache of what is read from the domains' XML.

Invariant: an entry is read after the last event about its domain, also if the event arrives during
a read. Reads of old entries are spread over time.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Any, Callable, Generic, Optional, TypeVar

from ..log import log

T = TypeVar("T")

_NOTHING: frozenset[object] = frozenset()

#: One life of a domain: its id, a new number at each start and -1 while it is off.
Life = int

#: The life of an entry that is out of date: no domain has it.
_OVER: Life = -2


class XmlCache(Generic[T]):
    """The results of ``parse`` by UUID, for about ``seconds``; ``nothing`` if the XML is unusable
    (ValueError), and ``unusable`` gets that error. Instead of XML, ``parse`` may get other data of
    a domain. Several threads may use the cache."""

    def __init__(self, parse: Callable[[Any], T], nothing: T, seconds: float) -> None:
        self._parse = parse
        self._nothing = nothing
        self._seconds = seconds
        self.unusable: Callable[[str, ValueError], None] = _warn
        self._lock = threading.Lock()  # held for moments, never while XML is read
        self._swept = 0.0
        self._known: dict[str, tuple[Life, float, T]] = {}
        self._reading: dict[str, object] = {}
        self._lacks: dict[str, frozenset[object]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def forget(self, uuid: str) -> None:
        """The domain has changed: an entry, and a read that is under way, are out of date."""
        with self._lock:
            self._reading.pop(uuid, None)
            if (entry := self._known.get(uuid)) is not None:
                self._known[uuid] = (_OVER, time.monotonic(), entry[2])

    def last(self, uuid: str) -> Optional[T]:
        """What was read last, though it may be out of date or of another life; None if that is
        long ago."""
        entry = self._known.get(uuid)
        return None if entry is None else entry[2]

    def find(self, uuid: str, life: Life) -> tuple[Optional[T], bool]:
        """What was read in this life of the domain, or None; and whether its XML should be read
        (again)."""
        entry = self._known.get(uuid)
        if entry is None or entry[0] != life:
            return None, True
        return entry[2], entry[1] < time.monotonic()

    def doubt(self, uuid: str, lacks: frozenset[object]) -> bool:
        """Whether the entry, which lacks these, is now due: once for each of them. Its domain may
        have what its XML never names."""
        asked = self._lacks.get(uuid, _NOTHING)
        if lacks == asked:
            return False  # the usual case: it lacks nothing
        with self._lock:
            self._lacks[uuid] = lacks
            if not lacks:
                del self._lacks[uuid]
            if lacks <= asked:
                return False
            self._reading.pop(uuid, None)
            if (entry := self._known.get(uuid)) is not None:
                self._known[uuid] = (entry[0], time.monotonic() - 1.0, entry[2])
        return True

    def doubt_all(self) -> None:
        """All entries are due now, and reads that are under way may be out of date."""
        with self._lock:
            self._reading.clear()
            past = time.monotonic() - 1.0
            self._known = {uuid: (e[0], min(e[1], past), e[2]) for uuid, e in self._known.items()}

    def get(self, uuid: str, life: Life, read: Callable[[], Optional[Any]]) -> Optional[T]:
        """What was read in this life of the domain. If it is due, reads the XML with ``read``,
        which may raise ValueError too; None if ``read`` returns None. If the result is equal to
        the known one, returns the known object."""
        known, is_due = self.find(uuid, life)
        if not is_due:
            return known
        mark = self._reading[uuid] = object()
        try:
            return self._read(uuid, life, read, mark)
        finally:
            with self._lock:
                if self._reading.get(uuid) is mark:
                    del self._reading[uuid]

    def _read(
        self, uuid: str, life: Life, read: Callable[[], Optional[Any]], mark: object
    ) -> Optional[T]:
        """The same with a new read, whose ``mark`` stays unless the domain changes meanwhile."""
        now = time.monotonic()
        try:
            xml = read()  # UnicodeDecodeError is a ValueError
            if xml is None:
                return None
            found = self._parse(xml)
        except ValueError as error:
            self.unusable(uuid, error)
            found = self._nothing
        with self._lock:
            old = self._known.get(uuid)
            if old is not None and old[2] == found:
                found = old[2]
            if self._reading.get(uuid) is mark:
                self._known[uuid] = (life, now + self._seconds * random.uniform(0.75, 1.0), found)
            if now - self._swept > self._seconds:
                self._swept = now
                # The domains of entries that were not read again when they were due are gone.
                oldest = now - self._seconds
                self._known = {uuid: e for uuid, e in self._known.items() if e[1] > oldest}
                self._lacks = {uuid: e for uuid, e in self._lacks.items() if uuid in self._known}
        return found


def _warn(uuid: str, error: ValueError) -> None:
    log.warning("domain %s: %s", uuid, error)

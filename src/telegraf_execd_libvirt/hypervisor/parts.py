"""Bulk statistics in parts, where one answer cannot hold them all.

Rule guarded: an answer that libvirt cannot give (larger than its limit, or with a string that is
not UTF-8) loses no tick, and costs the one domain that cannot be had alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from ..domain import Domain
from ..log import log
from . import binding
from .binding import Connection, Handle
from .errors import LibvirtError, Meaning

#: Where there are several answers, small ones cost less: more of them stays in processors' caches.
_MOST_IN_A_LIST = 100


class Parts:
    """Asks one connection for statistics, and learns how many domains fit in an answer."""

    def __init__(self, connection: Connection, groups: int, backing_chain: bool) -> None:
        self._connection = connection
        self._groups = groups
        self._backing_chain = backing_chain

    def ask(self, handles: Optional[list[Handle]]) -> Iterator[list[Domain]]:
        """The statistics of these domains, of all with None; answer by answer."""
        if self._connection.fits is None:
            yield from self._ask(handles)
            return
        if handles is None:
            handles = self._connection.domains()
        size = min(self._connection.fits, _MOST_IN_A_LIST)
        for start in range(0, len(handles), size):
            yield from self._ask(handles[start : start + size])

    def _ask(self, handles: Optional[list[Handle]]) -> Iterator[list[Domain]]:
        try:
            domains = self._connection.statistics(handles, self._groups, self._backing_chain)
        except LibvirtError as error:
            if error.meaning is not Meaning.TOO_LARGE:
                raise
            too_large, reason = True, str(error)
        except UnicodeDecodeError as error:
            too_large, reason = False, str(error)
        else:
            yield domains
            return
        if handles is None:
            handles = self._connection.domains()
        if len(handles) <= 1:
            self._give_up(handles, reason)
            return
        half = (len(handles) + 1) // 2
        if too_large:
            self._connection.fits = half
        yield from self._ask(handles[:half])
        yield from self._ask(handles[half:])

    def _give_up(self, handles: list[Handle], reason: str) -> None:
        for uuid in map(binding.uuid, handles):
            if uuid not in self._connection.refused:
                self._connection.refused.add(uuid)
                log.warning("domain %s: no statistics: %s", uuid, reason)

"""The bulk call by one connection: its flags, and answers that libvirt cannot give whole.

Invariant: an answer that is larger than libvirt's limit, or has a string that is not UTF-8, costs
the one domain that cannot be read alone; if no domain at all can be read, the call fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from ..domain import Stats
from ..log import log
from . import libvirt_api
from .errors import ErrorKind, LibvirtError
from .facts import Facts
from .libvirt_api import BACKING, NOWAIT, Connection, Handle

Records = list[tuple[Handle, Stats]]

#: What drivers answer to a flag that they do not know (vz: NOWAIT): INVALID_ARG,
#: ARGUMENT_UNSUPPORTED.
_FLAG_NOT_KNOWN = (8, 74)

#: After this many domains that are refused one by one while none is read, the call has failed.
_MOST_REFUSED = 3


class Bulk:
    """Bulk statistics of the groups in ``mask``, with ``backing_chain`` of backing images too;
    ``states`` are the bits of libvirt's filters by state."""

    def __init__(
        self, connection: Connection, facts: Facts, mask: int, backing_chain: bool, states: int
    ) -> None:
        self._connection = connection
        self._facts = facts
        self._mask = mask
        self._backing_chain = backing_chain
        self._states = states
        self._read = 0
        self._refused: dict[str, Exception] = {}

    def read(self, handles: Optional[list[Handle]]) -> Iterator[Records]:
        """The statistics of these domains, of all with None, answer by answer; raises
        LibvirtError."""
        fits = self._facts.fits
        if fits is None:
            yield from self._read_whole(handles)
        else:
            if handles is None:
                handles = self._connection.domains(self._states)
            for start in range(0, len(handles), fits):
                yield from self._read_whole(handles[start : start + fits])
        self._report()

    def _read_whole(self, handles: Optional[list[Handle]]) -> Iterator[Records]:
        """By one call, or by two for the halves, and so on."""
        failure: Exception
        try:
            records = self._call(handles)
        except LibvirtError as error:
            if error.kind is not ErrorKind.TOO_LARGE:
                raise
            failure = error
        except UnicodeDecodeError as error:
            failure = error
        else:
            self._read += len(records)
            yield records
            return
        if handles is None:
            handles = self._connection.domains(self._states)
        if len(handles) <= 1:
            self._refuse(handles, failure)
            return
        half = (len(handles) + 1) // 2
        yield from self._read_whole(handles[:half])
        if isinstance(failure, LibvirtError) and self._read:
            self._facts.fits = min(half, self._facts.fits or half)
        yield from self._read_whole(handles[half:])

    def _refuse(self, handles: list[Handle], failure: Exception) -> None:
        self._refused.update((libvirt_api.uuid(handle), failure) for handle in handles)
        if len(self._refused) >= _MOST_REFUSED:
            self._check(failure)

    def _check(self, failure: Exception) -> None:
        if isinstance(failure, LibvirtError) and not self._read:
            raise failure

    def _report(self) -> None:
        """Logs each domain that was refused, once."""
        for uuid, failure in self._refused.items():
            self._check(failure)
            if uuid not in self._facts.refused:
                self._facts.refused.add(uuid)
                log.warning("domain %s: no statistics: %s", uuid, failure)

    def _call(self, handles: Optional[list[Handle]]) -> Records:
        """One call. A flag is given up once a call without it has succeeded."""
        facts = self._facts
        nowait = NOWAIT if facts.nowait else 0
        backing = BACKING if self._backing_chain and facts.backing else 0
        states = self._states if facts.state_filter else 0
        refusal: Optional[LibvirtError] = None
        known = (nowait | backing, backing, nowait, 0)
        for flags in dict.fromkeys([*(flags | states for flags in known), *known]):
            try:
                if handles is None:
                    records = self._connection.all_statistics(self._mask, flags)
                else:
                    records = self._connection.statistics(handles, self._mask, flags)
            except LibvirtError as error:
                if error.code not in _FLAG_NOT_KNOWN:
                    raise
                refusal = refusal or error
                continue
            if refusal is not None:
                self._give_up(nowait & ~flags, backing & ~flags, states & ~flags)
            return records
        assert refusal is not None
        raise refusal

    def _give_up(self, nowait: int, backing: int, states: int) -> None:
        driver = self._connection.driver
        if states and self._facts.state_filter:
            self._facts.state_filter = False
            log.info("driver %s does not know filters by state", driver)
        if nowait and self._facts.nowait:
            self._facts.nowait = False
            log.info("driver %s does not know the flag NOWAIT", driver)
        if backing and self._facts.backing:
            self._facts.backing = False
            log.info("driver %s does not know backing images", driver)

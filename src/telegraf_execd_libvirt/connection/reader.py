"""Serve requests on one connection: list the domains, read the statistics of a batch of them.

Invariant: if an answer is larger than libvirt's limit or has a string that is not UTF-8, only the
domain that causes it is left out; if libvirt lets no domain be read, the request fails. A request
may hang, which the caller handles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Optional

from ..domain.record import Domain
from ..log import log
from . import api
from .api import BACKING, NOWAIT, Connection, Handle, Records
from .details import Details
from .errors import NO_SUPPORT, ErrorKind, LibvirtError
from .facts import Facts
from .requests import (
    BatchRequest,
    Content,
    HostRequest,
    Listing,
    Piece,
    Request,
    Wanted,
    XmlRequest,
)

#: Error codes for a flag that the driver does not know (vz: NOWAIT): INVALID_ARG,
#: ARGUMENT_UNSUPPORTED.
_FLAG_NOT_KNOWN = (8, 74)

#: The request fails after this many domains were refused one by one and none was read.
_MOST_REFUSED = 3


class Reader:
    """Serves requests on one connection. The constructor may hang, and raises LibvirtError."""

    def __init__(self, uri: str, wanted: Wanted, facts: Facts) -> None:
        self.connection = Connection(uri)
        #: The number of domains at the start; None if it is not known.
        self.count = self.connection.count()
        self._details = Details(self.connection, wanted, facts)
        self._wanted = wanted
        self._facts = facts
        self._handles: dict[str, Handle] = {}
        self._read = 0
        self._refused: dict[str, Exception] = {}

    @property
    def at(self) -> str:
        """The domain whose own calls are running; empty if there are none."""
        return self._details.at

    def close(self) -> None:
        """Drops what keeps the connection open."""
        self.connection.unwatch()
        self._handles.clear()

    def read(self, request: Request) -> Iterator[Content]:
        """The answer to a request, part by part; raises LibvirtError."""
        try:
            if isinstance(request, BatchRequest):
                yield from self._batch(request)
            elif isinstance(request, XmlRequest):
                names = [name for name in request.names if name not in request.stuck]
                yield self._details.identities(self._known(names))
            elif isinstance(request, HostRequest):
                yield self._details.host()
        finally:
            self._details.at = ""  # also after an error in a call for one domain

    def _batch(self, request: BatchRequest) -> Iterator[Content]:
        names = request.names
        if request.list_first:
            names = self._list()
            yield Listing(names)
            names = names[: request.list_first]
        handles = None if names is None else self._known(names)
        for records in self._records(handles, self._wanted.mask(request.no_monitor)):
            yield self._piece(records, request)
            records.clear()

    def _list(self) -> list[str]:
        handles = self.connection.domains(self._wanted.selection.flags)
        self._handles = dict(zip(api.names(handles), handles))
        return self._wanted.selection.names(self._handles)

    def _known(self, names: Sequence[str]) -> list[Handle]:
        """The handles of these domains; a domain that no longer exists has none."""
        if not self._handles.keys() >= set(names):
            self._list()
        return [self._handles[name] for name in names if name in self._handles]

    def _piece(self, records: Records, request: BatchRequest) -> Piece:
        partial = set(self._details.fill(records, request))
        if self._wanted.selection.by_state:
            has_state = self._wanted.selection.has_state
            records[:] = [record for record in records if has_state(record[1])]
        domains, due = [], []
        for handle, stats in records:
            life = api.life(handle)
            identity, is_due = self._details.identity(handle, life)
            domain = Domain(api.name(handle), life != -1, stats, identity)
            domains.append(domain)
            if is_due:
                due.append(domain.name)
                self._handles[domain.name] = handle
        if request.no_monitor:
            partial.update(domain.name for domain in domains if domain.active)
        elif self._has_bulk:
            partial |= self._facts.completeness.incomplete(domains)
        return Piece(domains, frozenset(partial), due)

    @property
    def _has_bulk(self) -> bool:
        return self._wanted.bulk and self._facts.has_bulk

    def _records(self, handles: Optional[list[Handle]], mask: Optional[int]) -> Iterator[Records]:
        """The bulk statistics of these domains (None: of all), answer by answer; without bulk
        statistics, domains without keys."""
        if self._has_bulk and mask is not None:
            try:
                yield from self._bulk(handles, mask)
                return
            except LibvirtError as error:
                if error.code != NO_SUPPORT:
                    raise
                self._facts.has_bulk = False
        yield [(handle, {}) for handle in self._all(handles)]

    def _all(self, handles: Optional[list[Handle]]) -> list[Handle]:
        if handles is not None:
            return handles
        return self.connection.domains(self._wanted.selection.flags)

    def _bulk(self, handles: Optional[list[Handle]], mask: int) -> Iterator[Records]:
        self._read, self._refused = 0, {}
        if (fits := self._facts.fits) is None:
            yield from self._halve(handles, mask)
        else:
            handles = self._all(handles)
            for start in range(0, len(handles), fits):
                yield from self._halve(handles[start : start + fits], mask)
        for uuid, failure in self._refused.items():
            self._check(failure)
            if uuid not in self._facts.refused:
                self._facts.refused.add(uuid)
                log.warning("domain %s: no statistics: %s", uuid, failure)

    def _halve(self, handles: Optional[list[Handle]], mask: int) -> Iterator[Records]:
        """Make one call; if its answer cannot be received, one call for each half, and so on."""
        failure: Exception
        try:
            records = self._call(handles, mask)
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
        handles = self._all(handles)
        if len(handles) <= 1:
            self._refused.update((api.uuid(handle), failure) for handle in handles)
            if len(self._refused) >= _MOST_REFUSED:
                self._check(failure)
            return
        half = (len(handles) + 1) // 2
        yield from self._halve(handles[:half], mask)
        if isinstance(failure, LibvirtError) and self._read:
            self._facts.fits = min(half, self._facts.fits or half)
        yield from self._halve(handles[half:], mask)

    def _check(self, failure: Exception) -> None:
        """Raises an error of libvirt's if no domain at all was read."""
        if isinstance(failure, LibvirtError) and not self._read:
            raise failure

    def _call(self, handles: Optional[list[Handle]], mask: int) -> Records:
        """One call. A flag is given up once a call without it has succeeded."""
        facts = self._facts
        nowait = NOWAIT if facts.nowait else 0
        backing = BACKING if self._wanted.backing_chain and facts.backing else 0
        states = self._wanted.selection.flags if facts.state_filter else 0
        known = (nowait | backing, backing, nowait, 0)
        refusal: Optional[LibvirtError] = None
        for flags in dict.fromkeys([*(flags | states for flags in known), *known]):
            try:
                records = self.connection.statistics(handles, mask, flags)
            except LibvirtError as error:
                if error.code not in _FLAG_NOT_KNOWN:
                    raise
                refusal = refusal or error
                continue
            if refusal is not None:
                driver = self.connection.driver
                facts.give_up(driver, nowait & ~flags, backing & ~flags, states & ~flags)
            return records
        assert refusal is not None
        raise refusal

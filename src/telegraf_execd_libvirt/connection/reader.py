"""Serve requests on one connection: list the domains, read the statistics of a batch of them.

Invariant: if an answer is larger than libvirt's limit or has a string that is not UTF-8, or if a
call fails again, only the domain that causes it is left out; if libvirt lets no domain be read, the
request fails. A request may hang, which the caller handles.
"""

from __future__ import annotations

import functools
from collections.abc import Container, Generator, Iterator
from typing import Optional

from ..domain.record import Domain
from ..log import log
from . import api
from .api import BACKING, NOWAIT, Connection, EventTaker, Handle, Records
from .details import Details
from .errors import NO_SUPPORT, ErrorKind, LibvirtError
from .facts import Facts
from .handles import Handles
from .requests import (
    BatchRequest,
    Content,
    ControlRequest,
    HostRequest,
    ListRequest,
    Piece,
    Progress,
    Request,
    Wanted,
    XmlRequest,
)

#: Error codes for a flag that the driver does not know (vz: NOWAIT): INVALID_ARG,
#: ARGUMENT_UNSUPPORTED.
_FLAG_NOT_KNOWN = (8, 74)

#: The request fails after this many domains failed one by one and none was read.
_MOST_UNREADABLE = 3

#: After these errors a request is divided, if it may be: until libvirt notices that the QEMU of one
#: guest has ended, each call fails for all guests in it.
_OF_ONE = (ErrorKind.FAILED, ErrorKind.BUSY)


class Reader:
    """Serves requests on one connection, and writes to ``progress`` where it is. The constructor
    may hang, and raises LibvirtError."""

    def __init__(
        self,
        uri: str,
        wanted: Wanted,
        facts: Facts,
        progress: Progress,
        changed: EventTaker = lambda *_: None,
        read_only: bool = True,
    ) -> None:
        self.connection = Connection(uri, read_only)
        self._details = Details(self.connection, wanted, facts, progress)
        self._changed = changed
        self._wanted = wanted
        self._facts = facts
        self._handles = Handles(self.connection, wanted.selection, progress)
        self._read, self._divides = 0, False
        self._unreadable: dict[str, Exception] = {}
        #: The flags that a driver may not know; what is attempted if it does not know some.
        self._optional = {
            "the flag NOWAIT": NOWAIT,
            "backing images": BACKING if wanted.backing_chain else 0,
            "filters by state": wanted.selection.flags,
        }
        self._attempts: Optional[tuple[set[str], list[int]]] = None

    def close(self) -> None:
        """Drops what keeps the connection open."""
        self.connection.unwatch()
        self._handles.clear()

    def answer(self, request: Request, facts: Optional[Facts] = None) -> Iterator[Content]:
        """The answer to a request, part by part, with the ``facts`` that are known now instead of
        the last ones; raises LibvirtError."""
        self._facts = self._details.facts = facts or self._facts
        if not self._wanted.bulk:
            self._facts.has_bulk = False
        if isinstance(request, BatchRequest):
            yield from self._batch(request)
        elif isinstance(request, XmlRequest):
            names = [name for name in request.names if name not in request.hung]
            handles = self._handles.known(names, request.uuids)
            is_control = isinstance(request, ControlRequest)
            yield (self._details.controls if is_control else self._details.identities)(handles)
            self._handles.forget(self._details.gone)
        elif isinstance(request, HostRequest):
            yield self._details.host()
        elif isinstance(request, ListRequest):
            yield self._handles.list_all()
        else:
            self._details.watch(self._changed)

    def is_usable(self, error: Optional[LibvirtError]) -> bool:
        """Whether the connection serves further requests after this outcome. An error that speaks
        of a lost connection may be one of another daemon, behind this one."""
        return self.connection.works(ask=error is not None and error.kind is ErrorKind.LOST)

    def _batch(self, request: BatchRequest) -> Iterator[Content]:
        self._divides = request.divide
        handles, names = None, request.names
        if names is None or not (self._facts.has_bulk or request.uuids):
            self._handles.clear()  # without bulk statistics: only a new one says what runs
        if names is not None:
            handles = self._handles.known(names, request.uuids, request.look_up)
        read = yield from self._pieces(handles, request)
        if names and read + len(self._unreadable) < len(handles or ()):
            yield from self._pieces(self._handles.renewed(names, request.uuids), request)

    def _pieces(
        self, handles: Optional[list[Handle]], request: BatchRequest
    ) -> Generator[Content, None, int]:
        """The statistics of these domains (None: of all); returns the number of those read."""
        read = 0
        for records in self._records(handles, self._wanted.mask(request)):
            read += len(records)
            yield self._piece(records, request)
            records.clear()
        return read

    def _piece(self, records: Records, request: BatchRequest) -> Piece:
        partial = self._details.fill(records, request)
        if self._wanted.selection.by_state:
            records[:] = [
                record for record in records if self._wanted.selection.has_state(record[1])
            ]
        handles = [handle for handle, _ in records]
        names, lives = api.names(handles), [*map(api.life, handles)]
        domains, due = [], []
        for (handle, stats), name, life in zip(records, names, lives):
            identity, is_due = self._details.identity(handle, life, stats)
            domains.append(Domain(name, life != -1, stats, identity, request.groups))
            if is_due:
                due.append(name)
                self._handles.keep(handle)
        if "\\x" in "\n".join(names):
            self._details.check_names(handles, names)
        if request.no_monitor:
            partial.update(domain.name for domain in domains if domain.active)
        elif self._facts.has_bulk and self.connection.driver == "QEMU":
            ask = functools.partial(self._ask_more, request)
            partial |= self._facts.completeness.of(request.groups).incomplete(handles, domains, ask)
        uuids = self._handles.uuids(handles, names, lives) if request.names is None else {}
        return Piece(domains, frozenset(partial), due, uuids)

    def _ask_more(self, request: BatchRequest, handles: list[Handle], groups: int) -> Records:
        """The bulk statistics of these domains, with more groups; none if they cannot be read."""
        try:
            return self._call(handles, (self._wanted.mask(request) or 0) | groups)
        except LibvirtError as error:
            if error.kind is ErrorKind.LOST:
                raise
        except UnicodeDecodeError:
            pass
        return []

    def _records(self, handles: Optional[list[Handle]], mask: Optional[int]) -> Iterator[Records]:
        """The bulk statistics of these domains (None: of all), answer by answer; without bulk
        statistics, domains without keys."""
        if self._facts.has_bulk and mask is not None:
            try:
                yield from self._bulk(handles, mask)
                return
            except LibvirtError as error:
                if error.code != NO_SUPPORT:
                    raise
                self._facts.has_bulk = False
        yield [(handle, {}) for handle in self._all(handles)]

    def _all(self, handles: Optional[list[Handle]]) -> list[Handle]:
        return self.connection.domains(self._wanted.selection.flags) if handles is None else handles

    def _bulk(self, handles: Optional[list[Handle]], mask: int) -> Iterator[Records]:
        self._read, self._unreadable = 0, {}
        if (fits := self._facts.fits) is None:
            yield from self._halve(handles, mask)
        else:
            handles = self._all(handles)
            for start in range(0, len(handles), fits):
                yield from self._halve(handles[start : start + fits], mask)
        for uuid, failure in self._unreadable.items():
            self._check(failure)
            self._facts.tell(uuid, "no statistics:", failure)

    def _halve(self, handles: Optional[list[Handle]], mask: int) -> Iterator[Records]:
        """Make one call; if its answer cannot be received, one call for each half, and so on."""
        try:
            records = self._call(handles, mask)
        except (LibvirtError, UnicodeDecodeError) as error:
            kind = error.kind if isinstance(error, LibvirtError) else ErrorKind.TOO_LARGE
            if kind is not ErrorKind.TOO_LARGE and not (self._divides and kind in _OF_ONE):
                raise
            failure: Exception = error
        else:
            self._read += len(records)
            yield records
            return
        handles = self._all(handles)
        if len(handles) <= 1:
            self._unreadable.update((api.uuid(handle), failure) for handle in handles)
            if len(self._unreadable) >= _MOST_UNREADABLE:
                self._check(failure)
            return
        half = (len(handles) + 1) // 2
        yield from self._halve(handles[:half], mask)
        if isinstance(failure, LibvirtError) and kind is ErrorKind.TOO_LARGE and self._read:
            self._facts.fits = min(half, self._facts.fits or half)
        yield from self._halve(handles[half:], mask)

    def _check(self, failure: Exception) -> None:
        """Raises an error of libvirt's if no domain at all was read."""
        if isinstance(failure, LibvirtError) and not self._read:
            raise failure

    def _call(self, handles: Optional[list[Handle]], mask: int) -> Records:
        """One call. A flag is dropped once a call without it has succeeded."""
        dropped = self._facts.dropped
        if self._attempts is None or dropped != self._attempts[0]:
            self._attempts = {*dropped}, self._flags(dropped)
        refusal: Optional[LibvirtError] = None
        for flags in self._attempts[1]:
            try:
                records = self.connection.statistics(handles, mask, flags)
            except LibvirtError as error:
                if error.code not in _FLAG_NOT_KNOWN:
                    raise
                refusal = refusal or error
                continue
            for what, bits in self._optional.items() if refusal is not None else ():
                if bits & ~flags and what not in dropped:
                    dropped.add(what)
                    log.info("driver %s does not know %s", self.connection.driver, what)
            return records
        assert refusal is not None
        raise refusal

    def _flags(self, dropped: Container[str]) -> list[int]:
        """The flags with which a call is attempted, one after the other."""
        nowait, backing, states = (0 if n in dropped else b for n, b in self._optional.items())
        known = (nowait | backing, backing, nowait, 0)
        return [*dict.fromkeys([*(flags | states for flags in known), *known])]

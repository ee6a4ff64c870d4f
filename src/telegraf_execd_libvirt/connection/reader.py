"""One connection and one request: which domains there are, and the statistics of a batch of them.

Invariant: a domain or a device that fails costs its own keys only. No thread, no clock: a request
that hangs is the concern of the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..domain import NO_IDENTITY, Domain, Identity
from ..groups import STATISTICS_GROUPS
from ..log import log
from ..schema import Group
from ..selection import Selection
from . import libvirt_api
from .bulk import Bulk, Records
from .domain_calls import DomainCalls
from .drivers import FILLED, has_in_bulk
from .errors import ErrorKind, LibvirtError
from .facts import Facts
from .libvirt_api import Connection, Handle
from .requests import (
    BatchRequest,
    Content,
    Host,
    HostRequest,
    Identities,
    Listing,
    Piece,
    Request,
    XmlRequest,
)
from .vcpu_mapping import drop_strays

#: libvirt's number for "the driver does not have this call".
_NO_SUPPORT = 3

_ALL_GROUPS = 0


@dataclass(frozen=True)
class Wanted:
    """What a configuration asks for. With ``everything`` all groups of the driver, known or not;
    with ``mapping`` also the mapping of vCPUs, with ``identity`` the domains' XML."""

    groups: Sequence[Group]
    selection: Selection
    everything: bool = False
    backing_chain: bool = False
    bulk: bool = True
    mapping: bool = False
    identity: bool = False
    host: bool = False

    def mask(self, no_monitor: bool) -> Optional[int]:
        """The bits of the groups, with ``no_monitor`` of those that need none; None if empty."""
        if self.everything and not no_monitor:
            return _ALL_GROUPS
        mask = sum(g.bit for g in self.groups if not (no_monitor and g.needs_monitor))
        if self.selection.by_state:
            mask |= STATISTICS_GROUPS["state"].bit
        return mask or None


class Reader:
    """Serves requests by one connection. Its making may hang; it raises LibvirtError."""

    def __init__(self, uri: str, wanted: Wanted, facts: Facts) -> None:
        self.connection = connection = Connection(uri)
        #: The number of domains at the start; None if it is not known.
        self.count = connection.count()
        #: The domain in whose own calls the reader is; empty outside of such calls.
        self.at = ""
        self._wanted = wanted
        self._facts = facts
        self._handles: dict[str, Handle] = {}
        self._watched = False

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
                self._watch()  # an event that comes while the XML is read must not be missed
                yield self._identities(request)
            elif isinstance(request, HostRequest):
                yield self._host()
        finally:
            self.at = ""

    def _batch(self, request: BatchRequest) -> Iterator[Content]:
        names = request.names
        if request.list_first:
            names = self._list()
            yield Listing(names)
            names = names[: request.list_first]
        handles = None if names is None else self._known(names)
        for records in self._records(handles, request.no_monitor):
            yield self._piece(records, request)
            records.clear()

    def _list(self) -> list[str]:
        handles = self.connection.domains(self._wanted.selection.flags)
        self._handles = dict(zip(libvirt_api.names(handles), handles))
        return self._wanted.selection.names(self._handles)

    def _known(self, names: Sequence[str]) -> list[Handle]:
        """The handles of these domains; a domain that no longer exists has none."""
        if not self._handles.keys() >= set(names):
            self._list()
        return [self._handles[name] for name in names if name in self._handles]

    @property
    def _has_bulk(self) -> bool:
        return self._wanted.bulk and self._facts.has_bulk

    def _records(self, handles: Optional[list[Handle]], no_monitor: bool) -> Iterator[Records]:
        """The bulk statistics, answer by answer; domains without keys where there are none."""
        mask = self._wanted.mask(no_monitor)
        flags = self._wanted.selection.flags
        if self._has_bulk and mask is not None:
            bulk = Bulk(self.connection, self._facts, mask, self._wanted.backing_chain, flags)
            try:
                yield from bulk.read(handles)
                return
            except LibvirtError as error:
                if error.code != _NO_SUPPORT:
                    raise
                self._facts.has_bulk = False
        if handles is None:
            handles = self.connection.domains(flags)
        yield [(handle, {}) for handle in handles]

    def _piece(self, records: Records, request: BatchRequest) -> Piece:
        self._watch()
        partial = set(self._fill(records, request))
        if self._wanted.selection.by_state:
            has_state = self._wanted.selection.has_state
            records[:] = [record for record in records if has_state(record[1])]
        due: list[str] = []
        domains = []
        for handle, stats in records:
            life = handle.ID()
            identity = self._identity(handle, life, due)
            domains.append(Domain(handle.name(), life != -1, stats, identity))
        if request.no_monitor:
            partial.update(domain.name for domain in domains if domain.active)
        elif self._has_bulk:
            partial |= self._facts.completeness.incomplete(domains)
        return Piece(domains, frozenset(partial), due)

    def _fill(self, records: Records, request: BatchRequest) -> Iterator[str]:
        """Adds the keys that calls for one domain give; yields the names of the domains that are
        not asked for all of them."""
        groups = self._per_domain_groups()
        if not groups and not self._wanted.mapping:
            return
        calls = DomainCalls(groups, self._wanted.mapping, self._facts)
        for handle, stats in records:
            name = libvirt_api.name(handle)
            if name in request.stuck:
                yield name
            if name not in request.skip:
                self.at = name
                calls.fill(handle, stats, request.no_monitor or name in request.stuck)
            if self._wanted.mapping:
                drop_strays(stats)

    def _per_domain_groups(self) -> list[Group]:
        """The wanted groups that this driver's bulk statistics do not have."""
        driver = self.connection.driver
        groups = list(self._wanted.groups)
        if self._wanted.selection.by_state and STATISTICS_GROUPS["state"] not in groups:
            groups.append(STATISTICS_GROUPS["state"])
        return [
            group
            for group in groups
            if group.name in FILLED and not (self._has_bulk and has_in_bulk(driver, group.name))
        ]

    def _watch(self) -> None:
        """Registers for events, once, if anything depends on the domains' XML."""
        if not self._watched and (self._wanted.identity or self._per_domain_groups()):
            self.connection.watch(self._facts.forget)
        self._watched = True

    def _identity(self, handle: Handle, life: int, due: list[str]) -> Optional[Identity]:
        """The domain's identity, if it is known; adds to ``due`` if its XML is to be read."""
        if not self._wanted.identity:
            return NO_IDENTITY
        found, is_due = self._facts.identities.find(handle.UUIDString(), life)
        if is_due:
            name = libvirt_api.name(handle)
            due.append(name)
            self._handles[name] = handle
        return found

    def _identities(self, request: XmlRequest) -> Identities:
        found = {}
        cache = self._facts.identities
        for handle in self._known([name for name in request.names if name not in request.stuck]):
            self.at = libvirt_api.name(handle)
            uuid, life = libvirt_api.uuid(handle), libvirt_api.identity(handle)
            known, is_due = cache.find(uuid, life)
            if is_due:
                known = cache.read(uuid, life, lambda: self._xml(handle))  # noqa: B023 (called here)
            if known is not None:
                found[self.at] = known
        return Identities(found)

    def _xml(self, handle: Handle) -> Optional[str]:
        try:
            return str(libvirt_api.call(handle, "XMLDesc"))
        except LibvirtError as error:
            if error.kind is ErrorKind.LOST:
                raise
            if error.kind is ErrorKind.TOO_LARGE:
                raise ValueError(f"the domain's XML is too large: {error}") from None
            log.debug("domain %s: no XML: %s", libvirt_api.uuid(handle), error)
            return None

    def _host(self) -> Host:
        return Host(
            self._host_call("getInfo") or (),
            self._host_call("getMemoryStats", -1, 0) or {},
            self._host_call("getCPUStats", -1, 0) or {},
        )

    def _host_call(self, method: str, *arguments: Any) -> Any:
        """The result of a call about the host, or None if the driver does not have it."""
        if method in self._facts.unsupported_calls:
            return None
        try:
            return self.connection.host(method, *arguments)
        except LibvirtError as error:
            if error.kind is ErrorKind.LOST:
                raise
            log.debug("no %s: %s", method, error)
            if error.code == _NO_SUPPORT:
                self._facts.unsupported_calls.add(method)
            return None

"""One connection and one request: which domains there are, and the statistics of a batch of them.

Invariant: a domain or a device that fails costs its own keys only. No thread, no clock: a request
that hangs is the concern of the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional, Union

from ..domain import Domain
from ..schema import Group
from . import libvirt_api
from .bulk import Bulk, Records
from .domain_calls import DomainCalls
from .drivers import FILLED, has_in_bulk
from .errors import LibvirtError
from .facts import Facts
from .libvirt_api import Connection, Handle
from .patience import MOST_HANGING_PER_DOMAIN
from .vcpu_mapping import drop_strays

#: libvirt's number for "the driver does not have this call".
_NO_SUPPORT = 3

_ALL_GROUPS = 0


@dataclass(frozen=True)
class Wanted:
    """What a configuration asks for. With ``everything`` all groups of the driver, known or not;
    ``names`` selects domains, all if empty; with ``mapping`` also the mapping of vCPUs."""

    groups: Sequence[Group]
    everything: bool = False
    backing_chain: bool = False
    bulk: bool = True
    mapping: bool = False
    names: frozenset[str] = frozenset()

    def mask(self, no_monitor: bool) -> Optional[int]:
        """The bits of the groups, with ``no_monitor`` of those that need none; None if empty."""
        if self.everything and not no_monitor:
            return _ALL_GROUPS
        return sum(g.bit for g in self.groups if not (no_monitor and g.needs_monitor)) or None


@dataclass(frozen=True)
class Request:
    """A batch to read: the domains of these names, or all domains.

    With ``list_first`` the domains are listed, and the first ``list_first`` of them are read. With
    ``no_monitor`` only statistics that need no monitor are requested. ``stuck`` counts the calls
    that hang on a domain: such a domain is asked for little, or only for its bulk statistics.
    """

    names: Optional[Sequence[str]] = None
    list_first: int = 0
    no_monitor: bool = False
    stuck: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """The names of all selected domains, in libvirt's order."""

    names: Sequence[str]


@dataclass(frozen=True)
class Piece:
    """Domains of a batch; ``partial`` names those that lack keys."""

    domains: list[Domain]
    partial: frozenset[str]


class Reader:
    """Reads batches by one connection. Its making may hang; it raises LibvirtError."""

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

    def read(self, request: Request) -> Iterator[Union[Listing, Piece]]:
        """The answer to a request, part by part; raises LibvirtError."""
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
        handles = self.connection.domains()
        self._handles = dict(zip(libvirt_api.names(handles), handles))
        wanted = self._wanted.names
        return [name for name in self._handles if not wanted or name in wanted]

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
        if self._has_bulk and mask is not None:
            bulk = Bulk(self.connection, self._facts, mask, self._wanted.backing_chain)
            try:
                yield from bulk.read(handles)
                return
            except LibvirtError as error:
                if error.code != _NO_SUPPORT:
                    raise
                self._facts.has_bulk = False
        if handles is None:
            handles = self.connection.domains()
        yield [(handle, {}) for handle in handles]

    def _piece(self, records: Records, request: Request) -> Piece:
        domains = [Domain(h.name(), h.ID() != -1, stats) for h, stats in records]
        partial: frozenset[str] = frozenset()
        if request.no_monitor:
            partial = frozenset(domain.name for domain in domains if domain.active)
        elif self._has_bulk:
            partial = self._facts.completeness.incomplete(domains)
        groups = self._per_domain_groups()
        if groups or self._wanted.mapping:
            partial |= self._fill(records, domains, groups, request)
        return Piece(domains, partial)

    def _fill(
        self, records: Records, domains: list[Domain], groups: list[Group], request: Request
    ) -> frozenset[str]:
        """Adds the keys that calls for one domain give; the names of the domains that lack some."""
        if groups and not self._watched:
            self._watched = True
            self.connection.watch(self._facts.xml.forget)
        calls = DomainCalls(groups, self._wanted.mapping, self._facts)
        partial = set()
        try:
            for (handle, _), domain in zip(records, domains):
                hangs = request.stuck.get(domain.name, 0)
                if hangs:
                    partial.add(domain.name)
                if hangs < MOST_HANGING_PER_DOMAIN:
                    self.at = domain.name
                    calls.fill(handle, domain, no_monitor=request.no_monitor or hangs > 0)
                if self._wanted.mapping:
                    drop_strays(domain.stats)
        finally:
            self.at = ""
        return frozenset(partial)

    def _per_domain_groups(self) -> list[Group]:
        """The wanted groups that this driver's bulk statistics do not have."""
        driver = self.connection.driver
        return [
            group
            for group in self._wanted.groups
            if group.name in FILLED and not (self._has_bulk and has_in_bulk(driver, group.name))
        ]

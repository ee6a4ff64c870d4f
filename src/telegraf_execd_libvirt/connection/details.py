"""Data that bulk statistics do not have: keys from calls for one domain, XML, and the host.

Invariant: if bulk statistics have everything that is wanted, no call is made. A failed call loses
only its own result, unless the connection is dead.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from ..domain.record import NO_IDENTITY, Identity
from ..groups.schema import Group
from ..log import log
from . import api
from .api import Connection, Handle, Records
from .domain_calls import DomainCalls
from .drivers import FILLED, has_in_bulk
from .errors import NO_SUPPORT, ErrorKind, LibvirtError
from .facts import Facts
from .requests import BatchRequest, Host, Identities
from .wanted import Wanted

#: CPUs that are added to the host are known after at most this time.
_CPUS_SECONDS = 600.0


class Details:
    """Reads the details on one connection."""

    def __init__(self, connection: Connection, wanted: Wanted, facts: Facts) -> None:
        #: The domain whose own calls are running; empty if there are none.
        self.at = ""
        self._connection = connection
        self._wanted = wanted
        self._facts = facts
        self._watched = False
        self._cpus, self._cpus_until = 0, 0.0

    def fill(self, records: Records, request: BatchRequest) -> frozenset[str]:
        """Adds the keys from calls for one domain; returns the names of the domains for which only
        some calls are made. Raises LibvirtError only if the connection is dead."""
        groups = self._groups()
        self._watch()
        if not groups and not self._wanted.mapping:
            return frozenset()
        partial = set()
        mapping = self._wanted.mapping
        has_vcpus = mapping or any(group.name == "vcpu" for group in groups)
        cpus = self._host_cpus() if has_vcpus else 0
        calls = DomainCalls(groups, mapping, self._facts, cpus)
        for handle, stats in records:
            name = api.name(handle)
            if name in request.stuck:
                partial.add(name)
            if name not in request.skip:
                self.at = name
                calls.fill(handle, stats, request.no_monitor or name in request.stuck)
        self.at = ""
        return frozenset(partial)

    def _watch(self) -> None:
        """Registers for events, once, if anything depends on the domains' configuration."""
        if not self._watched and self._has_memory:
            self._connection.watch(self._facts.forget)
        self._watched = True

    @property
    def _has_memory(self) -> bool:
        """Whether anything is kept that changes with the domains' configuration."""
        return self._wanted.identity or self._wanted.mapping or bool(self._groups())

    def _groups(self) -> list[Group]:
        """The wanted groups that this driver's bulk statistics do not have."""
        driver = self._connection.driver
        bulk = self._wanted.bulk and self._facts.has_bulk
        return [
            group
            for group in self._wanted.all_groups
            if group.name in FILLED and not (bulk and has_in_bulk(driver, group.name))
        ]

    def identity(self, handle: Handle, life: int) -> tuple[Optional[Identity], bool]:
        """The domain's identity, if it is known, and whether its XML is to be read."""
        if not self._wanted.identity:
            return NO_IDENTITY, False
        return self._facts.identities.find(handle.UUIDString(), life)

    def identities(self, handles: Sequence[Handle]) -> Identities:
        """The identities of these domains, from their XML where that is due."""
        self._watch()  # an event that comes while XML is read must not be missed
        found = dict(self._read_identities(handles))
        self.at = ""
        return Identities(found)

    def _read_identities(self, handles: Sequence[Handle]) -> Iterator[tuple[str, Identity]]:
        cache = self._facts.identities
        for handle in handles:
            self.at = api.name(handle)
            life = api.identity(handle)
            identity, due = self.identity(handle, life)
            if due:
                uuid = api.uuid(handle)
                identity = cache.read(uuid, life, lambda: self._xml(handle))  # noqa: B023
            if identity is not None:
                yield self.at, identity

    def _xml(self, handle: Handle) -> Optional[str]:
        try:
            return str(api.call(handle, "XMLDesc"))
        except LibvirtError as error:
            if error.kind is ErrorKind.LOST:
                raise
            if error.kind is ErrorKind.TOO_LARGE:
                raise ValueError(f"the domain's XML is too large: {error}") from None
            log.debug("domain %s: no XML: %s", api.uuid(handle), error)
            return None

    def host(self) -> Host:
        """The CPUs and the memory of the host, as far as the driver has them."""
        return Host(
            self._host_call("getInfo") or (),
            self._host_call("getMemoryStats", -1, 0) or {},
            self._host_call("getCPUStats", -1, 0) or {},
        )

    def _host_cpus(self) -> int:
        """The number of the host's CPUs, asked every ten minutes; 0 if it is not known."""
        now = time.monotonic()
        if now >= self._cpus_until:
            self._cpus_until = now + _CPUS_SECONDS
            if found := self._host_call("getCPUMap"):
                self._cpus = found[0]
            elif info := self._host_call("getInfo"):
                self._cpus = math.prod(info[4:8])
        return self._cpus

    def _host_call(self, method: str, *arguments: Any) -> Any:
        """The result of a call about the host, or None if it fails."""
        if method in self._facts.unsupported_calls:
            return None
        try:
            return self._connection.host(method, *arguments)
        except LibvirtError as error:
            if error.kind is ErrorKind.LOST:
                raise
            log.debug("no %s: %s", method, error)
            if error.code == NO_SUPPORT:
                self._facts.unsupported_calls.add(method)
            return None

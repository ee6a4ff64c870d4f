"""Data that bulk statistics do not have: keys from calls for one domain, XML, and the host.

Invariant: if bulk statistics have everything that is wanted, no call is made. A failed call loses
only its own result, unless the connection is dead.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Optional

from ..domain.record import NO_IDENTITY, Identity
from ..groups.schema import Group
from ..log import log
from . import api
from .api import Connection, Handle, Records
from .domain_calls import DomainCalls
from .errors import ErrorKind, LibvirtError
from .facts import Facts
from .requests import BatchRequest, Host, Identities, Wanted

#: CPUs that are added to the host are known after at most this time.
_CPUS_SECONDS = 600.0

#: Drivers that have only some groups in their bulk statistics, by the driver's name. A driver that
#: is not listed is asked; it answers with code 3 if it has no bulk statistics.
_BULK_GROUPS: dict[str, frozenset[str]] = {
    "TEST": frozenset({"state", "iothread"}),
    "vz": frozenset({"state", "vcpu", "interface", "balloon", "block"}),
    "Parallels": frozenset({"state", "vcpu", "interface", "balloon", "block"}),
}

#: The groups that the calls for one domain can fill, at least in part.
_FILLED = frozenset({"state", "cpu_total", "balloon", "vcpu", "interface", "block", "iothread"})


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
        cut = set()
        mapping = self._wanted.mapping
        has_vcpus = mapping or any(group.name == "vcpu" for group in groups)
        cpus = self._host_cpus() if has_vcpus else 0
        calls = DomainCalls(groups, mapping, self._facts, cpus)
        for handle, stats in records:
            name = api.name(handle)
            if name in request.stuck:
                cut.add(name)
            if name not in request.skip:
                self.at = name
                calls.fill(handle, stats, request.no_monitor or name in request.stuck)
        self.at = ""
        return frozenset(cut)

    def _watch(self) -> None:
        """Registers for events, once, if anything is kept that depends on the domains'
        configuration."""
        wanted = self._wanted
        if not self._watched and (wanted.identity or wanted.mapping or self._groups()):
            self._connection.watch(self._facts.forget)
        self._watched = True

    def _groups(self) -> list[Group]:
        """The wanted groups that this driver's bulk statistics do not have."""
        in_bulk: frozenset[str] = frozenset()
        if self._wanted.bulk and self._facts.has_bulk:
            in_bulk = _BULK_GROUPS.get(self._connection.driver, _FILLED)
        names = _FILLED - in_bulk
        return [group for group in self._wanted.all_groups if group.name in names]

    def identity(self, handle: Handle, life: int) -> tuple[Optional[Identity], bool]:
        """The domain's identity, if it is known, and whether its XML is to be read."""
        if not self._wanted.identity:
            return NO_IDENTITY, False
        return self._facts.identities.find(api.uuid(handle), life)

    def identities(self, handles: Sequence[Handle]) -> Identities:
        """The identities of these domains, from their XML where that is due."""
        self._watch()  # an event that comes while XML is read must not be missed
        found = {}
        for handle in handles:
            self.at = api.name(handle)
            uuid, life = api.uuid(handle), api.life(handle)
            identity = self._facts.identities.get(uuid, life, partial(self._xml, handle))
            if identity is not None:
                found[self.at] = identity
        self.at = ""
        return Identities(found)

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
        call = partial(self._connection.host, method, *arguments)
        return self._facts.attempt((Connection, method), call, lambda: f"no {method}")

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

from ..domain.record import NO_IDENTITY, Identity, Stats
from ..groups.health import control
from ..log import log
from . import api
from .api import CHANGES, Connection, EventTaker, Handle, Records
from .domain_calls import DomainCalls
from .errors import ErrorKind, LibvirtError
from .facts import Facts, available_memory
from .requests import BatchRequest, Controls, Groups, Host, Identities, Progress, Wanted
from .vcpus import read_cpus

#: CPUs that are added to the host, and another version of QEMU, are known after at most this time.
_HOST_SECONDS = 600.0

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

    def __init__(
        self, connection: Connection, wanted: Wanted, facts: Facts, progress: Progress
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self.facts = facts
        self._progress = progress
        #: The domains of the last handles that libvirt does not know.
        self.gone: list[Handle] = []
        self._cpus, self._cpus_until = 0, 0.0
        self._version, self._version_until = 0, 0.0

    def fill(self, records: Records, request: BatchRequest) -> set[str]:
        """Adds the keys from calls for one domain; returns the names of the domains for which only
        some calls are made. Raises LibvirtError only if the connection is dead."""
        cut: set[str] = set()
        wanted = self._groups(request.groups)
        if self._wanted.mapping and (request.groups is None or "vcpu_mapping" in request.groups):
            wanted.add("vcpu_mapping")
        if not wanted:
            return cut
        cpus = self._host_cpus() if wanted & {"vcpu", "vcpu_mapping"} else 0
        for handle, stats in records:
            name = api.name(handle)
            if name in request.hung:
                cut.add(name)
            if name not in request.skip:
                self._progress.step(name, time.monotonic())
                calls = DomainCalls(handle, stats, self.facts, cpus)
                calls.fill(wanted, request.no_monitor or name in request.hung)
        self._progress.step("", time.monotonic())
        return cut

    def watch(self, changed: EventTaker) -> None:
        """Subscribes to events. No event told of changes of what was read before."""
        events = self._wanted.events.union(CHANGES if self._keeps else ())
        self._connection.watch(events, changed)
        self.facts.doubt()

    @property
    def _keeps(self) -> bool:
        """Whether anything is kept that depends on the domains' configuration."""
        wanted = self._wanted
        has_calls = self._connection.driver != "QEMU" or bool(self._groups(None))
        return wanted.identity or wanted.mapping or wanted.sources or has_calls

    def _groups(self, due: Optional[Groups]) -> set[str]:
        """The names of the wanted groups that this driver's bulk statistics do not have, of those
        that are ``due`` (None: of all)."""
        in_bulk: frozenset[str] = frozenset()
        if self.facts.has_bulk:
            in_bulk = _BULK_GROUPS.get(self._connection.driver, _FILLED)
        if in_bulk is _FILLED:
            return set()  # the usual case
        return {group.name for group in self._wanted.groups_of(due)} & (_FILLED - in_bulk)

    def check_names(self, handles: Sequence[Handle], names: Sequence[str]) -> None:
        """Logs once of each domain that its name, shown with escapes, is not UTF-8."""
        for handle, name in zip(handles, names):
            if "\\x" in name and not api.is_utf8(handle):
                self.facts.tell(api.uuid(handle), "its name is not UTF-8; written as", name)

    def identity(self, handle: Handle, life: int, stats: Stats) -> tuple[Optional[Identity], bool]:
        """The domain's identity, if it is known, and whether its XML is to be read. The XML is out
        of date if it does not know a device of the statistics."""
        if not self._wanted.identity:
            return NO_IDENTITY, False
        uuid = api.uuid(handle)
        known, is_due = self.facts.identities.find(uuid, life)
        if known and known.devices and self.facts.identities.doubt(uuid, known.unknown(stats)):
            return None, True
        return known, is_due

    def identities(self, handles: Sequence[Handle]) -> Identities:
        """The identities of these domains, from their XML where that is due."""
        found = {}
        self.gone = []
        for handle in handles:
            name = api.name(handle)
            self._progress.step(name, time.monotonic())
            uuid, life = api.uuid(handle), api.life(handle)
            identity = self.facts.identities.get(uuid, life, partial(self._xml, handle))
            if identity is not None:
                found[name] = identity
        return Identities(found)

    def controls(self, handles: Sequence[Handle]) -> Controls:
        """The state of the control interface of these domains."""
        found = {}
        for handle in handles:
            name = api.name(handle)
            self._progress.step(name, time.monotonic())
            call = partial(api.call, handle, "controlInfo")
            method = type(handle), "controlInfo"
            if info := self.facts.attempt(method, call, lambda: "no controlInfo"):
                found[name] = control(*info)
        return Controls(found)

    def _xml(self, handle: Handle) -> Optional[str]:
        try:
            return str(api.call(handle, "XMLDesc"))
        except LibvirtError as error:
            if error.kind is ErrorKind.LOST:
                raise
            if error.kind is ErrorKind.TOO_LARGE:
                raise ValueError(f"the domain's XML is too large: {error}") from None
            if error.kind is ErrorKind.GONE:
                self.gone.append(handle)
            log.debug("domain %s: no XML: %s", api.uuid(handle), error)
            return None

    def host(self) -> Host:
        """The CPUs and the memory of the host, and the version of the hypervisor, as far as the
        driver has them."""
        memory = dict(self._host_call("getMemoryStats", -1, 0) or {})
        if self.facts.local and "available" not in memory:
            memory["available"] = available_memory(memory.get("total"))
        return Host(
            self._host_call("getInfo") or (),
            memory,
            self._host_call("getCPUStats", -1, 0) or {},
            self._host_version(),
        )

    def _host_version(self) -> int:
        """The version of the hypervisor, asked every ten minutes; 0 if it is not known."""
        now = time.monotonic()
        if now >= self._version_until:
            self._version_until = now + _HOST_SECONDS
            self._version = self._host_call("getVersion") or 0
        return self._version

    def _host_cpus(self) -> int:
        """The number of the host's CPUs, asked every ten minutes; 0 if it is not known."""
        now = time.monotonic()
        if now >= self._cpus_until:
            self._cpus_until = now + _HOST_SECONDS
            read = partial(read_cpus, self._connection)
            method = Connection, "getCPUMap"
            if found := self.facts.attempt(method, read, lambda: "no getCPUMap"):
                self._cpus = found
            elif info := self._host_call("getInfo"):
                self._cpus = math.prod(info[4:8])
        return self._cpus

    def _host_call(self, method: str, *arguments: Any) -> Any:
        """The result of a call about the host, or None if it fails."""
        call = partial(self._connection.host, method, *arguments)
        return self.facts.attempt((Connection, method), call, lambda: f"no {method}")

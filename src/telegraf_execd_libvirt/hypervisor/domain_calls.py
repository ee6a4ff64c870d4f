"""The calls for one domain, and the flat keys that they fill where there are no bulk statistics.

Rule guarded: the keys are those of libvirt's bulk statistics. A call that the driver does not have
is tried once for a connection; a call or a device that fails costs its own keys only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Optional

from ..domain import Domain, Value
from ..log import log
from ..schema import Group
from . import binding, devices, vcpu_mapping
from .binding import Connection, Handle
from .devices import Devices
from .errors import LibvirtError, Meaning

Keys = dict[str, Value]

#: libvirt's number for "the driver does not have this call".
_NO_SUPPORT = 3

#: A domain's XML is read again after this, where no event told that the domain was changed.
_OLDEST_XML_SECONDS = 60.0

#: What memoryStats() names otherwise than the bulk statistics.
_MEMORY_KEYS = {"actual": "current", "last_update": "last-update"}

_DISK_KEYS = {
    "rd_operations": "rd.reqs",
    "rd_bytes": "rd.bytes",
    "rd_total_times": "rd.times",
    "wr_operations": "wr.reqs",
    "wr_bytes": "wr.bytes",
    "wr_total_times": "wr.times",
    "flush_operations": "fl.reqs",
    "flush_total_times": "fl.times",
}
_INTERFACE_KEYS = (
    *("rx.bytes", "rx.pkts", "rx.errs", "rx.drop"),
    *("tx.bytes", "tx.pkts", "tx.errs", "tx.drop"),
)


class DomainCalls:
    """Fills the keys of these groups, domain by domain, by way of one connection; and with
    ``mapping`` those of the mapping of vCPUs."""

    def __init__(self, connection: Connection, groups: Iterable[Group], mapping: bool) -> None:
        self._connection = connection
        self._groups = {group.name for group in groups}
        self._mapping = mapping
        self._handles: Optional[dict[str, Handle]] = None

    def ask_anew(self, domain: Domain, keys: Keys, light: bool) -> None:
        """The same as ``ask`` for a domain that came by another connection."""
        if self._handles is None:
            self._handles = {binding.name(handle): handle for handle in self._connection.domains()}
        handle = self._handles.get(domain.name)
        if handle is not None:
            self.ask(domain._replace(handle=handle), keys, light)

    def ask(self, domain: Domain, keys: Keys, light: bool) -> None:
        """Fills the keys of one domain, with ``light`` only those for which QEMU asks no monitor.
        They come first, since the others may hang. Raises LibvirtError only where the connection
        is dead."""
        if self._groups:
            self._connection.watch()
        handle, active = domain.handle, domain.active
        info: Any = None
        found: Optional[Devices] = None
        if self._groups & {"balloon", "vcpu", "cpu_total"}:
            info = self._call(handle, "info")
        if self._groups & {"vcpu", "interface", "block"}:
            found = self._devices(handle)
        if "state" in self._groups:
            self._state(handle, keys)
        if "cpu_total" in self._groups and active:
            self._cpu(handle, info, keys)
        vcpus: Any = None
        if active and ("vcpu" in self._groups or self._mapping):
            vcpus = self._call(handle, "vcpus")
        if "vcpu" in self._groups:
            self._vcpus(info, found, vcpus, keys)
        if found and "interface" in self._groups and active:
            self._interfaces(handle, found, keys)
        if self._mapping:
            self._map(handle, vcpus, keys)
        if light:
            return
        if "iothread" in self._groups and active:
            self._iothreads(handle, keys)
        if "balloon" in self._groups:
            self._balloon(handle, info, keys)
        if found and "block" in self._groups:
            self._disks(handle, found, keys)

    def _call(self, handle: Handle, name: str, *arguments: Any) -> Any:
        """What a call returns, or None where it fails."""
        if name in self._connection.lacking:
            return None
        try:
            return binding.call(handle, name, *arguments)
        except LibvirtError as error:
            if error.meaning is Meaning.LOST:
                raise
            log.debug("domain %s: %s%r: %s", binding.uuid(handle), name, arguments, error)
            if error.code == _NO_SUPPORT:
                self._connection.lacking.add(name)
            return None

    def _devices(self, handle: Handle) -> Optional[Devices]:
        """The devices of the domain as it is now: read once, and again when an event tells of a
        change, when it was started (its id is another one then), or after a while."""
        known, uuid, now = self._connection.devices, binding.uuid(handle), time.monotonic()
        state = (binding.is_active(handle), binding.identity(handle))
        found = known.get(uuid)
        if found is None or found[0] != state or now - found[1] > _OLDEST_XML_SECONDS:
            xml = self._call(handle, "XMLDesc")
            if xml is None:
                return None
            try:
                found = (state, now, devices.parse(xml))
            except ValueError as error:
                log.warning("domain %s: %s", uuid, error)
                found = (state, now, Devices((), (), None))
            known[uuid] = found
        return found[2]

    def _state(self, handle: Handle, keys: Keys) -> None:
        if state := self._call(handle, "state"):
            keys["state.state"], keys["state.reason"] = state

    def _cpu(self, handle: Handle, info: Any, keys: Keys) -> None:
        times = self._call(handle, "getCPUStats", True)
        if times:
            for name in ("time", "user", "system"):
                value = times[0].get("cpu_time" if name == "time" else f"{name}_time")
                _put(keys, f"cpu.{name}", value)
        elif info:
            _put(keys, "cpu.time", info[4])

    def _vcpus(self, info: Any, found: Optional[Devices], vcpus: Any, keys: Keys) -> None:
        if info:
            _put(keys, "vcpu.current", info[3])
        if found:
            _put(keys, "vcpu.maximum", found.vcpus)
        if vcpus:
            for number, state, nanoseconds, _ in vcpus[0]:
                _put(keys, f"vcpu.{number}.state", state)
                _put(keys, f"vcpu.{number}.time", nanoseconds)

    def _balloon(self, handle: Handle, info: Any, keys: Keys) -> None:
        if info:
            _put(keys, "balloon.maximum", info[1])
            _put(keys, "balloon.current", info[2])
        if binding.is_active(handle):
            for name, value in (self._call(handle, "memoryStats") or {}).items():
                _put(keys, f"balloon.{_MEMORY_KEYS.get(name, name)}", value)

    def _interfaces(self, handle: Handle, found: Devices, keys: Keys) -> None:
        keys["net.count"] = len(found.interfaces)
        for number, name in enumerate(found.interfaces):
            if name is None:
                continue
            keys[f"net.{number}.name"] = name
            values = self._call(handle, "interfaceStats", name)
            for key, value in zip(_INTERFACE_KEYS, values or ()):
                _put(keys, f"net.{number}.{key}", value)

    def _disks(self, handle: Handle, found: Devices, keys: Keys) -> None:
        keys["block.count"] = len(found.disks)
        for number, disk in enumerate(found.disks):
            start = f"block.{number}"
            keys[f"{start}.name"] = disk.target
            _put(keys, f"{start}.path", disk.path)
            _put(keys, f"{start}.backingIndex", disk.backing_index)
            if binding.is_active(handle):
                self._disk(handle, disk.target, start, keys)
            if sizes := self._call(handle, "blockInfo", disk.target):
                self._sizes(handle, sizes, start, keys)

    def _sizes(self, handle: Handle, sizes: list[int], start: str, keys: Keys) -> None:
        """As QEMU's bulk statistics have it: of a running domain, their physical size is what the
        image occupies, and their allocation is given by no call for one domain."""
        capacity, occupied, length = sizes
        if binding.is_active(handle):
            found = {"capacity": capacity, "physical": occupied or length}
        else:
            found = {"allocation": occupied, "capacity": capacity, "physical": length}
        for name, value in found.items():
            if value:
                _put(keys, f"{start}.{name}", value)

    def _disk(self, handle: Handle, target: str, start: str, keys: Keys) -> None:
        counters = self._call(handle, "blockStatsFlags", target)
        if counters is not None:
            for name, key in _DISK_KEYS.items():
                _put(keys, f"{start}.{key}", counters.get(name))
        elif values := self._call(handle, "blockStats", target):
            for key, value in zip(("rd.reqs", "rd.bytes", "wr.reqs", "wr.bytes", "errors"), values):
                _put(keys, f"{start}.{key}", value)

    def _iothreads(self, handle: Handle, keys: Keys) -> None:
        if threads := self._call(handle, "ioThreadInfo"):
            keys["iothread.count"] = len(threads)

    def _map(self, handle: Handle, vcpus: Any, keys: Keys) -> None:
        # A domain may stop meanwhile, or its driver tell of the pinning only.
        pins = self._call(handle, "vcpuPinInfo") if vcpus is None else None
        keys.update(vcpu_mapping.keys(vcpus, pins))


def _put(keys: Keys, key: str, value: Any) -> None:
    """Notes a value; -1 is libvirt's way to say that a driver does not know it."""
    if value is not None and value != -1:
        keys[key] = value

"""Calls for one domain, which fill the flat keys if there are no bulk statistics.

Invariant: the keys are those of libvirt's bulk statistics, and those of ``vcpu_mapping``. A call or
a device that fails costs its own keys only.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Callable, Optional

from ..domain.devices import Devices
from ..domain.record import Stats
from ..groups.schema import Group
from . import api
from .api import Handle
from .facts import Facts
from .vcpus import add_mapping, pinned, read_pins, read_vcpus

#: The names of memoryStats() that differ from the bulk statistics.
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
    """Fills the keys of these groups, and with ``mapping`` those of the mapping of vCPUs.
    ``cpus`` is the number of the host's CPUs, or 0."""

    def __init__(self, groups: Iterable[Group], mapping: bool, facts: Facts, cpus: int) -> None:
        self._groups = {group.name for group in groups}
        self._mapping = mapping
        self._facts = facts
        self._cpus = cpus

    def fill(self, handle: Handle, keys: Stats, no_monitor: bool) -> None:
        """Adds the keys of one domain; with ``no_monitor`` only those that need no QEMU monitor.
        These come first, because the other calls may hang. Raises LibvirtError only if the
        connection is dead."""
        active = api.is_active(handle)
        info: Any = None
        found: Optional[Devices] = None
        if self._groups & {"balloon", "vcpu", "cpu_total"}:
            info = self._call(handle, "info")
        if self._groups & {"vcpu", "interface", "block"}:
            found = self._devices(handle)
        if "state" in self._groups and (state := self._call(handle, "state")):
            keys["state.state"], keys["state.reason"] = state
        if "cpu_total" in self._groups and active:
            self._cpu(handle, info, keys)
        vcpus: Any = None
        if active and ("vcpu" in self._groups or self._mapping):
            vcpus = self._vcpu_call(handle, "vcpus", read_vcpus, keys, info)
        if "vcpu" in self._groups:
            self._vcpus(info, found, vcpus, keys)
        if found and "interface" in self._groups and active:
            self._interfaces(handle, found, keys)
        if self._mapping:
            self._map(handle, vcpus, keys, info)
        if no_monitor:
            return
        if "iothread" in self._groups and active:
            self._iothreads(handle, keys)
        if "balloon" in self._groups:
            self._balloon(handle, info, keys)
        if found and "block" in self._groups:
            self._disks(handle, found, keys)

    def _call(self, handle: Handle, name: str, *arguments: Any) -> Any:
        """The result of a call, or None if it fails."""
        return self._try(handle, name, partial(api.call, handle, name), *arguments)

    def _vcpu_call(
        self,
        handle: Handle,
        name: str,
        call: Callable[[Handle, int, int], Any],
        keys: Stats,
        info: Any,
    ) -> Any:
        """The same for a call that needs the number of the domain's vCPUs."""
        count = keys.get("vcpu.current")
        if not isinstance(count, int):
            info = info or self._call(handle, "info")
            count = info[3] if info else 0
        return self._try(handle, name, partial(call, handle), count, self._cpus)

    def _try(self, handle: Handle, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        return self._facts.attempt(
            (type(handle), name),
            partial(call, *arguments),
            lambda: f"domain {api.uuid(handle)}: {name}{arguments!r}",
        )

    def _devices(self, handle: Handle) -> Optional[Devices]:
        """The devices of the domain in this life."""
        fetch = partial(self._call, handle, "XMLDesc")
        return self._facts.devices.get(api.uuid(handle), api.life(handle), fetch)

    def _cpu(self, handle: Handle, info: Any, keys: Stats) -> None:
        times = self._call(handle, "getCPUStats", True)
        if times:
            for name in ("time", "user", "system"):
                value = times[0].get("cpu_time" if name == "time" else f"{name}_time")
                _put(keys, f"cpu.{name}", value)
        elif info:
            _put(keys, "cpu.time", info[4])

    def _vcpus(self, info: Any, found: Optional[Devices], vcpus: Any, keys: Stats) -> None:
        if info:
            _put(keys, "vcpu.current", info[3])
        if found:
            _put(keys, "vcpu.maximum", found.vcpus)
        if vcpus:
            for number, state, nanoseconds, _ in vcpus[0]:
                _put(keys, f"vcpu.{number}.state", state)
                _put(keys, f"vcpu.{number}.time", nanoseconds)

    def _balloon(self, handle: Handle, info: Any, keys: Stats) -> None:
        if info:
            _put(keys, "balloon.maximum", info[1])
            _put(keys, "balloon.current", info[2])
        if api.is_active(handle):
            for name, value in (self._call(handle, "memoryStats") or {}).items():
                _put(keys, f"balloon.{_MEMORY_KEYS.get(name, name)}", value)

    def _interfaces(self, handle: Handle, found: Devices, keys: Stats) -> None:
        keys["net.count"] = len(found.interfaces)
        for number, name in enumerate(found.interfaces):
            if name is None:
                continue
            keys[f"net.{number}.name"] = name
            values = self._call(handle, "interfaceStats", name)
            for key, value in zip(_INTERFACE_KEYS, values or ()):
                _put(keys, f"net.{number}.{key}", value)

    def _disks(self, handle: Handle, found: Devices, keys: Stats) -> None:
        keys["block.count"] = len(found.disks)
        for number, disk in enumerate(found.disks):
            start = f"block.{number}"
            keys[f"{start}.name"] = disk.target
            _put(keys, f"{start}.path", disk.path)
            _put(keys, f"{start}.backingIndex", disk.backing_index)
            if api.is_active(handle):
                self._disk(handle, disk.target, start, keys)
            if sizes := self._call(handle, "blockInfo", disk.target):
                self._sizes(handle, sizes, start, keys)

    def _sizes(self, handle: Handle, sizes: list[int], start: str, keys: Stats) -> None:
        """Like QEMU's bulk statistics: the physical size of a running domain's disk is the space
        that the image occupies; no call for one domain gives its allocation."""
        capacity, occupied, length = sizes
        if api.is_active(handle):
            found = {"capacity": capacity, "physical": occupied or length}
        else:
            found = {"allocation": occupied, "capacity": capacity, "physical": length}
        for name, value in found.items():
            if value:
                _put(keys, f"{start}.{name}", value)

    def _disk(self, handle: Handle, target: str, start: str, keys: Stats) -> None:
        counters = self._call(handle, "blockStatsFlags", target)
        if counters is not None:
            for name, key in _DISK_KEYS.items():
                _put(keys, f"{start}.{key}", counters.get(name))
        elif values := self._call(handle, "blockStats", target):
            for key, value in zip(("rd.reqs", "rd.bytes", "wr.reqs", "wr.bytes", "errors"), values):
                _put(keys, f"{start}.{key}", value)

    def _iothreads(self, handle: Handle, keys: Stats) -> None:
        if threads := self._call(handle, "ioThreadInfo"):
            keys["iothread.count"] = len(threads)

    def _map(self, handle: Handle, vcpus: Any, keys: Stats, info: Any) -> None:
        read = partial(self._vcpu_call, handle, "vcpuPinInfo", read_pins, keys, info)
        uuid, life = api.uuid(handle), api.life(handle)
        if not api.is_active(handle):
            keys.update(self._facts.pins.get(uuid, life, read) or {})
            return
        self._facts.pins.forget(uuid)  # off again, the domain has the same id: -1
        if vcpus is not None:
            add_mapping(keys, vcpus)
        else:  # the domain may have stopped, or the driver may have the pinning only
            keys.update(pinned(read() or ()))


def _put(keys: Stats, key: str, value: Any) -> None:
    """Adds a value, unless it is -1, which means that the driver does not know it."""
    if value is not None and value != -1:
        keys[key] = value

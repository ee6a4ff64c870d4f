"""Calls for one domain, which fill the flat keys if there are no bulk statistics.

Invariant: the keys are those of libvirt's bulk statistics, and those of ``vcpu_mapping``. A call or
a device that fails costs its own keys only.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property, partial
from typing import Any, Callable, Optional

from ..domain.devices import Devices
from ..domain.record import Stats
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
    """Fills the ``keys`` of one domain; ``cpus`` is the number of the host's CPUs, or 0."""

    def __init__(self, handle: Handle, keys: Stats, facts: Facts, cpus: int) -> None:
        self._handle = handle
        self._active = api.life(handle) != -1
        self._keys = keys
        self._facts = facts
        self._cpus = cpus

    def fill(self, groups: Collection[str], no_monitor: bool) -> None:
        """Adds the keys of these groups, or with ``no_monitor`` only those that need no QEMU
        monitor. These come first, because the other calls may hang. Raises LibvirtError only if
        the connection is dead."""
        if "state" in groups and (state := self._call("state")):
            self._keys["state.state"], self._keys["state.reason"] = state
        if "cpu_total" in groups and self._active:
            self._cpu()
        if "vcpu" in groups:
            self._numbers_of_vcpus()
        vcpus: Any = None
        if self._active and ("vcpu" in groups or "vcpu_mapping" in groups):
            vcpus = self._vcpu_call("vcpus", read_vcpus)
        if vcpus and "vcpu" in groups:
            for number, state, nanoseconds, _ in vcpus[0]:
                self._put(f"vcpu.{number}.state", state)
                self._put(f"vcpu.{number}.time", nanoseconds)
        if "interface" in groups and self._active:
            self._interfaces()
        if "vcpu_mapping" in groups:
            self._map(vcpus)
        if no_monitor:
            return
        if "iothread" in groups and self._active and (threads := self._call("ioThreadInfo")):
            self._keys["iothread.count"] = len(threads)
        if "balloon" in groups:
            self._balloon()
        if "block" in groups:
            self._disks()

    def _put(self, key: str, value: Any) -> None:
        """Adds a value, unless it is -1, which means that the driver does not know it."""
        if value is not None and value != -1:
            self._keys[key] = value

    def _call(self, name: str, *arguments: Any) -> Any:
        """The result of a call, or None if it fails."""
        return self._try(name, partial(api.call, self._handle, name), *arguments)

    def _vcpu_call(self, name: str, call: Callable[[Handle, int, int], Any]) -> Any:
        """The same for a call that needs the number of the domain's vCPUs."""
        count = self._keys.get("vcpu.current")
        if not isinstance(count, int):
            count = self._info[3] if self._info else 0
        return self._try(name, partial(call, self._handle), count, self._cpus)

    def _try(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        return self._facts.attempt(
            (type(self._handle), name),
            partial(call, *arguments),
            lambda: f"domain {api.uuid(self._handle)}: {name}{arguments!r}",
        )

    @cached_property
    def _info(self) -> Any:
        return self._call("info")

    @cached_property
    def _devices(self) -> Optional[Devices]:
        """The devices of the domain in this life."""
        uuid, life = api.uuid(self._handle), api.life(self._handle)
        return self._facts.devices.get(uuid, life, partial(self._call, "XMLDesc"))

    def _cpu(self) -> None:
        if times := self._call("getCPUStats", True):
            for name in ("time", "user", "system"):
                self._put(
                    f"cpu.{name}", times[0].get("cpu_time" if name == "time" else f"{name}_time")
                )
        elif self._info:
            self._put("cpu.time", self._info[4])

    def _numbers_of_vcpus(self) -> None:
        if self._info:
            self._put("vcpu.current", self._info[3])
        if self._devices:
            self._put("vcpu.maximum", self._devices.vcpus)

    def _balloon(self) -> None:
        if self._info:
            self._put("balloon.maximum", self._info[1])
            self._put("balloon.current", self._info[2])
        if self._active:
            for name, value in (self._call("memoryStats") or {}).items():
                self._put(f"balloon.{_MEMORY_KEYS.get(name, name)}", value)

    def _interfaces(self) -> None:
        if self._devices is None:
            return
        self._keys["net.count"] = len(self._devices.interfaces)
        for number, name in enumerate(self._devices.interfaces):
            if name is not None:
                self._keys[f"net.{number}.name"] = name
                values = self._call("interfaceStats", name)
                for key, value in zip(_INTERFACE_KEYS, values or ()):
                    self._put(f"net.{number}.{key}", value)

    def _disks(self) -> None:
        if self._devices is None:
            return
        self._keys["block.count"] = len(self._devices.disks)
        for number, disk in enumerate(self._devices.disks):
            start = f"block.{number}"
            self._keys[f"{start}.name"] = disk.target
            self._put(f"{start}.path", disk.path)
            self._put(f"{start}.backingIndex", disk.backing_index)
            if self._active:
                self._disk(disk.target, start)
            if sizes := self._call("blockInfo", disk.target):
                self._sizes(sizes, start)

    def _sizes(self, sizes: list[int], start: str) -> None:
        """Like QEMU's bulk statistics: the physical size of a running domain's disk is the space
        that the image occupies; no call for one domain gives its allocation."""
        capacity, occupied, length = sizes
        if self._active:
            found = {"capacity": capacity, "physical": occupied or length}
        else:
            found = {"allocation": occupied, "capacity": capacity, "physical": length}
        for name, value in found.items():
            if value:
                self._put(f"{start}.{name}", value)

    def _disk(self, target: str, start: str) -> None:
        counters = self._call("blockStatsFlags", target)
        if counters is not None:
            for name, key in _DISK_KEYS.items():
                self._put(f"{start}.{key}", counters.get(name))
        elif values := self._call("blockStats", target):
            for key, value in zip(("rd.reqs", "rd.bytes", "wr.reqs", "wr.bytes", "errors"), values):
                self._put(f"{start}.{key}", value)

    def _map(self, vcpus: Any) -> None:
        read = partial(self._vcpu_call, "vcpuPinInfo", read_pins)
        uuid, life = api.uuid(self._handle), api.life(self._handle)
        if not self._active:
            self._keys.update(self._facts.pins.get(uuid, life, read) or {})
            return
        self._facts.pins.forget(uuid)  # off again, the domain has the same id: -1
        if vcpus is not None:
            add_mapping(self._keys, vcpus)
        else:  # the domain may have stopped, or the driver may have the pinning only
            self._keys.update(pinned(read() or ()))

"""Additional statistics ``node``: one line per hypervisor: the host, and sums over its domains.

The sums are over the domains that are read. The names are an API: add fields, never rename them.

Invariant: what a driver does not report is absent, never 0. Counts and sums of domains are always
there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from ..domain.record import STATE_NAMES, Stats
from .schema import Field, Group, Metric, counter, gauge, text

_COUNTED = ("running", "paused", "shutoff", "crashed")

#: Positions in virNodeInfo as libvirt-python returns it; the memory is in MiB.
_MEMORY, _CPUS = 1, 2


def _cpu_time(key: str, help: str) -> Field:
    return counter(key, "ns", f"{help}, all CPUs of the host")


#: The host's memory and CPU times, by libvirt's names.
_MEMORY_SIZES = {
    "total": gauge("memory_kib", "KiB", "memory of the host"),
    "free": gauge("memory_free_kib", "KiB", "free memory of the host, without its page cache"),
    "available": gauge(
        "memory_available_kib",
        "KiB",
        "memory that the host can give without swapping; of a remote host since libvirt 12.3",
    ),
    "buffers": gauge(
        "memory_buffers_kib", "KiB", "memory of the host for buffers of block devices"
    ),
    "cached": gauge("memory_cached_kib", "KiB", "page cache of the host"),
}
_CPU_TIMES = {
    "user": _cpu_time("cpu_user", "CPU time in user mode, with that of guests"),
    "kernel": _cpu_time("cpu_system", "CPU time in kernel mode"),
    "idle": _cpu_time("cpu_idle", "idle time"),
    "iowait": _cpu_time("cpu_iowait", "idle time while I/O was in progress"),
}

#: Counts and sums of domains.
_SUMS = (
    *(gauge(f"domains_{name}", "", f"domains in the state {name}") for name in _COUNTED),
    gauge("domains_other", "", "domains in any other state"),
    gauge("vcpus_defined", "", "online vCPUs of all domains"),
    gauge("vcpus_running", "", "online vCPUs of active domains, also of paused ones"),
    gauge("memory_defined_kib", "KiB", "maximum memory of all domains"),
    gauge("memory_running_kib", "KiB", "maximum memory of active domains, also of paused ones"),
)

#: libvirt's number of the hypervisor's version.
_VERSION = (
    text("hypervisor_version", "version of the hypervisor, such as QEMU's 7.2.0"),
    gauge("hypervisor_version_number", "", "the same as a number: 7002000 is 7.2.0"),
)

_NODE = Metric(
    prefix="node",
    subject="libvirt_uri",
    help="One hypervisor: its host, and sums over the domains that are read",
    fields=(
        gauge("cpus", "", "number of active CPUs of the host"),
        *_MEMORY_SIZES.values(),
        *_CPU_TIMES.values(),
        *_SUMS,
        *_VERSION,
    ),
)

#: The groups of the keys that the sums need.
GROUP_OF = {"state.state": "state", "balloon.maximum": "balloon", "vcpu.current": "vcpu"}

_SUM_KEYS = [f"node.{field.name}" for field in _SUMS]

GROUP = Group(name="node", needs=(*GROUP_OF.values(),), metrics=(_NODE,))


class Node:
    """The domains of one hypervisor in one tick, counted and summed up."""

    def __init__(self) -> None:
        self._keys = dict.fromkeys(_SUM_KEYS, 0)

    def add(self, active: bool, stats: Stats) -> None:
        """Add one domain; values that its bulk statistics do not have count as 0."""
        state = _number(stats.get("state.state"))
        name = STATE_NAMES[state] if state is not None and state < len(STATE_NAMES) else ""
        self._keys[f"node.domains_{name if name in _COUNTED else 'other'}"] += 1
        vcpus = _number(stats.get("vcpu.current")) or 0
        memory = _number(stats.get("balloon.maximum")) or 0
        self._keys["node.vcpus_defined"] += vcpus
        self._keys["node.memory_defined_kib"] += memory
        if active:
            self._keys["node.vcpus_running"] += vcpus
            self._keys["node.memory_running_kib"] += memory

    def keys(
        self,
        node_info: Sequence[object],
        memory: Mapping[str, object],
        cpu: Mapping[str, object],
        version: int = 0,
    ) -> Stats:
        """The keys of the summary: the sums, and the host's values as libvirt-python returns them.

        ``node_info`` comes from getInfo(), ``memory`` in KiB from getMemoryStats(), ``cpu`` in ns
        from getCPUStats(), ``version`` from getVersion(). Empty or 0: the driver does not have it.
        """
        host: dict[str, Optional[int]] = {}
        if len(node_info) > _CPUS:
            mib = _number(node_info[_MEMORY])
            host = {"cpus": _number(node_info[_CPUS]), "memory_kib": mib and mib * 1024}
        for values, fields in ((memory, _MEMORY_SIZES), (cpu, _CPU_TIMES)):
            host.update({fields[k].name: _number(values[k]) for k in fields if k in values})
        found: Stats = {f"node.{name}": value for name, value in host.items() if value is not None}
        found.update(self._keys)
        if version:
            numbers = version // 1_000_000, version // 1000 % 1000, version % 1000
            found["node.hypervisor_version"] = ".".join(map(str, numbers))
            found["node.hypervisor_version_number"] = version
        return found


def _number(value: object) -> Optional[int]:
    """A count or size; None for anything else, also for a negative number."""
    return value if isinstance(value, int) and value >= 0 else None

"""The summary of one hypervisor: the keys ``node.*``, from its host and its domains.

Invariant: what a driver does not report is absent, never 0. Counts and sums of domains are always
there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from ..domain.record import STATE_NAMES, Stats

#: The statistics groups whose keys are read.
NEEDED_GROUPS = ("state", "balloon", "vcpu")

_COUNTED = ("running", "paused", "shutoff", "crashed")

#: From libvirt's names of the host's memory to those of the fields.
_MEMORY_SIZES = {"total": "memory_kib", "free": "memory_free_kib"}

#: From libvirt's names of the host's CPU times to those of the fields.
_CPU_TIMES = {
    "user": "cpu_user",
    "kernel": "cpu_system",
    "idle": "cpu_idle",
    "iowait": "cpu_iowait",
}

#: Positions in virNodeInfo as libvirt-python returns it; the memory is in MiB.
_MEMORY, _CPUS = 1, 2


class Node:
    """The domains of one hypervisor in one tick, counted and summed up."""

    def __init__(self) -> None:
        self._keys: dict[str, int] = {
            **{f"node.domains_{name}": 0 for name in (*_COUNTED, "other")},
            "node.vcpus_defined": 0,
            "node.vcpus_running": 0,
            "node.memory_defined_kib": 0,
            "node.memory_running_kib": 0,
        }

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
        node_info: Sequence[object] = (),
        memory: Optional[Mapping[str, object]] = None,
        cpu: Optional[Mapping[str, object]] = None,
    ) -> Stats:
        """The keys of the summary: the sums, and the host's values as libvirt-python returns them.

        ``node_info`` comes from getInfo(), ``memory`` in KiB from getMemoryStats(), ``cpu`` in ns
        from getCPUStats(). Empty or None: the driver does not have it.
        """
        host: dict[str, Optional[int]] = {}
        if len(node_info) > _CPUS:
            mib = _number(node_info[_MEMORY])
            host = {"cpus": _number(node_info[_CPUS]), "memory_kib": mib and mib * 1024}
        for numbers, names in ((memory or {}, _MEMORY_SIZES), (cpu or {}, _CPU_TIMES)):
            host.update({names[key]: _number(numbers[key]) for key in names if key in numbers})
        found = {f"node.{name}": value for name, value in host.items() if value is not None}
        return {**found, **self._keys}


def _number(value: object) -> Optional[int]:
    """A count or size; None for anything else, also for a negative number."""
    return value if isinstance(value, int) and value >= 0 else None

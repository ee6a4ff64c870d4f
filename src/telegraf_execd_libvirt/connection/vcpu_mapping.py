"""The keys of ``vcpu_mapping``, from libvirt's records of one domain's vCPUs.

Invariant: the current CPU of a vCPU is a field beside its other statistics, never alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from ..domain import Value

#: (number, state, CPU time in ns, physical CPU) of each vCPU; and for each vCPU the physical CPUs
#: that it may use.
Vcpus = tuple[list[tuple[int, int, int, int]], list[tuple[bool, ...]]]


def keys(vcpus: Optional[Vcpus], pins: Optional[list[tuple[bool, ...]]]) -> dict[str, Value]:
    """The affinity of each vCPU, and in an active domain its current physical CPU. ``vcpus`` is the
    record of an active domain, ``pins`` that of another one."""
    if vcpus is not None:
        running, affinities = vcpus
        return _keys((v[0], affinity, v[3]) for v, affinity in zip(running, affinities))
    return _keys((number, affinity, -1) for number, affinity in enumerate(pins or ()))


def _keys(vcpus: Iterable[tuple[int, tuple[bool, ...], int]]) -> dict[str, Value]:
    result: dict[str, Value] = {}
    for number, affinity, cpu in vcpus:
        cpus = ",".join(str(index) for index, allowed in enumerate(affinity) if allowed)
        if cpus:
            result[f"vcpu_mapping.{number}.affinity"] = cpus
        if cpu >= 0:  # negative numbers mean offline or not known
            result[f"vcpu_mapping.{number}.cpu"] = cpu
    return result


def drop_strays(stats: dict[str, Value]) -> None:
    """Removes the current CPU of vCPUs that have no statistics."""
    mapped = [key for key in stats if key.startswith("vcpu_mapping.") and key.endswith(".cpu")]
    if not mapped:
        return
    known = {key.split(".")[1] for key in stats if key.startswith("vcpu.")}
    for key in mapped:
        if key.split(".")[1] not in known:
            del stats[key]

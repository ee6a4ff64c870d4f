"""The calls behind ``vcpu_mapping``, and the keys that they fill.

Rule guarded: a domain that fails here loses its mapping only.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..domain import Value
from . import binding
from .binding import Handle
from .errors import LibvirtError


def mapping(handle: Handle) -> dict[str, Value]:
    """The keys of one domain: the affinity of each vCPU, and of an active domain's vCPUs the
    physical CPU that each runs on now."""
    if binding.is_active(handle):
        try:
            running, affinities = binding.vcpus(handle)
        except LibvirtError:
            pass  # it stopped meanwhile, or the driver does not tell: the pinning may be known
        else:
            return _keys(
                (number, affinity, cpu)
                for (number, _, _, cpu), affinity in zip(running, affinities)
            )
    return _keys((number, pins, -1) for number, pins in enumerate(binding.vcpu_pins(handle)))


def _keys(vcpus: Iterable[tuple[int, tuple[bool, ...], int]]) -> dict[str, Value]:
    keys: dict[str, Value] = {}
    for number, affinity, cpu in vcpus:
        cpus = ",".join(str(index) for index, allowed in enumerate(affinity) if allowed)
        if cpus:
            keys[f"vcpu_mapping.{number}.affinity"] = cpus
        if cpu >= 0:  # libvirt has negative numbers for "offline" and "not known"
            keys[f"vcpu_mapping.{number}.cpu"] = cpu
    return keys


def without_strays(keys: dict[str, Value], stats: Iterable[str]) -> dict[str, Value]:
    """The keys without the current CPU of vCPUs that have no statistics of their own: it is a
    field of theirs, not a metric by itself."""
    known = {key.split(".")[1] for key in stats if key.startswith("vcpu.")}
    return {
        key: value
        for key, value in keys.items()
        if not key.endswith(".cpu") or key.split(".")[1] in known
    }

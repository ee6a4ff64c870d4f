"""The keys of ``vcpu_mapping``, from libvirt's records of one domain's vCPUs.

Invariant: the current CPU of a vCPU is a field beside its other statistics, never alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ..domain.record import Stats

#: (number, state, CPU time in ns, physical CPU) of each vCPU; and for each vCPU the physical CPUs
#: that it may use, a bit for each.
Vcpus = tuple[list[tuple[int, int, int, int]], list[int]]


def add(stats: Stats, vcpus: Vcpus) -> None:
    """Adds the affinity of each vCPU of an active domain, and the physical CPU that it is on."""
    with_statistics = _Numbers(stats)
    for (number, _, _, cpu), affinity in zip(*vcpus):
        if cpus := _listed(affinity):
            stats[f"vcpu_mapping.{number}.affinity"] = cpus
        # Negative numbers mean offline or not known.
        if cpu >= 0 and number in with_statistics:
            stats[f"vcpu_mapping.{number}.cpu"] = cpu


def pinned(affinities: Iterable[int]) -> Stats:
    """The keys of a domain if only its pinning is known."""
    return {
        f"vcpu_mapping.{number}.affinity": cpus
        for number, affinity in enumerate(affinities)
        if (cpus := _listed(affinity))
    }


@lru_cache(maxsize=4096)
def _listed(affinity: int) -> str:
    """The CPUs of an affinity as text, cached: a host has many CPUs, but few affinities."""
    return ",".join(str(cpu) for cpu in range(affinity.bit_length()) if affinity >> cpu & 1)


class _Numbers:
    """The numbers of the vCPUs that have statistics."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._all: frozenset[str] = frozenset()

    def __contains__(self, number: int) -> bool:
        if f"vcpu.{number}.state" in self._stats:  # drivers that report a vCPU report its state
            return True
        if not self._all:
            self._all = frozenset(
                key.split(".")[1] for key in self._stats if key.startswith("vcpu.")
            )
        return str(number) in self._all

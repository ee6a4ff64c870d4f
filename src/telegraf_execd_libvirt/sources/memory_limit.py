"""Source ``memory_limit``: the memory on the host that each domain may use.

Invariant: each parameter that libvirt reports is a field, declared here or not; 0 is no limit.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.record import Domain
from ..groups.schema import Metric, gauge
from .source import MINUTE, Scope, Source

#: VIR_DOMAIN_MEMORY_PARAM_UNLIMITED is 2**53 - 1; with cgroup v1 it is somewhat less.
_UNLIMITED = 1 << 52


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True):
        if found := scope.call(handle, "memoryParameters", 0):
            limits = {name: size if size < _UNLIMITED else 0 for name, size in found.items()}
            yield scope.domain(handle, "memory_limit", limits)


SOURCE = Source(
    name="memory_limit",
    summary="memory limits of domains; QEMU and LXC need cgroups",
    reads="limits of the memory that each running domain uses on the host",
    calls="`virDomainGetMemoryParameters` for each running domain, which libvirt-python calls "
    "twice. QEMU and LXC need a cgroup for guests.",
    new=lambda: _fetch,
    interval=5 * MINUTE,
    metrics=(
        Metric(
            prefix="memory_limit",
            help="Limits of the memory that a running domain uses on the host, with that of its "
            "emulator; 0: no limit. QEMU and LXC need cgroups on the host",
            fields=(
                gauge("hard_limit", "KiB", "more is never given: the kernel ends the guest"),
                gauge("soft_limit", "KiB", "more is taken back if the host lacks memory"),
                gauge("swap_hard_limit", "KiB", "limit of memory and swap space together"),
                gauge("min_guarantee", "KiB", "memory that the guest has in any case"),
            ),
        ),
    ),
)

"""Source ``cpu_limit``: the share of the host's CPU time that each domain may use.

Invariant: each parameter that libvirt reports is a field, declared here or not; a quota that is no
limit is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..domain.record import Domain
from ..groups.schema import Field, Metric, Type, gauge
from .source import MINUTE, Scope, Source

#: Quotas in microseconds that are no limit are negative, or at least the largest one of the kernel,
#: which is libvirt's answer for a container in a cgroup v2 without a limit.
_LARGEST_QUOTA = 17_592_186_044_415


def _limits(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: 0 if name.endswith("_quota") and not 0 < value < _LARGEST_QUOTA else value
        for name, value in found.items()
    }


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True):
        if found := scope.call(handle, "schedulerParameters"):
            yield scope.domain(handle, "cpu_limit", _limits(found))


def _period(what: str, help: str) -> tuple[Field, Field]:
    return (
        gauge(f"{what}_period", "us", f"interval in which the quota of {help} holds"),
        gauge(f"{what}_quota", "us", f"CPU time of {help} in a period; 0: no limit", Type.LLONG),
    )


SOURCE = Source(
    name="cpu_limit",
    summary="CPU limits of domains; QEMU and LXC need cgroups",
    reads="CPU limits of each running domain: shares, and quotas of its vCPUs, its emulator and "
    "its I/O threads",
    calls="`virDomainGetSchedulerType` and `virDomainGetSchedulerParameters` for each running "
    "domain. QEMU and LXC need a cgroup for guests.",
    new=lambda: _fetch,
    interval=5 * MINUTE,
    metrics=(
        Metric(
            prefix="cpu_limit",
            help="CPU limits of a running domain. A quota divided by its period is a number of "
            "CPUs; QEMU and LXC need cgroups on the host",
            fields=(
                gauge("cpu_shares", "", "share of the CPU time, relative to other domains"),
                *_period("vcpu", "each vCPU"),
                *_period("emulator", "the emulator, without vCPUs"),
                *_period("iothread", "each I/O thread"),
                *_period("global", "the whole domain"),
                gauge("weight", "", "the same as cpu_shares, of Xen", Type.UINT),
                gauge("cap", "%", "CPU time of the domain, of one CPU; 0: no limit", Type.UINT),
            ),
        ),
    ),
)

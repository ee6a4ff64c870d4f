"""Source ``host_cpu``: the CPU time of each domain on each physical CPU."""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.record import Domain
from ..groups.schema import Metric, counter
from .source import Scope, Source


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True):
        for number, times in enumerate(scope.call(handle, "getCPUStats", False) or ()):
            yield scope.domain(handle, "host_cpu", times, cpu=str(number))


SOURCE = Source(
    name="host_cpu",
    summary="CPU time of each domain on each physical CPU; QEMU needs cgroup v1",
    reads="CPU time of each running domain on each physical CPU",
    calls="`virDomainGetCPUStats`: test driver, LXC, and QEMU on a host with cgroup v1",
    new=lambda: _fetch,
    metrics=(
        Metric(
            prefix="host_cpu",
            extra_tags=("cpu",),
            help="CPU time of a domain on one physical CPU; QEMU needs cgroup v1 on the host",
            fields=(
                counter("cpu_time", "ns", "CPU time of the domain"),
                counter("vcpu_time", "ns", "of this, time of its vCPUs"),
            ),
        ),
    ),
)

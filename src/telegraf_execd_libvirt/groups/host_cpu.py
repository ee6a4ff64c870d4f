"""Additional statistics ``host_cpu``: CPU time of domains on each physical CPU."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

GROUP = Group(
    name="host_cpu",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_host_cpu",
            prefix="host_cpu",
            extra_tags=("cpu",),
            help="CPU time of a domain on one physical CPU; QEMU needs cgroup v1 on the host",
            fields=(
                Field("cpu_time", Type.ULLONG, Kind.COUNTER, "ns", "CPU time of the domain"),
                Field("vcpu_time", Type.ULLONG, Kind.COUNTER, "ns", "of this, time of its vCPUs"),
            ),
        ),
    ),
)

"""Additional statistics ``vcpu_mapping``: the physical CPUs of the vCPUs, allowed and current.

libvirt has no bulk keys for them: calls for one domain fill the keys below, in a namespace that
libvirt does not use.
"""

from __future__ import annotations

from .schema import Group, Metric, Type, gauge, text

_VCPU = Metric(
    measurement="libvirt_vcpu",
    prefix="vcpu_mapping.<vcpu_id>",
    help="One virtual CPU",
    fields=(
        gauge(
            "cpu",
            "",
            "physical CPU that the vCPU runs on; with the group vcpu only",
            Type.INT,
            name="cpu_id",
        ),
    ),
)

_CPU_AFFINITY = Metric(
    measurement="libvirt_cpu_affinity",
    prefix="vcpu_mapping.<vcpu_id>",
    help="Physical CPUs that a vCPU may run on",
    fields=(text("affinity", "ids of the physical CPUs, separated by commas", name="cpu_id"),),
)

GROUP = Group(name="vcpu_mapping", metrics=(_VCPU, _CPU_AFFINITY))

"""Additional statistics ``vcpu_mapping``: the physical CPUs of the vCPUs, allowed and current.

libvirt has no bulk keys for them: calls for one domain fill the keys below, in a namespace that
libvirt does not use.
"""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

GROUP = Group(
    name="vcpu_mapping",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_vcpu",
            prefix="vcpu_mapping.<vcpu_id>",
            help="One virtual CPU",
            fields=(
                Field(
                    "cpu",
                    Type.INT,
                    Kind.GAUGE,
                    "",
                    "physical CPU that the vCPU runs on; with the group vcpu only",
                    name="cpu_id",
                ),
            ),
        ),
        Metric(
            measurement="libvirt_cpu_affinity",
            prefix="vcpu_mapping.<vcpu_id>",
            help="Physical CPUs that a vCPU may run on",
            fields=(
                Field(
                    "affinity",
                    Type.STRING,
                    Kind.INFO,
                    "",
                    "ids of the physical CPUs, separated by commas",
                    name="cpu_id",
                ),
            ),
        ),
    ),
)

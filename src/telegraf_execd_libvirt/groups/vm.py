"""Group ``vm``: what KVM itself counts for a domain. The names are the kernel's, not libvirt's.

The same names come for each vCPU in the group ``vcpu``, so both declare them by the function here.
"""

from __future__ import annotations

from ..schema import Field, Group, Kind, Metric, Type


def kvm_statistics(subject: str, full: bool) -> tuple[Field, ...]:
    """The statistics of KVM for one subject: sums, current values and maxima by any name."""
    return tuple(
        Field(f"*.{last}", Type.ULLONG, kind, "", f"{help} the {subject}", full=full)
        for last, kind, help in (
            ("sum", Kind.COUNTER, "counted by KVM for"),
            ("cur", Kind.GAUGE, "what KVM sees now of"),
            ("max", Kind.GAUGE, "the most that KVM saw of"),
        )
    )


GROUP = Group(
    name="vm",
    bit=1 << 10,
    needs_monitor=True,
    metrics=(
        Metric(
            measurement="libvirt_vm",
            prefix="vm",
            help="Statistics of KVM for the domain",
            fields=kvm_statistics("domain", full=False),
        ),
    ),
)

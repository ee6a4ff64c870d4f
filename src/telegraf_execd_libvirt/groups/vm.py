"""Group ``vm``: KVM statistics of a domain. The kernel chooses the names, not libvirt.

The group ``vcpu`` has the same names for each vCPU and declares them with the function below.
"""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type


def kvm_statistics(subject: str, full: bool) -> tuple[Field, ...]:
    """The KVM statistics of one subject: sums, current values and maxima of any name."""
    return tuple(
        Field(f"*.{last}", Type.ULLONG, kind, "", f"{help} the {subject}", full=full)
        for last, kind, help in (
            ("sum", Kind.COUNTER, "KVM counter of"),
            ("cur", Kind.GAUGE, "current KVM value of"),
            ("max", Kind.GAUGE, "largest KVM value of"),
        )
    )


_VM = Metric(
    prefix="vm", help="KVM statistics of the domain", fields=kvm_statistics("domain", full=False)
)

GROUP = Group(name="vm", bit=1 << 10, needs_monitor=True, metrics=(_VM,))

"""Additional statistics ``interface_limit``: bandwidth limits of interfaces.

Each parameter that libvirt reports is a field, declared here or not. 0 means no limit.
"""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type


def _limits(way: str) -> tuple[Field, ...]:
    return (
        Field(f"{way}.average", Type.UINT, Kind.GAUGE, "KiB/s", f"average limit, {way}"),
        Field(f"{way}.peak", Type.UINT, Kind.GAUGE, "KiB/s", f"limit in a burst, {way}"),
        Field(f"{way}.burst", Type.UINT, Kind.GAUGE, "KiB", f"size of a burst, {way}"),
    )


GROUP = Group(
    name="interface_limit",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_interface_limit",
            prefix="interface_limit",
            extra_tags=("interface",),
            help="Bandwidth limits of an interface of a running domain; 0: no limit",
            fields=(
                *_limits("inbound"),
                Field("inbound.floor", Type.UINT, Kind.GAUGE, "KiB/s", "guaranteed, inbound"),
                *_limits("outbound"),
            ),
        ),
    ),
)

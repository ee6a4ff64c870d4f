"""Additional statistics ``block_limit``: I/O limits of disks.

Each parameter that libvirt reports is a field, declared here or not. 0 means no limit.
"""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

_WAYS = (("total", "reads and writes"), ("read", "reads"), ("write", "writes"))


def _limits(end: str, unit: str, help: str) -> tuple[Field, ...]:
    return tuple(
        Field(f"{way}_{end}", Type.ULLONG, Kind.GAUGE, unit, f"{help} of {what}")
        for way, what in _WAYS
    )


GROUP = Group(
    name="block_limit",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_block_limit",
            prefix="block_limit",
            extra_tags=("device",),
            help="I/O limits of a disk of a running domain; 0: no limit",
            fields=(
                *_limits("bytes_sec", "bytes/s", "limit of the throughput"),
                *_limits("iops_sec", "1/s", "limit of the number"),
                *_limits("bytes_sec_max", "bytes/s", "limit of the throughput in a burst"),
                *_limits("iops_sec_max", "1/s", "limit of the number in a burst"),
                *_limits("bytes_sec_max_length", "s", "longest burst of the throughput"),
                *_limits("iops_sec_max_length", "s", "longest burst of the number"),
                Field("size_iops_sec", Type.ULLONG, Kind.GAUGE, "bytes", "size of one operation"),
                Field("group_name", Type.STRING, Kind.INFO, "", "group that shares the limits"),
            ),
        ),
    ),
)

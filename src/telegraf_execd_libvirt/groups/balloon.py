"""Group ``balloon``: memory of a domain, and the guest's own values from its balloon driver.

The guest's values do not change unless the domain's XML has ``<memballoon><stats period=…/>``.
"""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type


def _size(key: str, help: str, kind: Kind = Kind.GAUGE) -> Field:
    return Field(key, Type.ULLONG, kind, "KiB", help)


def _count(key: str, help: str) -> Field:
    return Field(key, Type.ULLONG, Kind.COUNTER, "", help)


GROUP = Group(
    name="balloon",
    bit=1 << 2,
    needs_monitor=True,
    monitor_key="balloon.rss",
    metrics=(
        Metric(
            measurement="libvirt_balloon",
            prefix="balloon",
            help="Memory of the domain",
            fields=(
                _size("current", "current memory of the domain"),
                _size("maximum", "maximum memory of the domain"),
                _size("swap_in", "memory that the guest read from swap", Kind.COUNTER),
                _size("swap_out", "memory that the guest wrote to swap", Kind.COUNTER),
                _count("major_fault", "page faults of the guest with disk access"),
                _count("minor_fault", "page faults of the guest without disk access"),
                _size("unused", "memory that the guest does not use at all"),
                _size("available", "total memory that the guest sees"),
                _size("rss", "host memory of the domain's process (resident set)"),
                _size("usable", "memory that the guest can release without swapping"),
                Field(
                    "last-update",
                    Type.ULLONG,
                    Kind.GAUGE,
                    "s",
                    "time of the guest's last report, as Unix time; 0: never",
                ),
                _size("disk_caches", "page cache that the guest can drop without I/O"),
                _count("hugetlb_pgalloc", "huge pages allocated in the guest"),
                _count("hugetlb_pgfail", "failed huge page allocations in the guest"),
            ),
        ),
    ),
)

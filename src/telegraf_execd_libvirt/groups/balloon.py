"""Group ``balloon``: memory of a domain, and the guest's own figures from its balloon driver.

The guest's figures stand still unless the domain's XML has ``<memballoon><stats period=…/>``.
"""

from __future__ import annotations

from ..schema import Field, Group, Kind, Metric, Type


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
                _size("current", "memory that the domain has now"),
                _size("maximum", "memory that the domain may have at most"),
                _size("swap_in", "memory that the guest read back from swap", Kind.COUNTER),
                _size("swap_out", "memory that the guest wrote to swap", Kind.COUNTER),
                _count("major_fault", "page faults of the guest that needed its disk"),
                _count("minor_fault", "page faults of the guest that did not need its disk"),
                _size("unused", "memory that the guest leaves wholly unused"),
                _size("available", "memory that the guest sees as its own"),
                _size("rss", "memory of the host that the domain's process occupies"),
                _size("usable", "memory that the guest could give back without swapping"),
                Field(
                    "last-update",
                    Type.ULLONG,
                    Kind.GAUGE,
                    "s",
                    "when the guest last reported, as Unix time; 0: never",
                ),
                _size("disk_caches", "page cache that the guest could drop without any I/O"),
                _count("hugetlb_pgalloc", "huge pages that the guest got"),
                _count("hugetlb_pgfail", "huge pages that the guest asked for and did not get"),
            ),
        ),
    ),
)

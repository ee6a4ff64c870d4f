"""Group ``balloon``: memory of a domain, and the guest's own values from its balloon driver.

The guest's values do not change unless the domain's XML has ``<memballoon><stats period=…/>``.
"""

from __future__ import annotations

from .schema import Group, Metric, counter, gauge

_BALLOON = Metric(
    prefix="balloon",
    help="Memory of the domain",
    fields=(
        gauge("current", "KiB", "current memory of the domain"),
        gauge("maximum", "KiB", "maximum memory of the domain"),
        counter("swap_in", "KiB", "memory that the guest read from swap"),
        counter("swap_out", "KiB", "memory that the guest wrote to swap"),
        counter("major_fault", "", "page faults of the guest with disk access"),
        counter("minor_fault", "", "page faults of the guest without disk access"),
        gauge("unused", "KiB", "memory that the guest does not use at all"),
        gauge("available", "KiB", "total memory that the guest sees"),
        gauge("rss", "KiB", "host memory of the domain's process (resident set)"),
        gauge("usable", "KiB", "memory that the guest can release without swapping"),
        gauge("last-update", "s", "time of the guest's last report, as Unix time; 0: never"),
        gauge("disk_caches", "KiB", "page cache that the guest can drop without I/O"),
        counter("hugetlb_pgalloc", "", "huge pages allocated in the guest"),
        counter("hugetlb_pgfail", "", "failed huge page allocations in the guest"),
    ),
)

GROUP = Group(
    name="balloon", bit=1 << 2, needs_monitor=True, monitor_key="balloon.rss", metrics=(_BALLOON,)
)

"""Group ``balloon``: memory of a domain, and the guest's own values from its balloon driver.

The guest's values do not change unless the domain's XML has ``<memballoon><stats period=…/>``.
"""

from __future__ import annotations

from .schema import Field, Group, Metric, counter, size


def _kib(key: str, help: str) -> Field:
    return size(key, help, "KiB")


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
                _kib("current", "current memory of the domain"),
                _kib("maximum", "maximum memory of the domain"),
                counter("swap_in", "memory that the guest read from swap", "KiB"),
                counter("swap_out", "memory that the guest wrote to swap", "KiB"),
                counter("major_fault", "page faults of the guest with disk access"),
                counter("minor_fault", "page faults of the guest without disk access"),
                _kib("unused", "memory that the guest does not use at all"),
                _kib("available", "total memory that the guest sees"),
                _kib("rss", "host memory of the domain's process (resident set)"),
                _kib("usable", "memory that the guest can release without swapping"),
                size("last-update", "time of the guest's last report, as Unix time; 0: never", "s"),
                _kib("disk_caches", "page cache that the guest can drop without I/O"),
                counter("hugetlb_pgalloc", "huge pages allocated in the guest"),
                counter("hugetlb_pgfail", "failed huge page allocations in the guest"),
            ),
        ),
    ),
)

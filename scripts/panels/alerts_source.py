"""Alerts on what sources report; they cannot fire where the source is not collected.

Sources have their own intervals, so the last value of a quarter of an hour counts.
"""

from __future__ import annotations

from .alert_model import WHO, Alert
from .queries import GUEST, quoted

SOURCES = (
    Alert(
        "LibvirtStoragePoolNearlyFull",
        "warning",
        "10m",
        "max by (host, pool) (last_over_time(libvirt_storage_pool_used_percent[15m])) > 90",
        'SELECT last("used_percent") FROM "libvirt_storage_pool" WHERE $timeFilter '
        'GROUP BY "host", "pool"',
        "15m",
        "> 90",
        'Pool {{ $labels.pool }} on {{ $labels.host }} is {{ printf "%.1f" $value }} % full',
        "Thin disks in a full pool pause their guests. Move volumes or extend the pool.",
    ),
    Alert(
        "LibvirtGuestFilesystemNearlyFull",
        "warning",
        "10m",
        "max by (host, domain_name, mountpoint) "
        "(last_over_time(libvirt_guest_filesystem_used_percent[15m])) > 90",
        'SELECT last("used_percent") FROM "libvirt_guest_filesystem" WHERE $timeFilter '
        f"GROUP BY {quoted((*GUEST, 'mountpoint'))}",
        "15m",
        "> 90",
        f'{{{{ $labels.mountpoint }}}} of {WHO} is {{{{ printf "%.1f" $value }}}} % full',
        "Clean up or extend the filesystem.",
    ),
)

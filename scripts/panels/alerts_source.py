"""Alerts on what sources report; they cannot fire where the source is not collected.

Sources have their own intervals, so the last value of a quarter of an hour counts.
"""

from __future__ import annotations

from .alert_model import WHERE, WHO, Alert, now
from .queries import GUEST, NODE, quoted

#: The failed jobs of each kind.
_FAILED = "last_over_time(libvirt_job_completed_failed[15m]{})"
_BLOCK_FAILED = "last_over_time(libvirt_block_job_completed_failed[15m]{})"
_DISK = quoted((*GUEST, "device", "type"))
_DOMAIN = "libvirt_domain"
_JOB = quoted((*GUEST, "operation"))

SOURCES = (
    Alert(
        "LibvirtSourceFailing",
        "warning",
        "10m",
        "last_over_time(libvirt_source_health_up[2m]) == 0",
        now('"up" = 0', "up", "libvirt_source_health", (*NODE, "source")),
        "2m",
        "> 0",
        f"Source {{{{ $labels.source }}}} of {WHERE} does not work",
        "Its lines are missing or old, so its alerts cannot fire. Run telegraf-execd-libvirt "
        "--check there as the user telegraf. If the whole hypervisor cannot be read, begin with "
        "that.",
    ),
    Alert(
        "LibvirtGuestDiskError",
        "critical",
        "1m",
        "last_over_time(libvirt_disk_error_total_count[15m]) > 0",
        now('"count" > 0', "count", "libvirt_disk_error_total"),
        "15m",
        "> 0",
        f"{WHO} has a disk with an I/O error",
        "virsh domblkerror GUEST names the disk. Free space or repair the storage, then virsh "
        "resume.",
    ),
    Alert(
        "LibvirtGuestJobFailed",
        "warning",
        "10m",
        # A counter begins with the first job, so one that is new has begun at 0.
        f"{_FAILED.format('')} - ({_FAILED.format(' offset 1h')} or {_FAILED.format('')} * 0) > 0",
        # A quarter of an hour without a value counts as 0; longer than a source's interval.
        'SELECT max("d") FROM (SELECT difference(last("failed")) AS "d" FROM '
        f'"libvirt_job_completed" WHERE $timeFilter GROUP BY time(15m), {_JOB} fill(0)) '
        f"WHERE $timeFilter GROUP BY {_JOB}",
        "1h",
        "> 0",
        f"A job of {WHO} failed: {{{{ $labels.operation }}}}",
        "A migration, backup or other job has failed within the last hour. See libvirt's log and "
        "QEMU's log of the guest for the reason.",
    ),
    Alert(
        "LibvirtGuestBlockJobFailed",
        "warning",
        "10m",
        f"{_BLOCK_FAILED.format('')} - "
        f"({_BLOCK_FAILED.format(' offset 1h')} or {_BLOCK_FAILED.format('')} * 0) > 0",
        'SELECT max("d") FROM (SELECT difference(last("failed")) AS "d" FROM '
        f'"libvirt_block_job_completed" WHERE $timeFilter GROUP BY time(15m), {_DISK} fill(0)) '
        f"WHERE $timeFilter GROUP BY {_DISK}",
        "1h",
        "> 0",
        f"A job of {{{{ $labels.device }}}} of {WHO} failed: {{{{ $labels.type }}}}",
        "A copy, commit or backup of a disk has failed within the last hour. See QEMU's log of the "
        "guest for the reason; a full pool is the most frequent one.",
    ),
    Alert(
        "LibvirtGuestNotRunning",
        "critical",
        "5m",
        # Off after a migration (reason 4): it runs on another host.
        "last_over_time(libvirt_domain_autostart[5m]) == 1 "
        "and on (host, domain_name) last_over_time(libvirt_domain_state[2m]) == 5 "
        "unless on (host, domain_name) last_over_time(libvirt_domain_reason[2m]) == 4",
        now('"autostart" = 1 AND "state" = 5 AND "reason" != 4', "state reason autostart", _DOMAIN),
        "2m",
        "> 0",
        f"{WHO} should run and does not",
        "It starts with its host (autostart) and is off. See its reason and QEMU's log, then virsh "
        "start; or virsh autostart --disable if it shall stay off.",
    ),
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
        "Thin disks in a full pool pause their guests. Move volumes or extend the pool. libvirt "
        "counts only at a refresh, which the plugin may not request: run virsh pool-refresh POOL "
        "on the host every few minutes (a systemd timer or cron), or this alert comes late and "
        "stays.",
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

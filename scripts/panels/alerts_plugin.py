"""Alerts about the collection itself."""

from __future__ import annotations

from .alert_model import BY_NODE, WHERE, Alert, now
from .queries import NODE, quoted

PLUGIN = (
    Alert(
        "LibvirtHypervisorUnreadable",
        "critical",
        "2m",
        "libvirt_health_up == 0",
        now('"up" = 0', "up", "libvirt_health", NODE),
        "2m",
        "> 0",
        f"{WHERE} cannot be read",
        "No guest of this hypervisor has metrics, so none of its other alerts can fire. Run "
        "telegraf-execd-libvirt --check there as the user telegraf.",
    ),
    Alert(
        "LibvirtCollectionStale",
        "critical",
        "3m",
        f"sum {BY_NODE} (count_over_time(libvirt_health_up[1h])) unless "
        f"sum {BY_NODE} (count_over_time(libvirt_health_up[2m]))",
        # The last 2 minutes may only just have begun, so those before them count as well.
        f'SELECT moving_average(count("up"), 2) FROM "libvirt_health" WHERE $timeFilter '
        f"GROUP BY time(2m), {quoted(NODE)} fill(0)",
        "1h",
        "< 0.1",
        f"No metrics of {WHERE}",
        "Telegraf, the plugin, the network or the host is down. The alert ends an hour later.",
    ),
    Alert(
        "LibvirtCollectionSlow",
        "warning",
        "10m",
        f"max {BY_NODE} (avg_over_time(libvirt_health_collect_time_ns[10m])) / 1e9 > 5",
        'SELECT mean("collect_time_ns") / 1000000000 FROM "libvirt_health" WHERE $timeFilter '
        f"GROUP BY {quoted(NODE)}",
        "10m",
        "> 5",
        f'Collecting from {WHERE} takes {{{{ printf "%.1f" $value }}}} s',
        "Raise Telegraf's interval, read fewer statistics groups, or set parallel_calls.",
    ),
    Alert(
        "LibvirtCallsHang",
        "warning",
        "5m",
        "libvirt_health_calls_hanging > 0",
        now('"calls_hanging" > 0', "calls_hanging", "libvirt_health", NODE),
        "2m",
        "> 0",
        f"Calls to {WHERE} hang",
        "A guest, its storage or the daemon hangs. See the guests that do not respond.",
    ),
)

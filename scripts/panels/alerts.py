"""The conditions that call an operator, in both languages.

Invariant: an alert of a guest is about one guest on one host, so that it ends with its cause.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from .queries import DISK, GUEST, NIC, NODE, VCPU, quoted


@dataclass(frozen=True)
class Alert:
    """One rule.

    For Grafana, ``influxql`` is asked over ``period``, its last value is compared by ``condition``.
    """

    name: str
    severity: str
    hold: str
    promql: str
    influxql: str
    period: str
    condition: str
    summary: str
    description: str


def _now(condition: str, fields: str, measurement: str, by: tuple[str, ...] = GUEST) -> str:
    """1 for each series whose present values fulfil the condition."""
    values = ", ".join(f'last("{name}") AS "{name}"' for name in fields.split())
    first = fields.split()[0]
    return (
        f'SELECT count("{first}") FROM (SELECT {values} FROM "{measurement}" '
        f"GROUP BY {quoted(by)}) WHERE {condition} AND $timeFilter GROUP BY {quoted(by)}"
    )


def _rate(fields: str, measurement: str, of: tuple[str, ...], how: str = "sum") -> str:
    rates = " + ".join(f'non_negative_derivative("{name}", 1s)' for name in fields.split())
    inner = f'SELECT {rates} AS "r" FROM "{measurement}" GROUP BY {quoted(of)}'
    if how == "mean":
        return f'SELECT mean("r") FROM ({inner}) WHERE $timeFilter GROUP BY {quoted(GUEST)}'
    each = f'SELECT mean("r") AS "m" FROM ({inner}) GROUP BY {quoted(of)}'
    return f'SELECT sum("m") FROM ({each}) WHERE $timeFilter GROUP BY {quoted(GUEST)}'


_BY_GUEST = f"by ({', '.join(GUEST)})"
_BY_NODE = f"by ({', '.join(NODE)})"
_WHO = "{{ $labels.domain_name }} on {{ $labels.host }}"
_NODE = "{{ $labels.libvirt_uri }} on {{ $labels.host }}"

ALERTS = (
    Alert(
        "LibvirtHypervisorUnreadable",
        "critical",
        "2m",
        "libvirt_health_up == 0",
        _now('"up" = 0', "up", "libvirt_health", NODE),
        "2m",
        "> 0",
        f"{_NODE} cannot be read",
        "No guest of this hypervisor has metrics, so none of its other alerts can fire. Run "
        "telegraf-execd-libvirt --check there as the user telegraf.",
    ),
    Alert(
        "LibvirtCollectionStale",
        "critical",
        "3m",
        f"sum {_BY_NODE} (count_over_time(libvirt_health_up[1h])) unless "
        f"sum {_BY_NODE} (count_over_time(libvirt_health_up[2m]))",
        f'SELECT count("up") FROM "libvirt_health" WHERE $timeFilter '
        f"GROUP BY time(2m), {quoted(NODE)} fill(0)",
        "1h",
        "< 1",
        f"No metrics of {_NODE}",
        "Telegraf, the plugin, the network or the host is down. The alert ends an hour later.",
    ),
    Alert(
        "LibvirtCollectionSlow",
        "warning",
        "10m",
        f"max {_BY_NODE} (avg_over_time(libvirt_health_collect_time_ns[10m])) / 1e9 > 5",
        'SELECT mean("collect_time_ns") / 1000000000 FROM "libvirt_health" WHERE $timeFilter '
        f"GROUP BY {quoted(NODE)}",
        "10m",
        "> 5",
        f'Collecting from {_NODE} takes {{{{ printf "%.1f" $value }}}} s',
        "Raise Telegraf's interval, read fewer statistics groups, or set parallel_calls.",
    ),
    Alert(
        "LibvirtCallsHang",
        "warning",
        "5m",
        "libvirt_health_calls_hanging > 0",
        _now('"calls_hanging" > 0', "calls_hanging", "libvirt_health", NODE),
        "2m",
        "> 0",
        f"Calls to {_NODE} hang",
        "A guest, its storage or the daemon hangs. See the guests that do not respond.",
    ),
    Alert(
        "LibvirtGuestCrashed",
        "critical",
        "1m",
        "last_over_time(libvirt_state_state[2m]) == 6",
        _now('"state" = 6', "state", "libvirt_state"),
        "2m",
        "> 0",
        f"{_WHO} has crashed",
        "See the console of the guest and QEMU's log, then start the guest again.",
    ),
    Alert(
        "LibvirtGuestPausedByIoError",
        "critical",
        "1m",
        "last_over_time(libvirt_state_state[2m]) == 3 and on (host, domain_name) "
        "last_over_time(libvirt_state_reason[2m]) == 5",
        _now('"state" = 3 AND "reason" = 5', "state reason", "libvirt_state"),
        "2m",
        "> 0",
        f"{_WHO} is paused by an I/O error",
        "Usually the storage pool is full. Free space, then virsh resume.",
    ),
    Alert(
        "LibvirtGuestNotResponding",
        "warning",
        "5m",
        "last_over_time(libvirt_domain_health_complete[2m]) == 0",
        _now('"complete" = 0', "complete", "libvirt_domain_health"),
        "2m",
        "> 0",
        f"{_WHO} does not respond",
        "QEMU does not answer libvirt. Look for hanging storage, then at the QEMU process.",
    ),
    Alert(
        "LibvirtGuestSteal",
        "warning",
        "10m",
        f"100 * avg {_BY_GUEST} (rate(libvirt_vcpu_delay[5m])) / 1e9 > 10",
        _rate("delay", "libvirt_vcpu", VCPU, "mean").replace(
            'mean("r")', 'mean("r") * 100 / 1000000000', 1
        ),
        "5m",
        "> 10",
        f'The vCPUs of {_WHO} wait {{{{ printf "%.1f" $value }}}} % of the time',
        "The host has too many running vCPUs for its CPUs: migrate guests.",
    ),
    Alert(
        "LibvirtGuestMemoryPressure",
        "warning",
        "10m",
        "libvirt_balloon_usable / libvirt_balloon_available < 0.05 "
        "and on (host, domain_name) time() - libvirt_balloon_last_update < 300 "
        f"and on (host, domain_name) sum {_BY_GUEST} (rate(libvirt_balloon_major_fault[5m]) + "
        "rate(libvirt_balloon_swap_out[5m])) > 5",
        'SELECT mean("r") FROM (SELECT non_negative_derivative("major_fault", 1s) + '
        'non_negative_derivative("swap_out", 1s) AS "r" FROM "libvirt_balloon" '
        f'WHERE "usable" * 20 < "available" GROUP BY {quoted(GUEST)}) '
        f"WHERE $timeFilter GROUP BY {quoted(GUEST)}",
        "5m",
        "> 5",
        f"{_WHO} has too little memory",
        "Less than 5 % of its memory is usable, and it swaps or reads programs from disk again. "
        "Give it more memory, or find the process that uses it.",
    ),
    Alert(
        "LibvirtGuestDiskLatency",
        "warning",
        "10m",
        f"sum {_BY_GUEST} (rate(libvirt_block_rd_times[5m]) + rate(libvirt_block_wr_times[5m])) / "
        f"(sum {_BY_GUEST} (rate(libvirt_block_rd_reqs[5m]) + rate(libvirt_block_wr_reqs[5m])) > 1)"
        " / 1e6 > 100",
        'SELECT sum("t") / sum("n") / 1000000 FROM (SELECT non_negative_derivative("rd_times", 1s) '
        '+ non_negative_derivative("wr_times", 1s) AS "t", non_negative_derivative("rd_reqs", 1s) '
        '+ non_negative_derivative("wr_reqs", 1s) AS "n" FROM "libvirt_block" '
        f'GROUP BY {quoted(DISK)}) WHERE "n" > 1 AND $timeFilter GROUP BY {quoted(GUEST)}',
        "5m",
        "> 100",
        f'Reads and writes of {_WHO} take {{{{ printf "%.1f" $value }}}} ms',
        "The storage is overloaded or degraded. Compare with other guests of the same pool.",
    ),
    Alert(
        "LibvirtGuestNetworkDrops",
        "warning",
        "10m",
        f"sum {_BY_GUEST} (rate(libvirt_net_rx_drop[5m]) + rate(libvirt_net_tx_drop[5m])) > 10",
        _rate("rx_drop tx_drop", "libvirt_net", NIC),
        "5m",
        "> 10",
        f'Interfaces of {_WHO} drop {{{{ printf "%.1f" $value }}}} packets per second',
        "The guest does not fetch packets in time, or a queue of the host is full.",
    ),
    Alert(
        "LibvirtStoragePoolNearlyFull",
        "warning",
        "10m",
        "max by (host, pool) (libvirt_storage_pool_used_percent) > 90",
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
        "max by (host, domain_name, mountpoint) (libvirt_guest_filesystem_used_percent) > 90",
        'SELECT last("used_percent") FROM "libvirt_guest_filesystem" WHERE $timeFilter '
        f"GROUP BY {quoted((*GUEST, 'mountpoint'))}",
        "15m",
        "> 90",
        f'{{{{ $labels.mountpoint }}}} of {_WHO} is {{{{ printf "%.1f" $value }}}} % full',
        "Clean up or extend the filesystem.",
    ),
    Alert(
        "LibvirtGuestRestartsRepeatedly",
        "warning",
        "0m",
        f"max {_BY_GUEST} (resets(libvirt_cpu_cpu_time[1h])) >= 3",
        'SELECT count("d") FROM (SELECT difference("cpu_time") AS "d" FROM "libvirt_cpu" '
        f'GROUP BY {quoted(GUEST)}) WHERE "d" < 0 AND $timeFilter GROUP BY {quoted(GUEST)}',
        "1h",
        "> 2",
        f'{_WHO} was started {{{{ printf "%.1f" $value }}}} times within an hour',
        "Its CPU time began at 0 each time: it crashes and is restarted. See QEMU's log.",
    ),
)


def rules() -> str:
    """The rules file of Prometheus and vmalert. A string of JSON is one of YAML as well."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Alerts on libvirt's guests and hypervisors, for Prometheus and vmalert."
    yield "# Written by scripts/build_dashboards.py; docs/dashboards.md explains each."
    yield "groups:"
    yield "  - name: libvirt"
    yield "    rules:"
    for alert in ALERTS:
        yield f"      - alert: {alert.name}"
        yield f"        expr: {json.dumps(alert.promql)}"
        yield f"        for: {alert.hold}"
        yield "        labels:"
        yield f"          severity: {alert.severity}"
        yield "        annotations:"
        yield f"          summary: {json.dumps(alert.summary)}"
        yield f"          description: {json.dumps(alert.description)}"


def documentation() -> str:
    """The same conditions for Grafana's alerts on InfluxQL, as Markdown."""
    parts = []
    for alert in ALERTS:
        parts.append(
            f"**{alert.name}** ({alert.severity}, for {alert.hold}): {alert.description}\n\n"
            f"```sql\n-- range {alert.period}, reduce: last, threshold: {alert.condition}\n"
            f"{alert.influxql}\n```"
        )
    return "\n\n".join(parts)

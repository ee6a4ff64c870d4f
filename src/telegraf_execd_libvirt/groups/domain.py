"""Additional statistics ``domain``: one line per domain with what most dashboards need.

The keys below are computed from those of the bulk statistics and from the domain's XML, in a
namespace that libvirt does not use. The names are an API: add fields, never rename them.
"""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type


def _size(key: str, help: str) -> Field:
    return Field(key, Type.ULLONG, Kind.GAUGE, "KiB", help)


def _counter(key: str, unit: str, help: str, active_only: bool = False) -> Field:
    return Field(key, Type.ULLONG, Kind.COUNTER, unit, help, active_only=active_only)


def _text(key: str, help: str) -> Field:
    return Field(key, Type.STRING, Kind.INFO, "", help)


GROUP = Group(
    name="domain",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_domain",
            prefix="domain",
            help="One line per domain with the values that most dashboards need",
            fields=(
                Field(
                    "state",
                    Type.INT,
                    Kind.GAUGE,
                    "virDomainState",
                    "0 no state, 1 running, 2 blocked, 3 paused, 4 shutting down, 5 shut off, "
                    "6 crashed, 7 suspended by the guest's power management",
                ),
                Field(
                    "reason",
                    Type.INT,
                    Kind.GAUGE,
                    "virDomain*Reason",
                    "reason for the state; each state has its own enum",
                ),
                Field(
                    "state_name",
                    Type.STRING,
                    Kind.GAUGE,
                    "",
                    "name of the state, as in domain_state_include",
                ),
                Field("running", Type.INT, Kind.GAUGE, "", "1 if the state is running, else 0"),
                Field("vcpus", Type.UINT, Kind.GAUGE, "", "number of online vCPUs"),
                _size("memory_kib", "current memory of the domain"),
                _size("memory_max_kib", "maximum memory of the domain"),
                _size(
                    "memory_used_kib",
                    "memory that the guest uses: available without usable, else without unused; "
                    "absent without the guest's report, or if it is older than 5 minutes",
                ),
                Field(
                    "memory_used_percent",
                    Type.DOUBLE,
                    Kind.GAUGE,
                    "%",
                    "the same, of the memory that the guest sees",
                ),
                Field(
                    "balloon_age_s",
                    Type.LLONG,
                    Kind.GAUGE,
                    "s",
                    "age of the guest's last report about its memory",
                ),
                _size("rss_kib", "host memory of the domain's process (resident set)"),
                _counter(
                    "cpu_time",
                    "ns",
                    "CPU time of the domain, in guest and hypervisor code",
                    active_only=True,
                ),
                _counter("vcpu_time", "ns", "CPU time of all vCPUs"),
                _counter("steal_time", "ns", "steal time of all vCPUs"),
                _counter("disk_read_bytes", "bytes", "bytes read from all disks"),
                _counter("disk_write_bytes", "bytes", "bytes written to all disks"),
                _counter("net_rx_bytes", "bytes", "bytes received by all interfaces"),
                _counter("net_tx_bytes", "bytes", "bytes sent by all interfaces"),
                _text("uuid", "UUID of the domain"),
                _text("title", "title in the domain's XML"),
                _text("os_type", "type of the guest, such as hvm"),
                _text("machine", "machine type, such as pc-q35-7.2"),
            ),
        ),
    ),
)

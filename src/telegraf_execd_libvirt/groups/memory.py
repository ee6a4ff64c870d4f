"""Group ``memory``: memory bandwidth monitors (resctrl) of a domain."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

GROUP = Group(
    name="memory",
    bit=1 << 8,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_memory_bandwidth_monitor_total",
            prefix="memory.bandwidth.monitor",
            help="Memory bandwidth monitors of the domain",
            fields=(Field("count", Type.UINT, Kind.GAUGE, "", "number of monitors"),),
        ),
        Metric(
            measurement="libvirt_memory_bandwidth_monitor",
            prefix="memory.bandwidth.monitor.<memory_bandwidth_monitor_id>",
            help="One memory bandwidth monitor",
            fields=(
                Field("name", Type.STRING, Kind.INFO, "", "name of the monitor"),
                Field("vcpus", Type.STRING, Kind.INFO, "", "monitored vCPUs, such as 0-4"),
                Field(
                    "node.count",
                    Type.UINT,
                    Kind.GAUGE,
                    "",
                    "number of monitored memory controllers",
                ),
            ),
        ),
        Metric(
            measurement="libvirt_memory_bandwidth_monitor_node",
            prefix="memory.bandwidth.monitor.<memory_bandwidth_monitor_id>.node.<controller_index>",
            help="One memory controller of a memory bandwidth monitor",
            fields=(
                Field("id", Type.UINT, Kind.INFO, "", "host id of the controller"),
                Field(
                    "bytes.local",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "bytes",
                    "traffic through the memory controller of the vCPUs' own processor",
                ),
                Field(
                    "bytes.total",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "bytes",
                    "traffic through all controllers, local and remote",
                ),
            ),
        ),
    ),
)

"""Group ``memory``: memory bandwidth monitors (resctrl) of a domain."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type, counter, gauge, text

GROUP = Group(
    name="memory",
    bit=1 << 8,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_memory_bandwidth_monitor_total",
            prefix="memory.bandwidth.monitor",
            help="Memory bandwidth monitors of the domain",
            fields=(gauge("count", "", "number of monitors", Type.UINT),),
        ),
        Metric(
            measurement="libvirt_memory_bandwidth_monitor",
            prefix="memory.bandwidth.monitor.<memory_bandwidth_monitor_id>",
            help="One memory bandwidth monitor",
            fields=(
                text("name", "name of the monitor"),
                text("vcpus", "monitored vCPUs, such as 0-4"),
                gauge("node.count", "", "number of monitored memory controllers", Type.UINT),
            ),
        ),
        Metric(
            measurement="libvirt_memory_bandwidth_monitor_node",
            prefix="memory.bandwidth.monitor.<memory_bandwidth_monitor_id>.node.<controller_index>",
            help="One memory controller of a memory bandwidth monitor",
            fields=(
                Field("id", Type.UINT, Kind.INFO, "", "host id of the controller"),
                counter(
                    "bytes.local",
                    "bytes",
                    "traffic through the memory controller of the vCPUs' own processor",
                ),
                counter(
                    "bytes.total", "bytes", "traffic through all controllers, local and remote"
                ),
            ),
        ),
    ),
)

"""Group ``memory``: memory bandwidth monitors (resctrl) of a domain."""

from __future__ import annotations

from .schema import Group, Metric, Type, counter, gauge, info, text, total

_MEMORY_BANDWIDTH_MONITOR_TOTAL = total(
    "memory.bandwidth.monitor", "Memory bandwidth monitors of the domain", "number of monitors"
)

_MEMORY_BANDWIDTH_MONITOR = Metric(
    prefix="memory.bandwidth.monitor.<memory_bandwidth_monitor_id>",
    help="One memory bandwidth monitor",
    fields=(
        text("name", "name of the monitor"),
        text("vcpus", "monitored vCPUs, such as 0-4"),
        gauge("node.count", "", "number of monitored memory controllers", Type.UINT),
    ),
)

_MEMORY_BANDWIDTH_MONITOR_NODE = Metric(
    prefix="memory.bandwidth.monitor.<memory_bandwidth_monitor_id>.node.<controller_index>",
    help="One memory controller of a memory bandwidth monitor",
    fields=(
        info("id", "", "host id of the controller", Type.UINT),
        counter(
            "bytes.local",
            "bytes",
            "traffic through the memory controller of the vCPUs' own processor",
        ),
        counter("bytes.total", "bytes", "traffic through all controllers, local and remote"),
    ),
)

GROUP = Group(
    name="memory",
    bit=1 << 8,
    metrics=(
        _MEMORY_BANDWIDTH_MONITOR_TOTAL,
        _MEMORY_BANDWIDTH_MONITOR,
        _MEMORY_BANDWIDTH_MONITOR_NODE,
    ),
)

"""Group ``cpu_total``: CPU time, halt polling and resctrl monitors of a domain."""

from __future__ import annotations

from .schema import Group, Metric, Type, counter, gauge, info, text, total

_CPU = Metric(
    prefix="cpu",
    help="CPU time of the domain",
    fields=(
        counter(
            "time", "ns", "CPU time of the domain, in guest and hypervisor code", active_only=True
        ),
        counter(
            "time",
            "ns",
            "the same as time, for InfluxDB, which reserves the name time",
            name="cpu_time",
            active_only=True,
        ),
        counter("user", "ns", "CPU time in user mode of the host", active_only=True),
        counter("system", "ns", "CPU time in kernel mode of the host", active_only=True),
        counter("haltpoll.success.time", "ns", "time that KVM polled an idle vCPU successfully"),
        counter("haltpoll.fail.time", "ns", "time that KVM polled an idle vCPU without success"),
    ),
)

_CPU_CACHE_MONITOR_TOTAL = total(
    "cpu.cache.monitor", "Cache monitors (resctrl) of the domain", "number of cache monitors"
)

_CPU_CACHE_MONITOR = Metric(
    prefix="cpu.cache.monitor.<cache_monitor_id>",
    help="One cache monitor (resctrl)",
    fields=(
        text("name", "name of the monitor"),
        text("vcpus", "monitored vCPUs, such as 0-3"),
        gauge("bank.count", "", "number of monitored cache banks", Type.UINT),
    ),
)

_CPU_CACHE_MONITOR_BANK = Metric(
    prefix="cpu.cache.monitor.<cache_monitor_id>.bank.<bank_index>",
    help="One cache bank of a cache monitor",
    fields=(
        info("id", "", "host id of the cache bank", Type.UINT),
        gauge(
            "bytes", "bytes", "last level cache in use; libvirt truncates it to 32 bits", Type.UINT
        ),
    ),
)

_CPU_ENERGY_MONITOR_TOTAL = total(
    "cpu.energy.monitor",
    "Energy monitors (resctrl) of the domain",
    "number of energy monitors",
    full=True,
)

_CPU_ENERGY_MONITOR = Metric(
    prefix="cpu.energy.monitor.<energy_monitor_id>",
    help="One energy monitor (resctrl)",
    fields=(
        text("name", "name of the monitor", full=True),
        text("vcpus", "monitored vCPUs, such as 0-3", full=True),
        gauge("pkg.count", "", "number of monitored CPU packages", Type.UINT, full=True),
    ),
)

_CPU_ENERGY_MONITOR_PKG = Metric(
    prefix="cpu.energy.monitor.<energy_monitor_id>.pkg.<pkg_index>",
    help="One CPU package of an energy monitor; the kernel may add fields",
    fields=(
        info("id", "", "host id of the package", Type.UINT, full=True),
        counter("core_energy", "J", "energy of the cores for the vCPUs", Type.DOUBLE, full=True),
        counter(
            "activity",
            "F",
            "activity of the cores for the vCPUs, as switched capacitance",
            Type.DOUBLE,
            full=True,
        ),
    ),
)

GROUP = Group(
    name="cpu_total",
    bit=1 << 1,
    needs_monitor=True,
    monitor_key="cpu.haltpoll.success.time",
    metrics=(
        _CPU,
        _CPU_CACHE_MONITOR_TOTAL,
        _CPU_CACHE_MONITOR,
        _CPU_CACHE_MONITOR_BANK,
        _CPU_ENERGY_MONITOR_TOTAL,
        _CPU_ENERGY_MONITOR,
        _CPU_ENERGY_MONITOR_PKG,
    ),
)

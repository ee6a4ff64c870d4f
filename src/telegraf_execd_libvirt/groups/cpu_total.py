"""Group ``cpu_total``: CPU time, halt polling and resctrl monitors of a domain."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

GROUP = Group(
    name="cpu_total",
    bit=1 << 1,
    needs_monitor=True,
    monitor_key="cpu.haltpoll.success.time",
    metrics=(
        Metric(
            measurement="libvirt_cpu",
            prefix="cpu",
            help="CPU time of the domain",
            fields=(
                Field(
                    "time",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "ns",
                    "CPU time of the domain, in guest and hypervisor code",
                    active_only=True,
                ),
                Field(
                    "time",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "ns",
                    "the same as time, for InfluxDB, which reserves the name time",
                    name="cpu_time",
                    active_only=True,
                ),
                Field(
                    "user",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "ns",
                    "CPU time in user mode of the host",
                    active_only=True,
                ),
                Field(
                    "system",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "ns",
                    "CPU time in kernel mode of the host",
                    active_only=True,
                ),
                Field(
                    "haltpoll.success.time",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "ns",
                    "time that KVM polled an idle vCPU successfully",
                ),
                Field(
                    "haltpoll.fail.time",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "ns",
                    "time that KVM polled an idle vCPU without success",
                ),
            ),
        ),
        Metric(
            measurement="libvirt_cpu_cache_monitor_total",
            prefix="cpu.cache.monitor",
            help="Cache monitors (resctrl) of the domain",
            fields=(Field("count", Type.UINT, Kind.GAUGE, "", "number of cache monitors"),),
        ),
        Metric(
            measurement="libvirt_cpu_cache_monitor",
            prefix="cpu.cache.monitor.<cache_monitor_id>",
            help="One cache monitor (resctrl)",
            fields=(
                Field("name", Type.STRING, Kind.INFO, "", "name of the monitor"),
                Field("vcpus", Type.STRING, Kind.INFO, "", "monitored vCPUs, such as 0-3"),
                Field("bank.count", Type.UINT, Kind.GAUGE, "", "number of monitored cache banks"),
            ),
        ),
        Metric(
            measurement="libvirt_cpu_cache_monitor_bank",
            prefix="cpu.cache.monitor.<cache_monitor_id>.bank.<bank_index>",
            help="One cache bank of a cache monitor",
            fields=(
                Field("id", Type.UINT, Kind.INFO, "", "host id of the cache bank"),
                Field(
                    "bytes",
                    Type.UINT,
                    Kind.GAUGE,
                    "bytes",
                    "last level cache in use; libvirt truncates it to 32 bits",
                ),
            ),
        ),
        Metric(
            measurement="libvirt_cpu_energy_monitor_total",
            prefix="cpu.energy.monitor",
            help="Energy monitors (resctrl) of the domain",
            fields=(
                Field("count", Type.UINT, Kind.GAUGE, "", "number of energy monitors", full=True),
            ),
        ),
        Metric(
            measurement="libvirt_cpu_energy_monitor",
            prefix="cpu.energy.monitor.<energy_monitor_id>",
            help="One energy monitor (resctrl)",
            fields=(
                Field("name", Type.STRING, Kind.INFO, "", "name of the monitor", full=True),
                Field(
                    "vcpus",
                    Type.STRING,
                    Kind.INFO,
                    "",
                    "monitored vCPUs, such as 0-3",
                    full=True,
                ),
                Field(
                    "pkg.count",
                    Type.UINT,
                    Kind.GAUGE,
                    "",
                    "number of monitored CPU packages",
                    full=True,
                ),
            ),
        ),
        Metric(
            measurement="libvirt_cpu_energy_monitor_pkg",
            prefix="cpu.energy.monitor.<energy_monitor_id>.pkg.<pkg_id>",
            help="One CPU package of an energy monitor; the kernel may add fields",
            fields=(
                Field("id", Type.UINT, Kind.INFO, "", "host id of the package", full=True),
                Field(
                    "core_energy",
                    Type.DOUBLE,
                    Kind.COUNTER,
                    "J",
                    "energy of the cores for the vCPUs",
                    full=True,
                ),
                Field(
                    "activity",
                    Type.DOUBLE,
                    Kind.COUNTER,
                    "F",
                    "activity of the cores for the vCPUs, as switched capacitance",
                    full=True,
                ),
            ),
        ),
    ),
)

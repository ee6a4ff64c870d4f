"""Additional statistics ``node``: one line per hypervisor: the host, and sums over its domains.

The sums are over the domains that are read. The names are an API: add fields, never rename them.
"""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type


def _gauge(key: str, help: str, unit: str = "") -> Field:
    return Field(key, Type.ULLONG, Kind.GAUGE, unit, help)


def _cpu_time(key: str, help: str) -> Field:
    return Field(key, Type.ULLONG, Kind.COUNTER, "ns", f"{help}, all CPUs of the host")


GROUP = Group(
    name="node",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_node",
            prefix="node",
            subject="libvirt_uri",
            help="One hypervisor: its host, and sums over the domains that are read",
            fields=(
                _gauge("cpus", "number of active CPUs of the host"),
                _gauge("memory_kib", "memory of the host", "KiB"),
                _gauge("memory_free_kib", "free memory of the host", "KiB"),
                _cpu_time("cpu_user", "CPU time in user mode, with that of guests"),
                _cpu_time("cpu_system", "CPU time in kernel mode"),
                _cpu_time("cpu_idle", "idle time"),
                _cpu_time("cpu_iowait", "idle time while I/O was in progress"),
                _gauge("domains_running", "domains in the state running"),
                _gauge("domains_paused", "domains in the state paused"),
                _gauge("domains_shutoff", "domains in the state shutoff"),
                _gauge("domains_crashed", "domains in the state crashed"),
                _gauge("domains_other", "domains in any other state"),
                _gauge("vcpus_defined", "online vCPUs of all domains"),
                _gauge("vcpus_running", "online vCPUs of active domains, also of paused ones"),
                _gauge("memory_defined_kib", "maximum memory of all domains", "KiB"),
                _gauge(
                    "memory_running_kib",
                    "maximum memory of active domains, also of paused ones",
                    "KiB",
                ),
            ),
        ),
    ),
)

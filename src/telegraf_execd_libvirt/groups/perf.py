"""Group ``perf``: host performance events that are enabled for a domain."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type


def _counter(key: str, help: str, unit: str = "") -> Field:
    return Field(key, Type.ULLONG, Kind.COUNTER, unit, help)


GROUP = Group(
    name="perf",
    bit=1 << 6,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_perf",
            prefix="perf",
            help="Performance events of the domain; a field exists while its event is enabled",
            fields=(
                Field(
                    "cmt",
                    Type.ULLONG,
                    Kind.GAUGE,
                    "bytes",
                    "last level cache in use; not on Linux 4.14 and later",
                ),
                _counter(
                    "mbmt", "memory traffic of the system; not on Linux 4.14 and later", "bytes"
                ),
                _counter(
                    "mbml", "memory traffic of one controller; not on Linux 4.14 and later", "bytes"
                ),
                _counter("cpu_cycles", "CPU cycles"),
                _counter("instructions", "instructions"),
                _counter("cache_references", "cache accesses"),
                _counter("cache_misses", "cache misses"),
                _counter("branch_instructions", "branches"),
                _counter("branch_misses", "mispredicted branches"),
                _counter("bus_cycles", "bus cycles"),
                _counter("stalled_cycles_frontend", "cycles stalled in the CPU's frontend"),
                _counter("stalled_cycles_backend", "cycles stalled in the CPU's backend"),
                _counter("ref_cpu_cycles", "CPU cycles, independent of frequency scaling"),
                _counter("cpu_clock", "CPU clock time", "ns"),
                _counter("task_clock", "run time of the domain's tasks", "ns"),
                _counter("page_faults", "page faults"),
                _counter("context_switches", "context switches"),
                _counter("cpu_migrations", "migrations to another CPU"),
                _counter("page_faults_min", "page faults without I/O"),
                _counter("page_faults_maj", "page faults with I/O"),
                _counter("alignment_faults", "accesses to unaligned addresses"),
                _counter("emulation_faults", "instructions emulated by the kernel"),
            ),
        ),
    ),
)

"""Group ``perf``: host performance events that are enabled for a domain."""

from __future__ import annotations

from .schema import Group, Metric, counter, gauge

_PERF = Metric(
    prefix="perf",
    help="Performance events of the domain; a field exists while its event is enabled",
    fields=(
        gauge("cmt", "bytes", "last level cache in use; not on Linux 4.14 and later"),
        counter("mbmt", "bytes", "memory traffic of the system; not on Linux 4.14 and later"),
        counter("mbml", "bytes", "memory traffic of one controller; not on Linux 4.14 and later"),
        counter("cpu_cycles", "", "CPU cycles"),
        counter("instructions", "", "instructions"),
        counter("cache_references", "", "cache accesses"),
        counter("cache_misses", "", "cache misses"),
        counter("branch_instructions", "", "branches"),
        counter("branch_misses", "", "mispredicted branches"),
        counter("bus_cycles", "", "bus cycles"),
        counter("stalled_cycles_frontend", "", "cycles stalled in the CPU's frontend"),
        counter("stalled_cycles_backend", "", "cycles stalled in the CPU's backend"),
        counter("ref_cpu_cycles", "", "CPU cycles, independent of frequency scaling"),
        counter("cpu_clock", "ns", "CPU clock time"),
        counter("task_clock", "ns", "run time of the domain's tasks"),
        counter("page_faults", "", "page faults"),
        counter("context_switches", "", "context switches"),
        counter("cpu_migrations", "", "migrations to another CPU"),
        counter("page_faults_min", "", "page faults without I/O"),
        counter("page_faults_maj", "", "page faults with I/O"),
        counter("alignment_faults", "", "accesses to unaligned addresses"),
        counter("emulation_faults", "", "instructions emulated by the kernel"),
    ),
)

GROUP = Group(name="perf", bit=1 << 6, metrics=(_PERF,))

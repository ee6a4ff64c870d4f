"""The dashboard of one guest in depth, or of a few to compare."""

from __future__ import annotations

from . import guest_devices, guest_sources
from .fleet import HOST
from .model import ORANGE, RED, STATES, YELLOW, Dashboard, Panel, Row, Target, Variable
from .queries import FRESH, GUEST, HOSTS, ONE_GUEST, VCPU, gauge, now
from .rates import rate

_SECOND = " / 1000000000"
_PERCENT_OF_A_SECOND = " * 100 / 1000000000"
_NAME = "{host} {domain_name}"

_DOMAIN = Variable(
    "domain",
    "Guest",
    f'SHOW TAG VALUES FROM "libvirt_state" WITH KEY = "domain_name" WHERE {HOSTS.influxql}',
    f"label_values(libvirt_state_state{HOSTS.promql}, domain_name)",
    "one guest, or some to compare",
    everything=False,
)


def _value(title: str, description: str, field: str, unit: str, **more: object) -> Panel:
    target = now(ONE_GUEST, "libvirt_domain", field, GUEST, title, _NAME)
    return Panel(
        title,
        description,
        (target,),
        kind="stat",
        unit=unit,
        width=4,
        height=4,
        **more,  # type: ignore[arg-type]
    )


_NOW = Row(
    "Now",
    (
        _value(
            "State",
            "State on each host that knows the guest; off on one host beside running on another is "
            "the copy that a migration left.",
            "state",
            "none",
            mappings=STATES,
        ),
        _value(
            "Reason of the state",
            "libvirt's number of the reason. Paused: 1 by a user, 2 migration, 5 I/O error. Off: 1 "
            "shut down by the guest, 2 destroyed, 3 crashed, 4 migrated.",
            "reason",
            "none",
        ),
        _value(
            "vCPUs",
            "Online vCPUs. Compare with the use of the vCPUs below before you add some.",
            "vcpus",
            "none",
        ),
        _value(
            "Current memory",
            "Memory of the guest, which the balloon may lower below the maximum.",
            "memory_kib",
            "kbytes",
        ),
        _value(
            "Memory used now",
            "Memory that the guest cannot release. Without a value the guest has no balloon "
            "driver, or its last report is older than 5 minutes.",
            "memory_used_percent",
            "percent",
            thresholds=((90, ORANGE), (95, RED)),
        ),
        _value(
            "Age of the memory report",
            "Seconds since the guest last reported its memory. If it grows, set a period with "
            "virsh dommemstat --period, or look for a hung guest.",
            "balloon_age_s",
            "s",
            thresholds=((60, YELLOW), (300, RED)),
        ),
        Panel(
            "State over time",
            "State of the guest on each host. Short gaps are collections without the guest: it was "
            "not defined there, or the hypervisor could not be read.",
            (
                Target(
                    gauge(ONE_GUEST, "libvirt_state", "state", GUEST, _NAME).influxql,
                    f"max by ({', '.join(GUEST)}) "
                    f"(last_over_time(libvirt_state_state{ONE_GUEST.promql}[{FRESH}]))",
                    _NAME,
                ),
            ),
            kind="state-timeline",
            width=24,
            height=5,
            mappings=STATES,
        ),
    ),
)

_CPU = Row(
    "CPU",
    (
        Panel(
            "CPU",
            "CPU time on the host in cores, in user mode (the guest runs here) and in kernel mode. "
            "Much kernel time is I/O emulation: use virtio devices.",
            tuple(
                rate(ONE_GUEST, "libvirt_cpu", (name,), GUEST, f"{_NAME} {name}", times=_SECOND)
                for name in ("user", "system")
            ),
            unit="suffix: cores",
            width=8,
            stacked=True,
        ),
        Panel(
            "Use of each vCPU",
            "CPU time of each vCPU. All at 100 %: the guest needs more vCPUs. One at 100 %: it "
            "runs one thread.",
            (
                rate(
                    ONE_GUEST,
                    "libvirt_vcpu",
                    ("cpu_time",),
                    VCPU,
                    f"{_NAME} {{vcpu_id}}",
                    times=_PERCENT_OF_A_SECOND,
                ),
            ),
            unit="percent",
            width=8,
        ),
        Panel(
            "Steal and wait",
            "Steal: the vCPU was ready and the host ran something else. Wait: the same, from the "
            "scheduler's statistics, where the host has them. Above 10 % the host has too many "
            "vCPUs for its CPUs.",
            tuple(
                rate(
                    ONE_GUEST,
                    "libvirt_vcpu",
                    (field,),
                    GUEST,
                    f"{_NAME} {name}",
                    VCPU,
                    "mean",
                    _PERCENT_OF_A_SECOND,
                )
                for field, name in (("delay", "steal"), ("wait", "wait"))
            ),
            unit="percent",
            width=8,
            thresholds=((5, YELLOW), (10, RED)),
        ),
    ),
)


def _size(field: str, name: str) -> Target:
    return gauge(ONE_GUEST, "libvirt_balloon", field, GUEST, f"{_NAME} {name}")


_MEMORY = Row(
    "Memory",
    (
        Panel(
            "Memory",
            "What the guest has, can release (usable) and does not use at all (unused), and what "
            "its process takes on the host (rss). Usable near 0: the guest swaps or kills "
            "processes soon.",
            (
                _size("current", "current"),
                _size("available", "available"),
                _size("usable", "usable"),
                _size("unused", "unused"),
                _size("rss", "rss"),
            ),
            unit="kbytes",
        ),
        Panel(
            "Memory used over time",
            "Share of its memory that the guest cannot release; only from reports of the last 5 "
            "minutes.",
            (gauge(ONE_GUEST, "libvirt_domain", "memory_used_percent", GUEST, _NAME),),
            unit="percent",
            width=6,
            maximum=100,
            thresholds=((90, ORANGE), (95, RED)),
        ),
        Panel(
            "Swap and major faults",
            "Memory read from and written to swap in KiB/s, and page faults with disk access per "
            "second. Writing to swap over minutes: the guest needs more memory.",
            tuple(
                rate(ONE_GUEST, "libvirt_balloon", (field,), GUEST, f"{_NAME} {name}")
                for field, name in (
                    ("swap_in", "swap in, KiB/s"),
                    ("swap_out", "swap out, KiB/s"),
                    ("major_fault", "major faults"),
                )
            ),
            width=6,
            thresholds=((5, YELLOW),),
        ),
    ),
)

GUEST_DASHBOARD = Dashboard(
    "guest",
    "libvirt guest",
    "One guest in depth, from the metrics of telegraf-execd-libvirt.",
    (HOST, _DOMAIN),
    (_NOW, _CPU, _MEMORY, guest_devices.DISKS, guest_devices.NETWORK, *guest_sources.ROWS),
)

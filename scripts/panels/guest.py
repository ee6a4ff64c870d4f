"""The dashboard of one guest in depth, or of a few to compare."""

from __future__ import annotations

from . import guest_devices, guest_sources
from .fleet import HOST
from .model import (
    GREEN,
    ORANGE,
    REASONS,
    RED,
    STATES,
    YELLOW,
    Dashboard,
    Panel,
    Row,
    Target,
    Variable,
)
from .queries import FRESH, GUEST, HOSTS, ONE_GUEST, VCPU, gauge, limit, now, quoted
from .rates import rate

_SECOND = " / 1000000000"
_PERCENT_OF_A_SECOND = " * 100 / 1000000000"
_NAME = "{host} {domain_name}"
_STATE = ("state", "reason")

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


def _reason() -> Target:
    """100 times the state, and the reason; its number says little without the state."""
    state, reason = (now(ONE_GUEST, "libvirt_domain", name, GUEST, "") for name in _STATE)
    return Target(
        f'SELECT 100 * last("state") + last("reason") AS "Reason of the state" '
        f'FROM "libvirt_domain" WHERE {ONE_GUEST.influxql} AND $timeFilter '
        f"GROUP BY {quoted(GUEST)}",
        f"100 * {state.promql} + {reason.promql}",
        _NAME,
        fresh=True,
    )


def _since() -> Target:
    started = now(ONE_GUEST, "libvirt_domain", "started_at", GUEST, "Running since")
    return Target(
        started.influxql.replace("SELECT last", "SELECT 1000 * last"),
        f"1000 * {started.promql}",
        _NAME,
        fresh=True,
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
        Panel(
            "Reason of the state",
            "libvirt's reason of the state; docs/recipes.md explains each. Paused by an I/O error: "
            "free space in the pool, then virsh resume. Off and crashed: see QEMU's log.",
            (_reason(),),
            kind="stat",
            width=4,
            height=4,
            mappings=REASONS,
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
            "Running since",
            "When the guest was started or arrived on this host by a migration; not when it was "
            "rebooted from inside. Younger than you know: see its events and QEMU's log.",
            (_since(),),
            kind="stat",
            unit="dateTimeFromNow",
            width=8,
            height=4,
        ),
        _value(
            "Guest agent",
            "Whether the guest's agent is connected to its channel. If it is not, backups cannot "
            "freeze file systems: start qemu-guest-agent in the guest.",
            "agent_connected",
            "none",
            mappings={0: ("not connected", YELLOW), 1: ("connected", GREEN)},
        ),
        _value(
            "Period of memory reports",
            "Interval in which the guest reports its memory. At 0 its memory is not known: set it "
            "with virsh dommemstat --period 10 --config --live.",
            "balloon_period",
            "s",
            mappings={0: ("none", YELLOW)},
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
            "runs one thread. All at the limit: the guest is throttled.",
            (
                rate(
                    ONE_GUEST,
                    "libvirt_vcpu",
                    ("cpu_time",),
                    VCPU,
                    f"{_NAME} {{vcpu_id}}",
                    times=_PERCENT_OF_A_SECOND,
                ),
                limit(
                    ONE_GUEST,
                    "libvirt_cpu_limit",
                    "vcpu_quota",
                    GUEST,
                    f"{_NAME} limit",
                    "100.0",
                    "vcpu_period",
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
        Panel(
            "CPU and its limit",
            "CPU time of the whole guest with QEMU's threads, and its quota, if it has one. At the "
            "limit the guest is throttled: raise the quota with virsh schedinfo.",
            (
                rate(ONE_GUEST, "libvirt_cpu", ("cpu_time",), GUEST, _NAME, times=_SECOND),
                limit(
                    ONE_GUEST,
                    "libvirt_cpu_limit",
                    "global_quota",
                    GUEST,
                    f"{_NAME} limit",
                    "1.0",
                    "global_period",
                ),
            ),
            unit="suffix: cores",
        ),
        Panel(
            "Load",
            "Processes of the guest that run or wait, as its agent reports them. Above the number "
            "of vCPUs processes wait for one, or for a disk: compare with their use. Needs the "
            "source guest_agent, libvirt 11.2 and QEMU 10.0.",
            tuple(
                gauge(
                    ONE_GUEST,
                    "libvirt_guest_load",
                    f"load{minutes}",
                    GUEST,
                    f"{_NAME} {minutes} min",
                    "5m",
                )
                for minutes in (1, 5, 15)
            ),
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
            "its process takes on the host (rss), which the kernel ends at the hard limit. Usable "
            "near 0: the guest swaps or kills processes soon.",
            (
                _size("current", "current"),
                _size("available", "available"),
                _size("usable", "usable"),
                _size("unused", "unused"),
                _size("rss", "rss"),
                limit(
                    ONE_GUEST, "libvirt_memory_limit", "hard_limit", GUEST, f"{_NAME} hard limit"
                ),
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

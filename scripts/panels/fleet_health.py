"""The state of the collection itself, the storage pools of the hosts, and failures of guests."""

from __future__ import annotations

from . import fleet_facts
from .model import GREEN, RED, YELLOW, Panel, Row, Target
from .queries import GUEST, GUESTS, HOSTS, NODE, gauge, one_of_each, over_time, quoted

_LEGEND = "{host} {libvirt_uri}"
_POOL = ("host", "pool")
_EVENT = (*GUEST, "event", "detail")

#: Events that mean a failure whatever their detail is, and details of "stopped" that do.
_FAILURES = "crashed|watchdog|io_error|control_error|memory_failure"
_FAILED_STOPS = "crashed|failed"


def _per_minute(field: str, name: str) -> Target:
    selected = f"libvirt_health_{field}{HOSTS.promql}"
    return Target(
        f'SELECT mean("r") FROM (SELECT non_negative_derivative("{field}", 1m) AS "r" '
        f'FROM "libvirt_health" WHERE {HOSTS.influxql} GROUP BY {quoted(NODE)}) '
        f"WHERE $timeFilter GROUP BY time($__interval), {quoted(NODE)} fill(none)",
        f"60 * sum by ({', '.join(NODE)}) (rate({selected}[$__rate_interval]))",
        f"{_LEGEND} {name}",
    )


def _failing_sources() -> Target:
    each = (*NODE, "source")
    up = one_of_each(each, f"libvirt_source_health_up{HOSTS.promql}")
    return Target(
        f'SELECT sum("v") FROM (SELECT 1 - last("up") AS "v" FROM "libvirt_source_health" '
        f"WHERE {HOSTS.influxql} GROUP BY time($__interval), {quoted(each)} fill(none)"
        f") WHERE {over_time(NODE)}",
        f"sum by ({', '.join(NODE)}) (1 - {up})",
        _LEGEND,
    )


def _failures() -> Target:
    """Counters of the events of a failure. PromQL: each selector has the labels of the scope."""
    any_detail, stops = (
        f"libvirt_event_count{GUESTS.promql[:-1]},{labels}}}"
        for labels in (
            f'event=~"{_FAILURES}"',
            f'event="stopped",detail=~"{_FAILED_STOPS}"',
        )
    )
    return Target(
        f'SELECT last("count") FROM "libvirt_event" WHERE {GUESTS.influxql} AND '
        f'("event" =~ /^({_FAILURES})$/ OR '
        f'("event" = \'stopped\' AND "detail" =~ /^({_FAILED_STOPS})$/)) AND {over_time(_EVENT)}',
        f"max by ({', '.join(_EVENT)}) ({any_detail} or {stops})",
        "{host} {domain_name} {event} {detail}",
    )


ROW = Row(
    "Health of the plugin",
    (
        Panel(
            "Hypervisors over time",
            "Whether each hypervisor could be read. While it cannot, its guests have no metrics. "
            "Run telegraf-execd-libvirt --check on that host as the user telegraf.",
            (gauge(HOSTS, "libvirt_health", "up", NODE, _LEGEND),),
            kind="state-timeline",
            width=8,
            mappings={0: ("unreadable", RED), 1: ("readable", GREEN)},
        ),
        Panel(
            "Errors and reconnects",
            "Collections that could not read the hypervisor, and new connections, each per minute. "
            "A restart of the daemon gives one reconnect; more of them are a daemon that crashes "
            "or a network that drops connections.",
            (_per_minute("errors", "errors"), _per_minute("reconnects", "reconnects")),
            unit="cpm",
            width=8,
            thresholds=((1, YELLOW),),
        ),
        Panel(
            "Guests read",
            "Guests that each collection read. A drop without a change that you know is a "
            "hypervisor that cannot be read, or a filter in the configuration.",
            (gauge(HOSTS, "libvirt_health", "domains", NODE, _LEGEND),),
            width=8,
            decimals=0,
        ),
        Panel(
            "Failing sources",
            "Sources of additional statistics, such as job or storage_pool, whose last fetch failed"
            " or hangs; their panels and alerts have old values or none. Telegraf's log names them "
            "and the reason. Remove those that the driver does not have.",
            (_failing_sources(),),
            width=16,
            height=6,
            thresholds=((1, YELLOW),),
            decimals=0,
        ),
        fleet_facts.AGENTS,
    ),
)

STORAGE = Row(
    "Storage pools and failures, where they are collected",
    (
        Panel(
            "Use of the storage pools",
            "Used share of each pool, as libvirt knew it at its last refresh. A full pool pauses "
            "guests with thin disks: move volumes or extend the pool above 90 %.",
            (gauge(HOSTS, "libvirt_storage_pool", "used_percent", _POOL, "{host} {pool}"),),
            unit="percent",
            maximum=100,
            thresholds=((80, YELLOW), (90, RED)),
        ),
        Panel(
            "Failures of guests",
            "Events of crashes, I/O errors, watchdogs and memory failures since the plugin started."
            " A guest that crashes usually ends, so that no state shows it. At a step, see the "
            "guest's console and QEMU's log of that time. Needs the source event.",
            (_failures(),),
            unit="short",
            decimals=0,
        ),
    ),
)

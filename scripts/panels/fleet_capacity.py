"""Panels: capacity of the hosts, needs of the guests, and the list of all guests."""

from __future__ import annotations

from .model import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, STATES, YELLOW, Panel, Row, Target
from .queries import FRESH, GUEST, GUESTS, HOSTS, NODE, now, quoted, ratio, total_now

_SIZE_COLOURS = {"defined": GREY, "running": GREEN, "host": BLUE, "host, free": PURPLE}

CAPACITY = Row(
    "Capacity of the hosts",
    (
        Panel(
            "vCPUs",
            "vCPUs of all defined guests, of the active ones, and CPUs of the hosts. "
            "Defined guests that are off need room on the hosts when they start.",
            (
                total_now(HOSTS, "libvirt_node", "vcpus_defined", "defined"),
                total_now(HOSTS, "libvirt_node", "vcpus_running", "running"),
                total_now(HOSTS, "libvirt_node", "cpus", "host"),
            ),
            kind="stat",
            width=6,
            height=5,
            colours=_SIZE_COLOURS,
        ),
        Panel(
            "Memory",
            "Maximum memory of all defined guests, of the active ones, and memory of the hosts. "
            "More running than the hosts have makes them swap: migrate or shrink guests.",
            (
                total_now(HOSTS, "libvirt_node", "memory_defined_kib", "defined"),
                total_now(HOSTS, "libvirt_node", "memory_running_kib", "running"),
                total_now(HOSTS, "libvirt_node", "memory_kib", "host"),
                total_now(HOSTS, "libvirt_node", "memory_free_kib", "host, free"),
            ),
            kind="stat",
            unit="kbytes",
            width=8,
            height=5,
            colours=_SIZE_COLOURS,
        ),
        Panel(
            "vCPUs per CPU",
            "vCPUs of active guests for each CPU of the host. Several are usual for guests that "
            "idle; if steal rises with it, migrate guests to another host.",
            (
                ratio(
                    HOSTS,
                    "libvirt_node",
                    "vcpus_running",
                    "cpus",
                    NODE,
                    "{host} {libvirt_uri}",
                    "1.0",
                ),
            ),
            width=5,
            height=5,
            thresholds=((4, YELLOW), (8, RED)),
            decimals=2,
        ),
        Panel(
            "Memory of running guests",
            "Maximum memory of active guests, of the memory of their host. Above 90 % the host has "
            "little left for itself and its page cache.",
            (
                ratio(
                    HOSTS,
                    "libvirt_node",
                    "memory_running_kib",
                    "memory_kib",
                    NODE,
                    "{host} {libvirt_uri}",
                    "100.0",
                ),
            ),
            unit="percent",
            width=5,
            height=5,
            thresholds=((90, YELLOW), (100, RED)),
        ),
    ),
)

_IDENTITY = (*GUEST, "project_name", "instance_name", "uuid")
_TEXTS = ("title", "uuid", "os_type", "machine")
_COLUMNS = {
    "vcpus": "vCPUs",
    "memory_kib": "memory",
    "memory_used_percent": "memory used",
    "rss_kib": "memory of the host",
}

INVENTORY = Row(
    "Inventory",
    (
        Panel(
            "Guests",
            "All guests that were reported in the last 2 minutes; a click on a name opens its own "
            "dashboard. A guest on two hosts was migrated and left an inactive copy, which may be "
            "undefined. Needs the additional statistics domain.",
            (
                Target(
                    'SELECT last("state") AS "state", '
                    + ", ".join(f'last("{field}") AS "{name}"' for field, name in _COLUMNS.items())
                    + "".join(f', last("{name}"::field) AS "{name}"' for name in _TEXTS)
                    + f' FROM "libvirt_domain" WHERE {GUESTS.influxql} AND $timeFilter '
                    f"GROUP BY {quoted((*GUEST, 'project_name'))}",
                    f"max by ({', '.join(_IDENTITY)}) "
                    f"(last_over_time(libvirt_domain_state{GUESTS.promql}[{FRESH}]))",
                    column="state",
                    fresh=True,
                ),
                *(
                    Target(
                        "",
                        now(GUESTS, "libvirt_domain", field, GUEST, name).promql,
                        column=name,
                        fresh=True,
                    )
                    for field, name in _COLUMNS.items()
                ),
            ),
            kind="table",
            width=24,
            height=12,
            mappings=STATES,
            units={
                "memory": "kbytes",
                "memory of the host": "kbytes",
                "memory used": "percent",
            },
            thresholds=((90, ORANGE),),
        ),
    ),
)

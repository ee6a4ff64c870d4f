"""Panels: capacity of the hosts, needs of the guests, and the list of all guests."""

from __future__ import annotations

from .model import BLUE, GREEN, GREY, PURPLE, REASONS, RED, STATES, YELLOW, Panel, Row
from .queries import GUEST, GUESTS, HOSTS, NODE, ratio, total_now
from .tables import table

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
            width=4,
            height=5,
            colours=_SIZE_COLOURS,
        ),
        Panel(
            "Memory",
            "Maximum memory of all defined guests, of the active ones, and memory of the hosts. "
            "More running than the hosts have makes them swap: migrate or shrink guests. Available "
            "is free memory with the page cache.",
            (
                total_now(HOSTS, "libvirt_node", "memory_defined_kib", "defined"),
                total_now(HOSTS, "libvirt_node", "memory_running_kib", "running"),
                total_now(HOSTS, "libvirt_node", "memory_kib", "host"),
                total_now(HOSTS, "libvirt_node", "memory_free_kib", "host, free"),
                total_now(HOSTS, "libvirt_node", "memory_available_kib", "host, available"),
            ),
            kind="stat",
            unit="kbytes",
            width=10,
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

_COLUMNS = {
    "state": "state",
    "100 * state + reason": "reason",
    "vcpus": "vCPUs",
    "memory_kib": "memory",
    "memory_used_percent": "memory used",
    "rss_kib": "memory of the host",
}
_TEXTS = {name: name for name in ("title", "uuid", "os_type", "machine")}

INVENTORY = Row(
    "Inventory",
    (
        Panel(
            "Guests",
            "All guests that were reported in the last 2 minutes; a click on a name opens its own "
            "dashboard. A guest on two hosts was migrated and left an inactive copy, which may be "
            "undefined. Needs the additional statistics domain.",
            table(
                GUESTS,
                "libvirt_domain",
                _COLUMNS,
                GUEST,
                texts=_TEXTS,
                beside=("project_name", "instance_name", "uuid"),
            ),
            kind="table",
            width=24,
            height=12,
            words={"state": STATES, "reason": REASONS},
            units={
                "memory": "kbytes",
                "memory of the host": "kbytes",
                "memory used": "percent",
            },
        ),
    ),
)

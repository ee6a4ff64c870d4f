"""The dashboard of all guests of all hosts."""

from __future__ import annotations

from . import fleet_capacity, fleet_facts, fleet_hanging, fleet_health, fleet_limits, fleet_top
from .model import (
    GREEN,
    GREY,
    PURPLE,
    RED,
    YELLOW,
    Dashboard,
    Panel,
    Row,
    Target,
    Variable,
)
from .queries import (
    FRESH,
    GUEST,
    GUESTS,
    HOSTS,
    NODE,
    PROJECTS,
    count,
    one_of_each,
    quoted,
    total,
    total_of_running,
)
from .rates import rate

_SECOND = " / 1000000000"

HOST = Variable(
    "host",
    "Host",
    'SHOW TAG VALUES FROM "libvirt_state" WITH KEY = "host"',
    "label_values(libvirt_state_state, host)",
    "Telegraf's tag host",
)

PROJECT = Variable(
    "project",
    "Project",
    f'SHOW TAG VALUES FROM "libvirt_state" WITH KEY = "project_name" WHERE {HOSTS.influxql}',
    f"label_values(libvirt_state_state{HOSTS.promql}, project_name)",
    "the tag project_name, if additional_domain_tags has it",
)

_DOMAIN = Variable(
    "domain",
    "Guest",
    f'SHOW TAG VALUES FROM "libvirt_state" WITH KEY = "domain_name" WHERE {PROJECTS.influxql}',
    f"label_values(libvirt_state_state{PROJECTS.promql}, domain_name)",
    "names of the guests",
)

_STATE_COLOURS = {
    "running": GREEN,
    "paused": YELLOW,
    "off": GREY,
    "crashed": RED,
    "other": PURPLE,
    "not responding": RED,
    "unreadable": RED,
    "readable": GREEN,
}


def _state(condition: str, name: str) -> Target:
    return count(GUESTS, "libvirt_state", "state", condition, name)


def _state_other() -> Target:
    """Blocked, shutting down, suspended or without a state."""
    which = " AND ".join(f'"v" != {number}' for number in (1, 3, 5, 6))
    recent = f"last_over_time(libvirt_state_state{GUESTS.promql}[{FRESH}])"
    return Target(
        f'SELECT count("v") FROM (SELECT last("state") AS "v" FROM "libvirt_state" '
        f"WHERE {GUESTS.influxql} GROUP BY {quoted(GUEST)}) WHERE {which} AND $timeFilter",
        f"count({one_of_each(GUEST, recent)} != 1 != 3 != 5 != 6) or vector(0)",
        "other",
        fresh=True,
    )


_GUESTS = Row(
    "Guests",
    (
        Panel(
            "Guests by state",
            "Guests in each state, of those that were reported in the last 2 minutes. "
            "Crashed or paused: open the guest below; one that is paused by an I/O error "
            "usually has a full disk or storage pool.",
            (
                _state("= 1", "running"),
                _state("= 3", "paused"),
                _state("= 5", "off"),
                _state("= 6", "crashed"),
                _state_other(),
            ),
            kind="stat",
            width=10,
            height=4,
            no_value="0",
            colours=_STATE_COLOURS,
        ),
        Panel(
            "Not responding",
            "Guests whose QEMU does not answer libvirt, so that their metrics are incomplete, or "
            "that libvirt has locked, so that they have none. Look for hanging storage (NFS, Ceph) "
            "on the host, then at the QEMU process of the guest.",
            (count(GUESTS, "libvirt_domain_health", "complete", "= 0", "not responding"),),
            kind="stat",
            width=4,
            height=4,
            no_value="0",
            thresholds=((1, RED),),
        ),
        Panel(
            "Hypervisors",
            "Hypervisors that could be read in the last 2 minutes, and those that could not. All "
            "guests of an unreadable one are missing on this page. See Telegraf's log there.",
            (
                count(HOSTS, "libvirt_health", "up", "= 1", "readable", NODE),
                count(HOSTS, "libvirt_health", "up", "= 0", "unreadable", NODE),
            ),
            kind="stat",
            width=5,
            height=4,
            no_value="0",
            colours=_STATE_COLOURS,
        ),
        Panel(
            "vCPUs of running guests",
            "Online vCPUs of the selected guests that run. Inactive copies that a migration leaves "
            "on other hosts do not count. Needs the additional statistics domain.",
            (total_of_running(GUESTS, "vcpus", "vCPUs"),),
            kind="stat",
            width=5,
            height=4,
            no_value="0",
        ),
        Panel(
            "CPU of guests by host",
            "CPU time of all selected guests on each host, in cores. Near the number of CPUs of "
            "the host, guests wait for each other: see steal, and migrate some.",
            (
                rate(
                    GUESTS, "libvirt_cpu", ("cpu_time",), ("host",), "{host}", GUEST, times=_SECOND
                ),
            ),
            unit="suffix: cores",
            stacked=True,
        ),
        Panel(
            "Guests over time",
            "Guests in each state, all hosts together. Steps without a change that you know are "
            "crashes, or a hypervisor that cannot be read. Needs the additional statistics node.",
            tuple(
                total(HOSTS, "libvirt_node", f"domains_{field}", (), NODE, name)
                for field, name in (
                    ("running", "running"),
                    ("paused", "paused"),
                    ("shutoff", "off"),
                    ("crashed", "crashed"),
                )
            ),
            colours=_STATE_COLOURS,
            decimals=0,
            # All hosts have to be in each interval, whenever they write.
            step=FRESH,
        ),
    ),
)

FLEET = Dashboard(
    "fleet",
    "libvirt fleet",
    "All guests of all hosts, from the metrics of telegraf-execd-libvirt.",
    (HOST, PROJECT, _DOMAIN),
    (
        _GUESTS,
        fleet_hanging.ROW,
        fleet_facts.ATTENTION,
        fleet_capacity.CAPACITY,
        fleet_top.ROW,
        fleet_capacity.INVENTORY,
        fleet_limits.ROW,
        fleet_facts.IDENTITY,
        fleet_facts.BACKUPS,
        fleet_facts.CELLS,
        fleet_health.STORAGE,
        fleet_health.ROW,
    ),
)

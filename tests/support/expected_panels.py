"""The numbers that the panels have to show at the end of the example fleet's time.

The rule: they are computed from the fleet's description, with no query and none of the plugin's
code.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Callable

from support.example_fleet import END, FLEET, LOST
from support.fleet import CRASHED, PAUSED, RUNNING, SHUT_OFF, Disk, Guest, Host, Nic

Numbers = dict[str, float]
"""Values by the labels of their series, joined with spaces in the order of ORDER."""

#: The labels of a key. Others, such as the project, only describe.
ORDER = (
    *("host", "domain_name", "libvirt_uri", "pool", "vcpu_id", "block_id", "interface_id"),
    *("operation", "event", "detail", "mountpoint", "fstype", "device"),
)

#: Guests that their hypervisor reported in the last two minutes.
PRESENT = [g for g in FLEET.guests if g.there(END) and g.host != "kvm3"]
#: Guests that have counters in the range; of a migrated one, one for each host.
ACTIVE = [g for g in FLEET.guests if g.active]
#: What a host had at last, as its line of the node says.
LAST = [*PRESENT, *(g for g in FLEET.guests if g.host == "kvm3" and g.there(LOST))]


def key(labels: dict[str, str]) -> str:
    """The labels of a series as a key."""
    return " ".join(labels[name] for name in ORDER if labels.get(name))


def _name(guest: Guest) -> str:
    return f"{guest.host} {guest.name}"


def _each(guests: Iterable[Guest], value: Callable[[Guest], float]) -> Numbers:
    return {_name(guest): value(guest) for guest in guests}


def _disks(value: Callable[[Disk], float], guests: Iterable[Guest] = ACTIVE) -> Numbers:
    return {
        f"{_name(guest)} {number} {disk.name}": value(disk)
        for guest in guests
        for number, disk in enumerate(guest.disks)
    }


def _busy(count: Callable[[Disk], float], value: Callable[[Disk], float]) -> Numbers:
    busy = _disks(count)
    return {name: number for name, number in _disks(value).items() if busy[name]}


def _nics(value: Callable[[Nic], float]) -> Numbers:
    return {
        f"{_name(guest)} {number}": value(nic)
        for guest in ACTIVE
        for number, nic in enumerate(guest.nics)
    }


def _by_host(value: Callable[[Guest], float]) -> Numbers:
    """The sums at the end; of a host that cannot be read, those of its last moment."""
    guests = sorted((g for g in LAST if g.active), key=lambda g: g.host)
    return {host: sum(map(value, members)) for host, members in groupby(guests, lambda g: g.host)}


def _on(host: Host) -> list[Guest]:
    return [guest for guest in LAST if guest.host == host.name]


def _hosts(value: Callable[[Host], float]) -> Numbers:
    return {f"{host.name} {host.uri}": value(host) for host in FLEET.hosts}


def _one(value: float) -> Numbers:
    return {"": value}


def _in_state(*states: int) -> Numbers:
    return _one(sum(guest.state in states for guest in PRESENT))


def _memory_percent(guests: Iterable[Guest]) -> Numbers:
    return {
        _name(g): 100 * g.used / g.memory
        for g in guests
        if g.active and g.complete and g.used is not None
    }


def _with_balloon(value: Callable[[Guest], float]) -> Numbers:
    return _each((g for g in ACTIVE if g.complete and g.used is not None), value)


def _latency(guest: Guest) -> float:
    spent = sum(d.reads * d.read_ns + d.writes * d.write_ns for d in guest.disks)
    return spent / sum(d.reads + d.writes for d in guest.disks) / 1e6


_DOING_IO = [g for g in ACTIVE if any(d.reads + d.writes for d in g.disks)]
_READABLE = [host for host in FLEET.hosts if host.name in ("kvm1", "kvm2")]
_NEWEST = list({_name(g): g for g in FLEET.guests}.values())
_ACTIVE_NOW = [g for g in PRESENT if g.active]

FLEET_PANELS: dict[str, Numbers] = {
    "Guests by state A": _in_state(RUNNING),
    "Guests by state B": _in_state(PAUSED),
    "Guests by state C": _in_state(SHUT_OFF),
    "Guests by state D": _in_state(CRASHED),
    "Guests by state E": _in_state(0, 2, 4, 7),
    "Not responding A": _one(sum(not g.complete for g in PRESENT)),
    "Hypervisors A": _one(2),
    "Hypervisors B": _one(1),
    "vCPUs of running guests A": _one(sum(g.vcpus for g in PRESENT if g.state == RUNNING)),
    "CPU of guests by host A": _by_host(lambda g: g.user + g.system),
    "Guests over time A": _in_state(RUNNING),
    "Guests over time B": _in_state(PAUSED),
    "Guests over time C": _in_state(SHUT_OFF),
    "Guests over time D": _in_state(CRASHED),
    "vCPUs A": _one(sum(g.vcpus for g in PRESENT)),
    "vCPUs B": _one(sum(g.vcpus for g in _ACTIVE_NOW)),
    "vCPUs C": _one(sum(host.cpus for host in _READABLE)),
    "Memory A": _one(sum(g.memory for g in PRESENT)),
    "Memory B": _one(sum(g.memory for g in _ACTIVE_NOW)),
    "Memory C": _one(sum(host.memory for host in _READABLE)),
    "Memory D": _one(sum(host.memory // 4 for host in _READABLE)),
    "vCPUs per CPU A": _hosts(lambda h: sum(g.vcpus for g in _on(h) if g.active) / h.cpus),
    "Memory of running guests A": _hosts(
        lambda h: 100 * sum(g.memory for g in _on(h) if g.active) / h.memory
    ),
    "CPU A": _each(ACTIVE, lambda g: g.user + g.system),
    "Steal A": _each(ACTIVE, lambda g: 100 * g.steal),
    "Memory used A": _memory_percent(FLEET.guests),
    "Disk latency A": _each(_DOING_IO, _latency),
    "IOPS A": _each(ACTIVE, lambda g: sum(d.reads + d.writes for d in g.disks)),
    "Network A": _each(ACTIVE, lambda g: sum((n.rx + n.tx) * n.size for n in g.nics)),
    "Network drops A": _each(ACTIVE, lambda g: sum(n.rx_drop + n.tx_drop for n in g.nics)),
    "Disk throughput by host A": _by_host(lambda g: sum(d.reads * d.size for d in g.disks)),
    "Disk throughput by host B": _by_host(lambda g: sum(d.writes * d.size for d in g.disks)),
    "Network throughput by host A": _by_host(lambda g: sum(n.rx * n.size for n in g.nics)),
    "Network throughput by host B": _by_host(lambda g: sum(n.tx * n.size for n in g.nics)),
    "Guests state": _each(PRESENT, lambda g: g.state),
    "Guests vCPUs": _each(PRESENT, lambda g: g.vcpus),
    "Guests memory": _each(PRESENT, lambda g: g.memory),
    "Guests memory used": _memory_percent(PRESENT),
    "Guests memory of the host": _each(_ACTIVE_NOW, lambda g: g.memory // 2),
    "Hypervisors over time A": _hosts(lambda h: int(h.name != "kvm3")),
    "Collect time A": _hosts(lambda h: h.collect_ns),
    "Hanging calls A": _hosts(lambda h: h.hanging),
    "Errors and reconnects A": _hosts(lambda h: 6 if h.name == "kvm3" else 0),
    "Errors and reconnects B": _hosts(lambda h: 0),
    "Guests not responding A": _each((g for g in PRESENT if not g.complete), lambda g: 0),
    "Guests read A": _hosts(lambda h: len(_on(h)) if h in _READABLE else 0),
    "Use of the storage pools A": {"kvm1 default": 93, "kvm2 default": 40},
}

GUEST_PANELS: dict[str, Numbers] = {
    "State A": _each(PRESENT, lambda g: g.state),
    "Reason of the state A": _each(PRESENT, lambda g: g.reason),
    "vCPUs A": _each(PRESENT, lambda g: g.vcpus),
    "Current memory A": _each(PRESENT, lambda g: g.memory),
    "Memory used now A": _memory_percent(PRESENT),
    "Age of the memory report A": dict.fromkeys(_memory_percent(PRESENT), 5),
    "State over time A": _each(_NEWEST, lambda g: g.state),
    "CPU A": _each(ACTIVE, lambda g: g.user),
    "CPU B": _each(ACTIVE, lambda g: g.system),
    "Use of each vCPU A": {
        f"{_name(g)} {number}": 100 * g.user / g.vcpus for g in ACTIVE for number in range(g.vcpus)
    },
    "Steal and wait A": _each(ACTIVE, lambda g: 100 * g.steal),
    "Steal and wait B": _each(ACTIVE, lambda g: 50 * g.steal),
    "Memory A": _each(_NEWEST, lambda g: g.memory),
    "Memory B": _with_balloon(lambda g: g.memory),
    "Memory C": _with_balloon(lambda g: g.memory - (g.used or 0)),
    "Memory D": _with_balloon(lambda g: (g.memory - (g.used or 0)) // 2),
    "Memory E": _each(ACTIVE, lambda g: g.memory // 2),
    "Memory used over time A": _memory_percent(FLEET.guests),
    "Swap and major faults A": _with_balloon(lambda g: g.swap_out / 2),
    "Swap and major faults B": _with_balloon(lambda g: g.swap_out),
    "Swap and major faults C": _with_balloon(lambda g: g.faults),
    "Disk IOPS A": _disks(lambda d: d.reads),
    "Disk IOPS B": _disks(lambda d: d.writes),
    "Disk throughput A": _disks(lambda d: d.reads * d.size),
    "Disk throughput B": _disks(lambda d: d.writes * d.size),
    "Disk latency A": _busy(lambda d: d.reads, lambda d: d.read_ns / 1e6),
    "Disk latency B": _busy(lambda d: d.writes, lambda d: d.write_ns / 1e6),
    "Flushes A": _disks(lambda d: d.flushes),
    "Flush latency A": _busy(lambda d: d.flushes, lambda d: d.flush_ns / 1e6),
    "Capacity and allocation A": _disks(lambda d: d.capacity, _NEWEST),
    "Capacity and allocation B": _disks(lambda d: d.allocation, _NEWEST),
    "Capacity and allocation C": _disks(lambda d: d.allocation + (1 << 20), _NEWEST),
    "Network throughput A": _nics(lambda n: n.rx * n.size),
    "Network throughput B": _nics(lambda n: n.tx * n.size),
    "Packets A": _nics(lambda n: n.rx),
    "Packets B": _nics(lambda n: n.tx),
    "Drops and errors A": _nics(lambda n: n.rx_drop),
    "Drops and errors B": _nics(lambda n: n.tx_drop),
    "Drops and errors C": _nics(lambda n: n.errors),
    "Drops and errors D": _nics(lambda n: n.errors),
    "Data of jobs A": {"kvm1 web-1 migration_out": 2 << 30},
    "Data of jobs B": {"kvm1 web-1 migration_out": 6 << 30},
    "Progress of block jobs A": {"kvm1 web-1 vda": 25},
    "Events A": {"kvm1 web-1 reboot": 3, "kvm1 web-1 lifecycle started": 7},
    "Use of guest filesystems A": {
        "kvm1 web-1 / ext4 vda1": 95,
        "kvm1 web-1 /srv/data xfs vdb1": 25,
    },
    "Disk errors A": {"kvm2 full vda": 2},
}

EXPECTED = {"fleet": FLEET_PANELS, "guest": GUEST_PANELS}

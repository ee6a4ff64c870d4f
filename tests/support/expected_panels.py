"""The numbers that the panels have to show at the end of a fleet's time.

The rule: they are computed from the fleet's description, with no query and none of the plugin's
code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

from support import expected_sources
from support.fleet import CRASHED, PAUSED, RUNNING, SHUT_OFF, Fleet, Guest
from support.fleet_view import Numbers, View, each, memory_percent, name_of, one

#: The labels of a key. Others, such as the project, only describe.
ORDER = (
    *(
        "host",
        "domain_name",
        "libvirt_uri",
        "source",
        "pool",
        "vcpu_id",
        "block_id",
        "interface_id",
    ),
    *("operation", "event", "detail", "mountpoint", "fstype", "device"),
)


def key(labels: dict[str, str]) -> str:
    """The labels of a series as a key."""
    return " ".join(labels[name] for name in ORDER if labels.get(name))


def expected(fleet: Fleet, end: int, start: int, step: int) -> dict[str, dict[str, Numbers]]:
    """The numbers by dashboard and by panel, with the letter of the query or the name of the
    column; the range is from start to end."""
    view = View(fleet, end, start, step)
    return {"fleet": dict(_fleet_panels(view)), "guest": dict(_guest_panels(view))}


def _fleet_panels(view: View) -> Iterator[tuple[str, Numbers]]:
    present, active = view.present, view.active
    doing_io = [g for g in active if any(d.reads + d.writes for d in g.disks)]
    for letter, states in zip(
        "ABCDE", ((RUNNING,), (PAUSED,), (SHUT_OFF,), (CRASHED,), (0, 2, 4, 7))
    ):
        yield f"Guests by state {letter}", view.in_state(*states)
        if letter != "E":
            yield f"Guests over time {letter}", view.in_state(*states)
    yield "Not responding A", one(sum(not g.complete for g in present))
    yield "Hypervisors A", one(len(view.readable))
    yield "Hypervisors B", one(len(view.reporting) - len(view.readable))
    running = [guest for guest in present if guest.state == RUNNING]
    yield "vCPUs of running guests A", one(sum(g.vcpus for g in running))
    yield "CPU of guests by host A", view.by_host(lambda g: g.user + g.system)
    yield "vCPUs A", one(sum(g.vcpus for g in present))
    yield "vCPUs B", one(sum(g.vcpus for g in view.active_now))
    yield "vCPUs C", one(sum(host.cpus for host in view.readable))
    yield "Memory A", one(sum(g.memory for g in present))
    yield "Memory B", one(sum(g.memory for g in view.active_now))
    yield "Memory C", one(sum(host.memory for host in view.readable))
    yield "Memory D", one(sum(host.memory // 4 for host in view.readable))
    yield (
        "vCPUs per CPU A",
        view.hosts(lambda h: sum(g.vcpus for g in view.on(h) if g.active) / h.cpus),
    )
    yield (
        "Memory of running guests A",
        view.hosts(lambda h: 100 * sum(g.memory for g in view.on(h) if g.active) / h.memory),
    )
    yield "CPU A", each(active, lambda g: g.user + g.system)
    yield "Steal A", each(active, lambda g: 100 * g.steal)
    yield "Memory used A", memory_percent(active)
    yield "Disk latency A", each(doing_io, _latency)
    with_disks, with_nics = ([g for g in active if g.disks], [g for g in active if g.nics])
    yield "IOPS A", each(with_disks, lambda g: sum(d.reads + d.writes for d in g.disks))
    yield "Network A", each(with_nics, lambda g: sum((n.rx + n.tx) * n.size for n in g.nics))
    yield "Network drops A", each(with_nics, lambda g: sum(n.rx_drop + n.tx_drop for n in g.nics))
    for letter, disk_bytes, nic_bytes in (
        ("A", lambda d: d.reads * d.size, lambda n: n.rx * n.size),
        ("B", lambda d: d.writes * d.size, lambda n: n.tx * n.size),
    ):
        for title, part, count in (("Disk", "disks", disk_bytes), ("Network", "nics", nic_bytes)):
            yield f"{title} throughput by host {letter}", view.by_host(_sum(part, count), part)
    yield "Guests state", each(present, lambda g: g.state)
    yield "Guests vCPUs", each(present, lambda g: g.vcpus)
    yield "Guests memory", each(present, lambda g: g.memory)
    yield "Guests memory used", memory_percent(present)
    yield "Guests memory of the host", each(view.active_now, lambda g: g.memory // 2)
    up = {host.name for host in view.fleet.hosts} - {
        host.name for host in view.reporting if host not in view.readable
    }
    yield "Hypervisors over time A", view.hosts(lambda h: int(h.name in up))
    yield "Collect time A", view.hosts(lambda h: h.collect_ns)
    yield "Hanging calls A", view.hosts(lambda h: h.hanging)
    yield (
        "Errors and reconnects A",
        view.hosts(lambda h: 0 if h.name in up else 60 / view.step),
    )
    yield "Errors and reconnects B", view.hosts(lambda h: 0)
    yield "Guests not responding A", each((g for g in present if not g.complete), lambda g: 0)
    yield "Guests read A", view.hosts(lambda h: len(view.on(h)) if h.name in up else 0)
    if view.fleet.sources:
        every = len(view.fleet.sources)
        yield (
            "Failing sources A",
            view.hosts(lambda h: len(h.failing) if h.name in up else every),
        )
        yield from expected_sources.fleet_panels(view)


def _latency(guest: Guest) -> float:
    spent = sum(d.reads * d.read_ns + d.writes * d.write_ns for d in guest.disks)
    return spent / sum(d.reads + d.writes for d in guest.disks) / 1e6


def _sum(part: str, value: Callable[[Any], float]) -> Callable[[Guest], float]:
    return lambda guest: sum(map(value, getattr(guest, part)))


def _guest_panels(view: View) -> Iterator[tuple[str, Numbers]]:
    present, active, newest = view.present, view.active, view.newest
    yield "State A", each(present, lambda g: g.state)
    yield "Reason of the state A", each(present, lambda g: g.reason)
    yield "vCPUs A", each(present, lambda g: g.vcpus)
    yield "Current memory A", each(present, lambda g: g.memory)
    yield "Memory used now A", memory_percent(present)
    yield "Age of the memory report A", dict.fromkeys(memory_percent(present), 5)
    yield "State over time A", each(newest, lambda g: g.state)
    yield "CPU A", each(active, lambda g: g.user)
    yield "CPU B", each(active, lambda g: g.system)
    yield (
        "Use of each vCPU A",
        {
            f"{name_of(g)} {number}": 100 * g.user / g.vcpus
            for g in active
            for number in range(g.vcpus)
        },
    )
    yield "Steal and wait A", each(active, lambda g: 100 * g.steal)
    yield "Steal and wait B", each(active, lambda g: 50 * g.steal)
    yield "Memory A", each(newest, lambda g: g.memory)
    yield "Memory B", view.with_balloon(lambda g: g.memory)
    yield "Memory C", view.with_balloon(lambda g: g.memory - (g.used or 0))
    yield "Memory D", view.with_balloon(lambda g: (g.memory - (g.used or 0)) // 2)
    yield "Memory E", each(active, lambda g: g.memory // 2)
    yield "Memory used over time A", memory_percent(active)
    yield "Swap and major faults A", view.with_balloon(lambda g: g.swap_out / 2)
    yield "Swap and major faults B", view.with_balloon(lambda g: g.swap_out)
    yield "Swap and major faults C", view.with_balloon(lambda g: g.faults)
    yield "Disk IOPS A", view.disks(lambda d: d.reads)
    yield "Disk IOPS B", view.disks(lambda d: d.writes)
    yield "Disk throughput A", view.disks(lambda d: d.reads * d.size)
    yield "Disk throughput B", view.disks(lambda d: d.writes * d.size)
    yield "Disk latency A", view.busy(lambda d: d.reads, lambda d: d.read_ns / 1e6)
    yield "Disk latency B", view.busy(lambda d: d.writes, lambda d: d.write_ns / 1e6)
    yield "Flushes A", view.disks(lambda d: d.flushes)
    yield "Flush latency A", view.busy(lambda d: d.flushes, lambda d: d.flush_ns / 1e6)
    yield "Capacity and allocation A", view.disks(lambda d: d.capacity, newest=True)
    yield "Capacity and allocation B", view.disks(lambda d: d.allocation, newest=True)
    yield "Capacity and allocation C", view.disks(lambda d: d.allocation + (1 << 20), newest=True)
    yield "Network throughput A", view.nics(lambda n: n.rx * n.size)
    yield "Network throughput B", view.nics(lambda n: n.tx * n.size)
    yield "Packets A", view.nics(lambda n: n.rx)
    yield "Packets B", view.nics(lambda n: n.tx)
    yield "Drops and errors A", view.nics(lambda n: n.rx_drop)
    yield "Drops and errors B", view.nics(lambda n: n.tx_drop)
    yield "Drops and errors C", view.nics(lambda n: n.errors)
    yield "Drops and errors D", view.nics(lambda n: n.errors)
    if view.fleet.sources:
        yield from expected_sources.guest_panels(view)

"""The numbers that the panels have to show at the end of a fleet's time.

The rule: they are computed from the fleet's description, with no query and none of the plugin's
code. Names of numbers are libvirt's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable

from support.answers import OPERATIONS, fleet_tables, guest_lines
from support.fleet import LOCKED_SECONDS, Fleet, Guest, State
from support.fleet_view import Numbers, View, each, memory_percent, name_of, one
from support.grafana import Series

#: The labels of a key. Others, such as the project, only describe.
ORDER = (
    *("host", "domain_name", "libvirt_uri", "source", "pool", "vcpu_id", "block_id"),
    *("interface_id", "operation", "event", "detail", "mountpoint", "fstype", "device"),
    *("interface", "type", "address", "cell", "page_size", "status"),
)

#: The names of events by virDomainEventID and their arguments.
_LIFE_CYCLE = {
    **{(2, 0): "started booted", (5, 0): "stopped shutdown", (5, 2): "stopped crashed"},
    **{(5, 5): "stopped failed", (8, 0): "crashed panicked"},
}
_WATCHDOG = ("none", "pause", "reset")
_FAILURES = ("crashed", "watchdog", "io_error", "stopped crashed", "stopped failed")


def key(labels: dict[str, str]) -> str:
    """The labels of a series as a key."""
    return " ".join(labels[name] for name in ORDER if labels.get(name))


def latest(series: Iterable[Series]) -> dict[str, Any]:
    """The latest values of series by their keys, which differ."""
    found: dict[str, Any] = {}
    for one_of_them in series:
        assert key(one_of_them.labels) not in found
        found[key(one_of_them.labels)] = one_of_them.last
    return found


def expected(fleet: Fleet, end: int, start: int, step: int) -> dict[str, dict[str, Numbers]]:
    """The numbers by dashboard and by panel, with the letter of the query or the name of the
    column; the range is from start to end."""
    view = View(fleet, end, start, step)
    boards = {"fleet": _fleet_panels(view), "guest": _guest_panels(view)}
    if fleet.sources:
        boards["fleet"].update(_fleet_sources(view))
        boards["guest"].update(_guest_sources(view))
    boards["fleet"].update(fleet_tables(view))
    for at, numbers in guest_lines(view).items():
        boards["guest"].setdefault(at, {}).update(numbers)
    return boards


def _fleet_panels(view: View) -> dict[str, Numbers]:
    present, active, hosts = view.present, view.active, view.hosts
    with_disks, with_nics = ([g for g in active if g.disks], [g for g in active if g.nics])
    doing_io = [g for g in active if any(d.requests for d in g.disks)]
    running = [guest for guest in present if guest.state == State.RUNNING]
    silent = [*(guest for guest in present if not guest.complete), *view.locked]
    down = {host.name for host in view.reporting if host not in view.readable}
    found: dict[str, Numbers] = {
        "Not responding A": one(len(silent)),
        "Hypervisors A": one(len(view.readable)),
        "Hypervisors B": one(len(down)),
        "vCPUs of running guests A": one(sum(g.vcpus for g in running)),
        "CPU of guests by host A": view.by_host(lambda g: g.user + g.system),
        "vCPUs A": one(sum(g.vcpus for g in present)),
        "vCPUs B": one(sum(g.vcpus for g in view.active_now)),
        "vCPUs C": one(sum(host.cpus for host in view.readable)),
        "Memory A": one(sum(g.memory for g in present)),
        "Memory B": one(sum(g.memory for g in view.active_now)),
        "Memory C": one(sum(host.memory for host in view.readable)),
        "Memory D": one(sum(host.memory // 4 for host in view.readable)),
        "Memory E": one(sum(host.memory // 2 for host in view.readable)),
        "Versions of hypervisors A": {
            f"{host.name} {host.uri}": 7_002_000 for host in view.readable
        },
        "vCPUs per CPU A": hosts(lambda h: sum(g.vcpus for g in view.active_on(h)) / h.cpus),
        "Memory of running guests A": hosts(
            lambda h: 100 * sum(g.memory for g in view.active_on(h)) / h.memory
        ),
        "CPU A": each(active, lambda g: g.user + g.system),
        "Steal A": each(active, lambda g: 100 * g.steal),
        "Memory used A": memory_percent(active),
        "Disk latency A": each(doing_io, _latency),
        "IOPS A": each(with_disks, lambda g: sum(d.requests for d in g.disks)),
        "Network A": each(with_nics, lambda g: sum((n.rx + n.tx) * n.size for n in g.nics)),
        "Network drops A": each(with_nics, lambda g: sum(n.rx_drop + n.tx_drop for n in g.nics)),
        "Guests state": each(present, lambda g: g.state),
        "Guests reason": each(present, lambda g: 100 * g.state + g.reason),
        "Guests vCPUs": each(present, lambda g: g.vcpus),
        "Guests memory": each(present, lambda g: g.memory),
        "Guests memory used": memory_percent(present),
        "Guests memory of the host": each(view.active_now, lambda g: g.memory // 2),
        "Hypervisors over time A": hosts(lambda h: int(h.name not in down)),
        "Collect time A": hosts(lambda h: h.collect_ns),
        "Longest call A": hosts(lambda h: h.collect_ns),
        "Hanging calls A": hosts(lambda h: h.hanging),
        "Errors and reconnects A": hosts(lambda h: 60 / view.step if h.name in down else 0),
        "Errors and reconnects B": hosts(lambda h: 0),
        "Guests not responding answers": each(silent, lambda g: 0),
        "Guests not responding locked": each(view.locked, lambda g: 1),
        "Guests not responding locked for": each(view.locked, lambda g: LOCKED_SECONDS * 1000),
        **{
            f"Guests not responding {column}": {
                name_of(guest): value
                for guest in silent
                if not guest.locked
                for value in guest.control[at : at + 1]
            }
            for at, column in enumerate(("control", "error", "control for"))
        },
        "Guests read A": hosts(lambda h: 0 if h.name in down else len(view.on(h))),
    }
    states = (State.RUNNING, State.PAUSED, State.SHUT_OFF, State.CRASHED)
    for letter, state in zip("ABCD", states):
        found[f"Guests by state {letter}"] = view.in_state(state)
        found[f"Guests over time {letter}"] = view.in_state(state)
    found["Guests by state E"] = view.in_state(0, 2, 4, 7)
    parts: tuple[tuple[str, str, str, Callable[[Any], float]], ...] = (
        ("Disk", "A", "disks", lambda d: d.reads * d.size),
        ("Disk", "B", "disks", lambda d: d.writes * d.size),
        ("Network", "A", "nics", lambda n: n.rx * n.size),
        ("Network", "B", "nics", lambda n: n.tx * n.size),
    )
    for title, letter, part, value in parts:
        found[f"{title} throughput by host {letter}"] = view.by_host(_sum(part, value), part)
    if view.fleet.sources:
        every = len(view.fleet.sources)
        found["Failing sources A"] = hosts(lambda h: every if h.name in down else len(h.failing))
    return found


def _latency(guest: Guest) -> float:
    return sum(d.spent for d in guest.disks) / sum(d.requests for d in guest.disks) / 1e6


def _sum(part: str, value: Callable[[Any], float]) -> Callable[[Guest], float]:
    return lambda guest: sum(map(value, getattr(guest, part)))


def _guest_panels(view: View) -> dict[str, Numbers]:
    present, active, newest = view.present, view.active, view.newest
    balloon, disks, nics = view.with_balloon, view.disks, view.nics
    return {
        "State A": each(present, lambda g: g.state),
        "Reason of the state A": each(present, lambda g: 100 * g.state + g.reason),
        "vCPUs A": each(present, lambda g: g.vcpus),
        "Running since A": each((g for g in present if g.active), lambda g: 1000 * g.boots[0]),
        "Guest agent A": each((g for g in present if g.has_agent), lambda g: 1),
        "Period of memory reports A": each(present, lambda g: 0 if g.used is None else 10),
        "Current memory A": each(present, lambda g: g.memory),
        "Memory used now A": memory_percent(present),
        "Age of the memory report A": dict.fromkeys(memory_percent(present), 5),
        "State over time A": each(newest, lambda g: g.state),
        "CPU A": each(active, lambda g: g.user),
        "CPU B": each(active, lambda g: g.system),
        "Use of each vCPU A": {
            f"{name_of(g)} {number}": 100 * g.user / g.vcpus
            for g in active
            for number in range(g.vcpus)
        },
        "Steal and wait A": each(active, lambda g: 100 * g.steal),
        "Steal and wait B": each(active, lambda g: 50 * g.steal),
        "Memory A": each(newest, lambda g: g.memory),
        "Memory B": balloon(lambda g: g.memory),
        "Memory C": balloon(lambda g: g.memory - (g.used or 0)),
        "Memory D": balloon(lambda g: (g.memory - (g.used or 0)) // 2),
        "Memory E": each(active, lambda g: g.memory // 2),
        "Memory used over time A": memory_percent(active),
        "Swap and major faults A": balloon(lambda g: g.swap_out / 2),
        "Swap and major faults B": balloon(lambda g: g.swap_out),
        "Swap and major faults C": balloon(lambda g: g.faults),
        "Disk IOPS A": disks(lambda d: d.reads),
        "Disk IOPS B": disks(lambda d: d.writes),
        "Disk throughput A": disks(lambda d: d.reads * d.size),
        "Disk throughput B": disks(lambda d: d.writes * d.size),
        "Disk latency A": view.busy(lambda d: d.reads, lambda d: d.read_ns / 1e6),
        "Disk latency B": view.busy(lambda d: d.writes, lambda d: d.write_ns / 1e6),
        "Flushes A": disks(lambda d: d.flushes),
        "Flush latency A": view.busy(lambda d: d.flushes, lambda d: d.flush_ns / 1e6),
        "Capacity and allocation A": disks(lambda d: d.capacity, newest=True),
        "Capacity and allocation B": disks(lambda d: d.allocation, newest=True),
        "Capacity and allocation C": disks(lambda d: d.allocation + (1 << 20), newest=True),
        "Network throughput A": nics(lambda n: n.rx * n.size),
        "Network throughput B": nics(lambda n: n.tx * n.size),
        "Packets A": nics(lambda n: n.rx),
        "Packets B": nics(lambda n: n.tx),
        "Drops and errors A": nics(lambda n: n.rx_drop),
        "Drops and errors B": nics(lambda n: n.tx_drop),
        "Drops and errors C": nics(lambda n: n.errors),
        "Drops and errors D": nics(lambda n: n.errors),
    }


def _fleet_sources(view: View) -> dict[str, Numbers]:
    pools = [
        (host, pool)
        for host in view.seen
        if "storage_pool" in view.fleet.sources and "storage_pool" not in host.failing
        for pool in host.pools
        if pool.capacity
    ]
    return {
        "Use of the storage pools A": {
            f"{host.name} {pool.name}": 100 * pool.allocation / pool.capacity
            for host, pool in pools
        },
        "Failures of guests A": {
            f"{name_of(guest)} {name}": count
            for guest in view.asked("event")
            for name, count in _events(guest).items()
            if name.startswith(_FAILURES)
        },
    }


def _events(guest: Guest) -> dict[str, int]:
    found = {}
    for event in guest.events:
        if event.kind == 0:
            name = _LIFE_CYCLE[event.arguments[0], event.arguments[1]]
        elif event.kind == 1:
            name = "reboot"
        elif event.kind == 3:
            name = f"watchdog {_WATCHDOG[event.arguments[0]]}"
        elif event.kind == 21:
            name = f"job_completed {OPERATIONS[event.arguments[0]['operation']]}"
        elif event.kind == 16:
            continue  # the source event does not count jobs of disks
        else:
            name = f"io_error {event.arguments[3]}"
        found[name] = event.count
    return found


def _guest_sources(view: View) -> dict[str, Numbers]:
    def answers(source: str) -> list[Guest]:
        return [guest for guest in view.asked(source) if guest.active and guest.complete]

    jobs = ("memory_remaining", "memory_processed", "disk_remaining", "disk_processed")
    found: dict[str, Numbers] = {
        f"Data of jobs {letter}": {
            f"{name_of(guest)} {OPERATIONS[guest.job['operation']]}": guest.job[name]
            for guest in answers("job")
            if name in guest.job
        }
        for letter, name in zip("ABCD", jobs)
    }
    found["Progress of block jobs A"] = {
        f"{name_of(guest)} {disk}": 100 * job["cur"] / job["end"]
        for guest in answers("block_job")
        for disk, job in guest.block_jobs.items()
        if job["end"]
    }
    found["Events A"] = {
        f"{name_of(guest)} {name}": count
        for guest in view.asked("event")
        for name, count in _events(guest).items()
    }
    # Line protocol has no backslash at the end of a tag.
    found["Use of guest filesystems A"] = {
        f"{name_of(guest)} {f.mountpoint.rstrip(chr(92))} {f.kind} {f.device}": (
            100 * f.used / f.total
        )
        for guest in answers("guest_agent")
        for f in guest.filesystems
        if f.total
    }
    found["Disk errors A"] = {
        f"{name_of(guest)} {disk}": error
        for guest in answers("disk_error")
        for disk, error in guest.disk_errors.items()
    }
    return found

"""The numbers that the panels of sources have to show at the end of a fleet's time.

The rule: as in `expected_panels`; names of numbers are libvirt's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from support.fleet import Guest
from support.fleet_view import Numbers, View, name_of

#: virDomainJobOperation, and the names of events by virDomainEventID and their arguments.
_OPERATIONS = {2: "save", 5: "migration_out", 8: "dump", 9: "backup"}
_LIFE_CYCLE = {
    (2, 0): ("started", "booted"),
    (5, 0): ("stopped", "shutdown"),
    (5, 2): ("stopped", "crashed"),
    (5, 5): ("stopped", "failed"),
    (8, 0): ("crashed", "panicked"),
}
_WATCHDOG = ("none", "pause", "reset")


def fleet_panels(view: View) -> Iterator[tuple[str, Numbers]]:
    yield (
        "Use of the storage pools A",
        {
            f"{host.name} {pool.name}": 100 * pool.allocation / pool.capacity
            for host in view.seen
            if "storage_pool" in view.fleet.sources and "storage_pool" not in host.failing
            for pool in host.pools
            if pool.capacity
        },
    )
    failures = ("crashed", "watchdog", "io_error", "stopped crashed", "stopped failed")
    yield (
        "Failures of guests A",
        {
            name: count
            for guest in view.asked("event")
            for name, count in _events([guest]).items()
            if name[len(name_of(guest)) + 1 :].startswith(failures)
        },
    )


def _events(guests: Iterable[Guest]) -> Numbers:
    found: Numbers = {}
    for guest in guests:
        for event in guest.events:
            if event.kind == 0:
                name, detail = _LIFE_CYCLE[event.arguments[0], event.arguments[1]]
            elif event.kind == 1:
                name, detail = "reboot", ""
            elif event.kind == 3:
                name, detail = "watchdog", _WATCHDOG[event.arguments[0]]
            elif event.kind == 21:
                name, detail = "job_completed", _OPERATIONS[event.arguments[0]["operation"]]
            else:
                name, detail = "io_error", event.arguments[3]
            found[f"{name_of(guest)} {name} {detail}".rstrip()] = event.count
    return found


def _filesystems(guests: Iterable[Guest]) -> Numbers:
    """The use in percent. Line protocol has no backslash at the end of a tag."""
    return {
        f"{name_of(guest)} {f.mountpoint.rstrip(chr(92))} {f.kind} {f.device}": (
            100 * f.used / f.total
        )
        for guest in guests
        if guest.active and guest.complete
        for f in guest.filesystems
        if f.total
    }


def guest_panels(view: View) -> Iterator[tuple[str, Numbers]]:
    jobs = ("memory_remaining", "memory_processed", "disk_remaining", "disk_processed")
    for letter, name in zip("ABCD", jobs):
        yield (
            f"Data of jobs {letter}",
            {
                f"{name_of(guest)} {_OPERATIONS[guest.job['operation']]}": guest.job[name]
                for guest in view.asked("job")
                if guest.active and guest.complete and name in guest.job
            },
        )
    yield (
        "Progress of block jobs A",
        {
            f"{name_of(guest)} {disk}": 100 * job["cur"] / job["end"]
            for guest in view.asked("block_job")
            if guest.active and guest.complete
            for disk, job in guest.block_jobs.items()
            if job["end"]
        },
    )
    yield "Events A", _events(view.asked("event"))
    yield "Use of guest filesystems A", _filesystems(view.asked("guest_agent"))
    yield (
        "Disk errors A",
        {
            f"{name_of(guest)} {disk}": error
            for guest in view.asked("disk_error")
            if guest.active and guest.complete
            for disk, error in guest.disk_errors.items()
        },
    )

"""The fleet of the dashboards' tests: ordinary guests, and one of each special case.

The rule: all rates are constant, so that the expected numbers follow from this file alone.
"""

from __future__ import annotations

from typing import Any

from support.answers import AGENT, addresses, limits, said, saved
from support.fleet import BOOTED, Disk, Event, Filesystem, Fleet, Guest, Host, Nic, Pool, State
from support.fleet_lines import SHOWN_SOURCES

STEP = 10
END = 1_767_225_600
MOVED = END - 480
RESTARTED = END - 420
GONE = END - 240
LOST = END - 300
SILENT = END - 600

ODD_NAME = "we.b/2 (x)+[y] $1|a"
OTHER_ODD_NAME = "Žlutý ,=2"

#: virDomainEventID, and of a life cycle virDomainEventType and its details.
LIFECYCLE, REBOOT, IO_ERROR, BLOCK_JOB, JOB_COMPLETED = 0, 1, 6, 16, 21
STARTED, STOPPED = 2, 5
BOOTED_DETAIL, SHUTDOWN_DETAIL, CRASHED_DETAIL, FAILED_DETAIL = 0, 0, 2, 5

GIB = 1 << 30

#: As virDomainGetJobStats of QEMU reports a migration with its disks, and a backup.
MIGRATION = {
    **{"type": 2, "operation": 5, "time_elapsed": 40_000},
    **{"data_total": 12 * GIB, "data_processed": 7 * GIB, "data_remaining": 5 * GIB},
    **{"memory_total": 8 * GIB, "memory_processed": 6 * GIB, "memory_remaining": 2 * GIB},
    **{"disk_total": 4 * GIB, "disk_processed": 1 * GIB, "disk_remaining": 3 * GIB},
}
BACKUP = {
    **{"type": 1, "operation": 9, "time_elapsed": 5_000},
    **{"disk_total": 20 * GIB, "disk_processed": 15 * GIB, "disk_remaining": 5 * GIB},
}

MIGRATED = {
    **{"operation": 5, "success": True, "time_elapsed": 9000, "downtime": 42, "data_total": 9},
    **{"data_processed": 8 * GIB, "memory_processed": 7 * GIB, "memory_iteration": 4},
}

#: A job that has ended before the next one began.
FAILED_BACKUP = Event(JOB_COMPLETED, ({"operation": 9, "success": False, "time_elapsed": 7000},))

WORKERS = tuple(
    Guest(
        f"worker-{n}",
        "kvm1" if n % 2 else "kvm2",
        user=0.1 * n,
        system=0.05 * n,
        steal=0.01 * n,
        used=(n << 20) // 4,
        disks=(Disk(reads=10 * n, writes=20 * n, flushes=n, read_ns=n * 10**5),),
        nics=(Nic(rx=100 * n, tx=50 * n),),
        project="shop" if n < 4 else "lab",
    )
    for n in range(1, 9)
)

#: A guest whose counters stand still.
_STILL: dict[str, Any] = {"user": 0, "system": 0}


def _disks(reads: float, writes: float) -> dict[str, Any]:
    return {"disks": (Disk(reads=reads, writes=writes),)}


SPECIAL = (
    Guest(
        "web-1",
        "kvm1",
        vcpus=4,
        user=2.0,
        system=0.5,
        steal=0.15,
        memory=8 << 20,
        used=7 << 20,
        faults=20,
        swap_out=64,
        disks=(
            Disk("vda", reads=200, writes=100, flushes=20, size=16384, read_ns=3 * 10**6),
            Disk("vdb", reads=10, writes=400, flushes=40, write_ns=5 * 10**6, capacity=1 << 40),
        ),
        nics=(Nic(rx=3000, tx=4000, rx_drop=12, tx_drop=3, errors=1), Nic(rx=10, tx=20)),
        project="shop",
        title="Shop front end",
        job=MIGRATION,
        block_jobs={"vda": {"type": 2, "bandwidth": 0, "cur": 3 * GIB, "end": 12 * GIB}},
        filesystems=(
            Filesystem("/", "vda1", used=19 * GIB),
            Filesystem("/srv/data", "vdb1", "xfs", total=40 * GIB, used=10 * GIB),
            Filesystem("/proc", "proc", "proc", total=0, used=0),
        ),
        events=(
            Event(LIFECYCLE, (STARTED, BOOTED_DETAIL), 7),
            Event(LIFECYCLE, (STOPPED, SHUTDOWN_DETAIL), 4),
            Event(LIFECYCLE, (STOPPED, FAILED_DETAIL), 2),
            Event(REBOOT, (), 3),
            Event(IO_ERROR, ("/disk", "virtio-disk0", 1, "enospc"), 5),
            Event(BLOCK_JOB, ("vda", 2, 1), 2),
            Event(JOB_COMPLETED, (MIGRATED,), 3),
        ),
        answers={
            **{"autostart": 1, "isPersistent": 1, "changes": ["memory", "disk"]},
            **limits(60_000, 240_000, 500, 1 << 25),
            **said(2, 1, 3),
            **saved(END - 86_400 * 9, END - 86_400),
            **addresses(["192.168.122.7"], ["192.168.122.7", "fe80::1"]),
        },
        agent=AGENT,
        hostdev="3",
        process=("sleep", 12, 60),
    ),
    Guest("web-1", "kvm2", state=State.SHUT_OFF, memory=8 << 20, vcpus=4),
    Guest(ODD_NAME, "kvm1", user=0.9, nics=(Nic(rx=1, tx=1),), **_disks(5, 5)),
    Guest(OTHER_ODD_NAME, "kvm2", user=1.1, used=3 << 20, **_disks(50, 1)),
    # The counters start again in the middle, as after a restart.
    Guest(
        "restarted",
        "kvm1",
        user=1.5,
        system=0.5,
        nics=(Nic(rx=900, tx=900),),
        boots=(BOOTED, RESTARTED),
        **_disks(150, 50),
    ),
    # Migrated between two hosts; an inactive copy remains on the first.
    Guest("mover", "kvm1", user=1.25, last=MOVED - STEP, **_disks(80, 20)),
    Guest("mover", "kvm1", state=State.SHUT_OFF, reason=4, first=MOVED, answers={"autostart": 1}),
    Guest("mover", "kvm2", user=1.25, boots=(MOVED,), first=MOVED, **_disks(80, 20)),
    Guest("gone", "kvm2", user=1.75, last=GONE, **_disks(70, 30)),
    Guest("lost", "kvm3", user=0.6),
    Guest("no-balloon", "kvm2", used=None, **_disks(40, 40)),
    Guest(
        "idle",
        "kvm2",
        user=0.01,
        system=0.01,
        job=BACKUP,
        events=(FAILED_BACKUP,),
        answers={**limits(-1, -1, 0, 0), **said(0, 0, 0), "isPersistent": 1, "changes": []},
    ),
    Guest("crashed", "kvm2", state=State.CRASHED, used=None, **_STILL),
    Guest(
        "full", "kvm2", state=State.PAUSED, reason=State.IO_ERROR, disk_errors={"vda": 2}, **_STILL
    ),
    Guest("waiting", "kvm1", state=State.PAUSED, **_STILL),
    Guest(
        "hung",
        "kvm2",
        complete=False,
        user=0.3,
        process=("blocked", 5, 40),
        control=(2, 0, 75_000),
        answers={"autostart": 1},
        **_disks(0, 0),
    ),
    Guest("locked", "kvm2", complete=False, locked=True, nics=()),
    Guest("asleep", "kvm1", state=7, **_STILL),
    Guest(
        "off",
        "kvm1",
        state=State.SHUT_OFF,
        memory=16 << 20,
        vcpus=8,
        events=(Event(LIFECYCLE, (STOPPED, CRASHED_DETAIL)),),
        answers={"autostart": 1, **saved(END - 86_400 * 40, state=1)},
    ),
    # What the alerts are about, and what looks similar.
    Guest("tight", "kvm1", used=4_090_000, faults=20, swap_out=2),
    Guest("tight-but-quiet", "kvm1", used=4_090_000, answers=limits(-1, -1, 9, 1 << 20, False)),
    Guest("slow-disk", "kvm1", disks=(Disk(reads=5, writes=5, read_ns=10**8, write_ns=3 * 10**8),)),
    # Three starts in the lines of a site, two of them before the range of the panels.
    Guest(
        "looping", "kvm1", user=0.05, system=0.01, boots=(BOOTED, END - 1010, END - 960, END - 500)
    ),
)

FLEET = Fleet(
    hosts=(
        Host(
            "kvm1",
            cpus=16,
            memory=128 << 20,
            collect_ns=30_000_000,
            reconnects=2,
            pools=(Pool("default", 100 * GIB, 93 * GIB),),
            free_pages=(100, 0),
        ),
        Host(
            "kvm2",
            collect_ns=7_000_000_000,
            hanging=1,
            pools=(Pool("default", 100 * GIB, 40 * GIB), Pool("unknown", 0, kind="iscsi")),
            failing=("block_job",),
        ),
        Host("kvm3", uri="qemu+tls://kvm3/system", unreadable=LOST, collect_ns=20_000_000),
        Host("kvm4", last=SILENT),
    ),
    guests=(*WORKERS, *SPECIAL),
    sources=SHOWN_SOURCES,
)

"""The fleet of the dashboards' tests: ordinary guests, and one of each special case.

The rule: all rates are constant, so that the expected numbers follow from this file alone.
"""

from __future__ import annotations

from support.fleet import (
    BOOTED,
    CRASHED,
    PAUSED,
    PAUSED_BY_IO_ERROR,
    SHUT_OFF,
    Disk,
    Event,
    Filesystem,
    Fleet,
    Guest,
    Host,
    Nic,
    Pool,
)
from support.fleet_lines import SHOWN_SOURCES

STEP = 10
END = 1_767_225_600
START = END - 1800
MOVED = END - 480
RESTARTED = END - 420
GONE = END - 240
LOST = END - 300
SILENT = END - 600

ODD_NAME = "we.b/2 (x)+[y] $1|a"
OTHER_ODD_NAME = "Žlutý ,=2"

#: virDomainEventID, and of a life cycle virDomainEventType and its details.
LIFECYCLE, REBOOT, IO_ERROR, JOB_COMPLETED = 0, 1, 6, 21
STARTED, STOPPED = 2, 5
BOOTED_DETAIL, SHUTDOWN_DETAIL, CRASHED_DETAIL, FAILED_DETAIL = 0, 0, 2, 5

#: As virDomainGetJobStats of QEMU reports a migration with its disks, and a backup.
MIGRATION = {
    "type": 2,
    "operation": 5,
    "time_elapsed": 40_000,
    "data_total": 12 << 30,
    "data_processed": 7 << 30,
    "data_remaining": 5 << 30,
    "memory_total": 8 << 30,
    "memory_processed": 6 << 30,
    "memory_remaining": 2 << 30,
    "disk_total": 4 << 30,
    "disk_processed": 1 << 30,
    "disk_remaining": 3 << 30,
}
BACKUP = {
    "type": 1,
    "operation": 9,
    "time_elapsed": 5_000,
    "disk_total": 20 << 30,
    "disk_processed": 15 << 30,
    "disk_remaining": 5 << 30,
}

#: A job that has ended before the next one began.
FAILED_BACKUP = Event(JOB_COMPLETED, ({"operation": 9, "success": False, "time_elapsed": 7000},))

WORKERS = tuple(
    Guest(
        f"worker-{number}",
        "kvm1" if number % 2 else "kvm2",
        vcpus=2,
        user=0.1 * number,
        system=0.05 * number,
        steal=0.01 * number,
        used=(number << 20) // 4,
        disks=(
            Disk(reads=10 * number, writes=20 * number, flushes=number, read_ns=number * 10**5),
        ),
        nics=(Nic(rx=100 * number, tx=50 * number),),
        project="shop" if number < 4 else "lab",
    )
    for number in range(1, 9)
)

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
        block_jobs={"vda": {"type": 2, "bandwidth": 0, "cur": 3 << 30, "end": 12 << 30}},
        filesystems=(
            Filesystem("/", "vda1", used=19 << 30),
            Filesystem("/srv/data", "vdb1", "xfs", total=40 << 30, used=10 << 30),
            Filesystem("/proc", "proc", "proc", total=0, used=0),
        ),
        events=(
            Event(LIFECYCLE, (STARTED, BOOTED_DETAIL), 7),
            Event(LIFECYCLE, (STOPPED, SHUTDOWN_DETAIL), 4),
            Event(LIFECYCLE, (STOPPED, FAILED_DETAIL), 2),
            Event(REBOOT, (), 3),
            Event(IO_ERROR, ("/disk", "virtio-disk0", 1, "enospc"), 5),
        ),
    ),
    Guest(ODD_NAME, "kvm1", user=0.9, disks=(Disk(reads=5, writes=5),), nics=(Nic(rx=1, tx=1),)),
    Guest(OTHER_ODD_NAME, "kvm2", user=1.1, used=3 << 20, disks=(Disk(reads=50, writes=1),)),
    # The counters start again in the middle, as after a restart.
    Guest(
        "restarted",
        "kvm1",
        user=1.5,
        system=0.5,
        disks=(Disk(reads=150, writes=50),),
        nics=(Nic(rx=900, tx=900),),
        boots=(BOOTED, RESTARTED),
    ),
    # Migrated between two hosts; an inactive copy remains on the first.
    Guest("mover", "kvm1", user=1.25, disks=(Disk(reads=80, writes=20),), last=MOVED - STEP),
    Guest("mover", "kvm1", state=SHUT_OFF, reason=4, first=MOVED),
    Guest(
        "mover", "kvm2", user=1.25, disks=(Disk(reads=80, writes=20),), boots=(MOVED,), first=MOVED
    ),
    Guest("gone", "kvm2", user=1.75, disks=(Disk(reads=70, writes=30),), last=GONE),
    Guest("no-balloon", "kvm2", used=None, disks=(Disk(reads=40, writes=40),)),
    Guest("idle", "kvm2", user=0.01, system=0.01, job=BACKUP, events=(FAILED_BACKUP,)),
    Guest("crashed", "kvm2", state=CRASHED, reason=1, user=0, system=0, used=None),
    Guest(
        "full",
        "kvm2",
        state=PAUSED,
        reason=PAUSED_BY_IO_ERROR,
        user=0,
        system=0,
        disk_errors={"vda": 2},
    ),
    Guest("waiting", "kvm1", state=PAUSED, reason=1, user=0, system=0),
    Guest("hung", "kvm2", complete=False, user=0.3, disks=(Disk(reads=0, writes=0),)),
    Guest("asleep", "kvm1", state=7, reason=1, user=0, system=0),
    Guest(
        "off",
        "kvm1",
        state=SHUT_OFF,
        reason=1,
        memory=16 << 20,
        vcpus=8,
        events=(Event(LIFECYCLE, (STOPPED, CRASHED_DETAIL)),),
    ),
    Guest("web-1", "kvm2", state=SHUT_OFF, reason=1, memory=8 << 20, vcpus=4),
    Guest("lost", "kvm3", user=0.6),
    # What the alerts are about, and what looks similar.
    Guest("tight", "kvm1", used=4_090_000, faults=20, swap_out=2),
    Guest("tight-but-quiet", "kvm1", used=4_090_000),
    Guest("slow-disk", "kvm1", disks=(Disk(reads=5, writes=5, read_ns=10**8, write_ns=3 * 10**8),)),
    Guest(
        "looping",
        "kvm1",
        user=0.05,
        system=0.01,
        boots=(BOOTED, END - 1500, END - 1000, END - 500),
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
            pools=(Pool("default", 100 << 30, 93 << 30),),
        ),
        Host(
            "kvm2",
            cpus=8,
            memory=64 << 20,
            collect_ns=7_000_000_000,
            hanging=1,
            pools=(Pool("default", 100 << 30, 40 << 30), Pool("unknown", 0, kind="iscsi")),
            failing=("block_job",),
        ),
        Host("kvm3", uri="qemu+tls://kvm3/system", unreadable=LOST, collect_ns=20_000_000),
        Host("kvm4", last=SILENT),
    ),
    guests=(*WORKERS, *SPECIAL),
    sources=SHOWN_SOURCES,
)

#: A fleet of another site: default tags only, and none of the sources above.
PLAIN_END = END - 20 * 86_400
PLAIN_FLEET = Fleet(
    hosts=(Host("rack7-node'3", uri="xen:///system", tags={"datacenter": "north"}),),
    guests=tuple(
        Guest(
            f"vm{number:03}.example.org",
            "rack7-node'3",
            vcpus=1,
            user=0.01 * number,
            system=0.0,
            disks=(Disk("sda", reads=number, writes=1, flushes=1),) * 3,
            nics=(Nic(rx=number, tx=1),),
            complete=number != 3,
            boots=(PLAIN_END - 86_400,),
        )
        for number in range(1, 14)
    ),
    device_tags=(),
)

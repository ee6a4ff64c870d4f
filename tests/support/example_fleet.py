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
    Extra,
    Fleet,
    Guest,
    Host,
    Nic,
)

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
    Guest("mover", "kvm1", state=SHUT_OFF, reason=3, first=MOVED),
    Guest(
        "mover", "kvm2", user=1.25, disks=(Disk(reads=80, writes=20),), boots=(MOVED,), first=MOVED
    ),
    Guest("gone", "kvm2", user=1.75, disks=(Disk(reads=70, writes=30),), last=GONE),
    Guest("no-balloon", "kvm2", used=None, disks=(Disk(reads=40, writes=40),)),
    Guest("idle", "kvm2", user=0.01, system=0.01),
    Guest("crashed", "kvm2", state=CRASHED, reason=1, user=0, system=0, used=None),
    Guest("full", "kvm2", state=PAUSED, reason=PAUSED_BY_IO_ERROR, user=0, system=0),
    Guest("waiting", "kvm1", state=PAUSED, reason=1, user=0, system=0),
    Guest("hung", "kvm2", complete=False, user=0.3, disks=(Disk(reads=0, writes=0),)),
    Guest("asleep", "kvm1", state=7, reason=1, user=0, system=0),
    Guest("off", "kvm1", state=SHUT_OFF, reason=1, memory=16 << 20, vcpus=8),
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


def _of(name: str, host: str = "kvm1", **tags: str) -> dict[str, str]:
    return {"domain_name": name, "host": host, **tags}


#: What sources report that have their own rhythm.
EXTRAS = (
    Extra(
        "libvirt_job",
        _of("web-1", operation="migration_out"),
        {"type": 2, "data_total": 8 << 30, "data_remaining": 2 << 30, "data_processed": 6 << 30},
    ),
    Extra(
        "libvirt_block_job",
        _of("web-1", device="vda"),
        {"type": 2, "current": 3 << 30, "end": 12 << 30, "bandwidth": 0},
    ),
    Extra("libvirt_disk_error", _of("full", "kvm2", device="vda"), {"error": 2}),
    Extra("libvirt_event", _of("web-1", event="reboot", detail=""), {"count": 3, "last": START}),
    Extra("libvirt_event", _of("web-1", event="lifecycle", detail="started"), {"count": 7}),
    Extra(
        "libvirt_guest_filesystem",
        _of("web-1", mountpoint="/", fstype="ext4", device="vda1"),
        {"total_bytes": 20 << 30, "used_bytes": 19 << 30, "used_percent": 95.0},
    ),
    Extra(
        "libvirt_guest_filesystem",
        _of("web-1", mountpoint="/srv/data", fstype="xfs", device="vdb1"),
        {"total_bytes": 40 << 30, "used_bytes": 10 << 30, "used_percent": 25.0},
    ),
    *(
        Extra(
            "libvirt_storage_pool",
            {"host": host, "pool": "default", "type": "dir"},
            {"state": 2, "active": 1, "capacity": 1 << 40, "used_percent": percent},
        )
        for host, percent in (("kvm1", 93.0), ("kvm2", 40.0))
    ),
)

FLEET = Fleet(
    hosts=(
        Host("kvm1", cpus=16, memory=128 << 20, collect_ns=30_000_000, reconnects=2),
        Host("kvm2", cpus=8, memory=64 << 20, collect_ns=7_000_000_000, hanging=1),
        Host("kvm3", uri="qemu+tls://kvm3/system", unreadable=LOST, collect_ns=20_000_000),
        Host("kvm4", last=SILENT),
    ),
    guests=(*WORKERS, *SPECIAL),
    extras=EXTRAS,
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
    devices=False,
)

"""Jobs, events, filesystems, devices and process of one guest, where these are collected."""

from __future__ import annotations

from .model import RED, YELLOW, Panel, Row
from .queries import DISK, GUEST, LATELY, NIC, ONE_GUEST, gauge, ratio
from .tables import facts, table

_JOB = (*GUEST, "operation")
_BLOCK_JOB = (*GUEST, "device")
_EVENT = (*GUEST, "event", "detail")
_FILESYSTEM = (*GUEST, "mountpoint", "fstype", "device")

_JOBS = Row(
    "Jobs and events, where they are collected",
    (
        Panel(
            "Data of jobs",
            "What a running migration, save, dump or backup has left and has processed, of the "
            "memory and of the disks. If the memory that is left does not shrink, the guest writes "
            "faster than the network: allow auto-converge or post-copy.",
            tuple(
                gauge(
                    ONE_GUEST,
                    "libvirt_job",
                    f"{what}_{name}",
                    _JOB,
                    f"{{host}} {{domain_name}} {{operation}} {what} {name}",
                )
                for what in ("memory", "disk")
                for name in ("remaining", "processed")
            ),
            unit="bytes",
            width=6,
        ),
        Panel(
            "Progress of jobs",
            "Part of a running migration, save, dump or backup that is transferred. A migration "
            "that goes back and forth does not end by itself: allow auto-converge or post-copy.",
            (
                gauge(
                    ONE_GUEST,
                    "libvirt_job",
                    "progress_percent",
                    _JOB,
                    "{host} {domain_name} {operation}",
                ),
            ),
            unit="percent",
            width=6,
            maximum=100,
        ),
        Panel(
            "Progress of block jobs",
            "Copy, commit, pull or backup of a disk. At 100 % a copy or an active commit waits for "
            "pivot or abort.",
            (
                ratio(
                    ONE_GUEST,
                    "libvirt_block_job",
                    "current",
                    "end",
                    _BLOCK_JOB,
                    "{host} {domain_name} {device}",
                    "100.0",
                ),
            ),
            unit="percent",
            width=6,
            maximum=100,
        ),
        Panel(
            "Events",
            "Events of each kind since the plugin started. Steps at crashed, stopped failed, "
            "watchdog or io_error: see the guest's console and QEMU's log of that time.",
            (
                gauge(
                    ONE_GUEST,
                    "libvirt_event",
                    "count",
                    _EVENT,
                    "{host} {domain_name} {event} {detail}",
                ),
            ),
            unit="short",
            width=6,
            decimals=0,
        ),
    ),
)

_GUEST_AGENT = Row(
    "Filesystems and disk errors, where they are collected",
    (
        Panel(
            "Use of guest filesystems",
            "Used share of each filesystem, as the guest agent reports it. Above 90 % clean up or "
            "extend it.",
            (
                gauge(
                    ONE_GUEST,
                    "libvirt_guest_filesystem",
                    "used_percent",
                    _FILESYSTEM,
                    "{host} {domain_name} {mountpoint}",
                    "5m",
                ),
            ),
            unit="percent",
            maximum=100,
            thresholds=((80, YELLOW), (90, RED)),
        ),
        Panel(
            "Disk errors",
            "Last error of a disk: 1 unspecified, 2 no space. Free space in the pool, then resume "
            "the guest with virsh resume.",
            (
                gauge(
                    ONE_GUEST,
                    "libvirt_disk_error",
                    "error",
                    _BLOCK_JOB,
                    "{host} {domain_name} {device}",
                ),
            ),
            thresholds=((1, RED),),
            decimals=0,
        ),
    ),
)

_DISK_TAGS = (
    *("bus", "format", "cache", "discard", "source_type", "protocol", "source_name", "pool"),
    *("volume", "serial"),
)
_NIC_TAGS = ("interface", "mac", "model", "type", "network", "bridge", "mtu", "ovs_port")
_HOSTDEV_TAGS = ("type", "address", "mdev_uuid", "usb_id", "mac")

_DEVICES = Row(
    "Devices and process, where they are collected",
    (
        Panel(
            "What the disks are",
            "Bus, format, cache and source of each disk, from the guest's XML. Cache writeback "
            "loses data if the host fails; discard returns free space to a thin disk. Needs the "
            "source block_info.",
            (facts(ONE_GUEST, "libvirt_block_info", (*DISK, *_DISK_TAGS)),),
            kind="table",
            width=24,
            height=6,
            range=LATELY,
            hidden=("value",),
        ),
        Panel(
            "What the interfaces are",
            "MAC address, model, network and port of each interface, from the guest's XML. A model "
            "other than virtio costs much CPU time. Needs the source interface_info.",
            (facts(ONE_GUEST, "libvirt_interface_info", (*NIC, *_NIC_TAGS)),),
            kind="table",
            width=14,
            height=6,
            range=LATELY,
            hidden=("value",),
        ),
        Panel(
            "Passed-through devices",
            "Devices of the host that this guest uses. A guest with one cannot migrate while it "
            "has the device. Needs the source hostdev_info.",
            (facts(ONE_GUEST, "libvirt_hostdev_info", (*GUEST, *_HOSTDEV_TAGS)),),
            kind="table",
            width=10,
            height=6,
            range=LATELY,
            hidden=("value",),
        ),
        Panel(
            "Process of the guest",
            "State of the QEMU process, its threads and its open files. Blocked: it waits for "
            "storage. Stop: a signal or a debugger has stopped it. Open files need Telegraf to "
            "run as root. Needs Telegraf's procstat, see docs/recipes.md.",
            table(
                ONE_GUEST,
                "procstat",
                {"num_threads": "threads", "num_fds": "files"},
                (*GUEST, "status"),
            ),
            kind="table",
            width=24,
            height=6,
        ),
    ),
)

ROWS = (_JOBS, _GUEST_AGENT, _DEVICES)

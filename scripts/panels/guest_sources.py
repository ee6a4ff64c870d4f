"""Jobs, events and filesystems of one guest; empty where these are not collected."""

from __future__ import annotations

from .model import RED, YELLOW, Panel, Row
from .queries import GUEST, ONE_GUEST, gauge, ratio

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
            width=8,
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
            width=8,
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
            width=8,
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

ROWS = (_JOBS, _GUEST_AGENT)

"""What guests are and where they are: addresses, operating systems, what libvirt says about them,
snapshots, jobs that have ended, and the NUMA cells of the hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .model import GREEN, GREY, REASONS, RED, YELLOW, Panel, Row, Target
from .queries import GUEST, GUESTS, HOSTS, LATELY, NODE, Scope, gauge, ratio
from .tables import facts, table

_AGO = "dateTimeFromNow"
_YES_NO = {0: ("no", GREY), 1: ("yes", GREEN)}
_CELL = (*NODE, "cell")

#: Sizes in KiB that are those of ordinary pages, on x86 and elsewhere.
_HUGE = Scope(
    f"{HOSTS.influxql} AND \"page_size\" != '4' AND \"page_size\" != '64'",
    f'{HOSTS.promql[:-1]},page_size!="4",page_size!="64"}}',
)


def _table(
    title: str,
    description: str,
    targets: Sequence[Target],
    width: int = 12,
    units: Mapping[str, str] | None = None,
    **more: object,
) -> Panel:
    return Panel(
        title,
        description,
        targets,
        kind="table",
        width=width,
        range=LATELY,
        units=units or {},
        **more,  # type: ignore[arg-type]
    )


IDENTITY = Row(
    "Addresses and systems, where they are collected",
    (
        _table(
            "Addresses",
            "IP addresses of running guests, by the leases of libvirt's DHCP servers and by the "
            "host's ARP table. An address of one guest on the interface of another is a conflict "
            "or an attack. Filter the column to find whose address it is. Needs the source "
            "interface_address.",
            table(
                GUESTS,
                "libvirt_interface_address",
                {"lease": "lease", "arp": "ARP"},
                (*GUEST, "interface", "address"),
                LATELY,
                texts={"mac": "MAC"},
            ),
            words=dict.fromkeys(("lease", "ARP"), _YES_NO),
        ),
        _table(
            "Operating systems",
            "Host name, system and kernel, as the guest agent reports them; the texts are in "
            "InfluxQL only, because PromQL has none. A system that gets no updates any more needs "
            "a new one. Needs the source guest_agent.",
            table(
                GUESTS,
                "libvirt_guest_os",
                {"timezone_offset_s": "offset from UTC"},
                GUEST,
                LATELY,
                texts={
                    "hostname": "host name",
                    "pretty_name": "system",
                    "kernel_release": "kernel",
                    "timezone": "time zone",
                },
            ),
            units={"offset from UTC": "s"},
        ),
        _table(
            "What guests are",
            "UUID, title, machine type, firmware and CPU of each guest, from its XML. Guests with "
            "different CPU models cannot migrate to each other's hosts without a common one. Needs "
            "the source domain_info.",
            (
                facts(
                    GUESTS,
                    "libvirt_domain_info",
                    (
                        *(*GUEST, "title", "uuid", "os_type", "os_id", "machine", "arch"),
                        *("firmware", "cpu_mode", "cpu_model"),
                    ),
                ),
            ),
            width=24,
            hidden=("value",),
        ),
    ),
)

MESSAGES = _table(
    "What libvirt says about guests",
    "Guests that had an I/O error, that run in a way that may not be supported (tainted), or that "
    "use features that QEMU will drop (deprecated); InfluxQL has the texts as well. Change their "
    "XML before the next upgrade. Needs the source message.",
    table(
        GUESTS,
        "libvirt_message",
        {"io_errors": "I/O errors", "tainted": "tainted", "deprecated": "deprecated"},
        GUEST,
        LATELY,
        texts={
            "io_error": "I/O error",
            "tainted_names": "why tainted",
            "deprecated_names": "what is deprecated",
        },
    ),
    height=6,
    nonzero=("I/O errors", "tainted", "deprecated"),
)

ATTENTION = Row(
    "What needs attention",
    (
        Panel(
            "Should run and do not",
            "Guests that start with their host and do not run, with the reason. Start them, or run "
            "virsh autostart --disable. Off after a migration: undefine the copy that is left. "
            "Needs the source domain_config.",
            table(
                GUESTS,
                "libvirt_domain",
                {"100 * state + reason": "state"},
                GUEST,
                where=(("autostart", "= 1"), ("running", "= 0")),
            ),
            kind="table",
            height=6,
            words={"state": REASONS},
            no_value="none",
        ),
        Panel(
            "Need a restart",
            "Running guests whose definition differs from what runs, in CPU, memory, machine or "
            "devices; InfluxQL says in what. The change comes when the guest is shut down and "
            "started again, not at a reboot from inside. What virsh changes with --config may be "
            "listed 5 minutes later. Needs the source domain_config.",
            table(
                GUESTS,
                "libvirt_domain",
                {"restart_required": "restart"},
                GUEST,
                where=(("restart_required", "= 1"),),
                texts={"restart_changes": "what changes"},
            ),
            kind="table",
            height=6,
            words={"restart": {1: ("needed", YELLOW)}},
            no_value="none",
        ),
        Panel(
            "Deprecated machine types",
            "Guests whose machine type a later QEMU does not have, so that they cannot start after "
            "an upgrade. Change it in their definition, then shut them down and start them. Needs "
            "the source domain_config.",
            table(
                GUESTS,
                "libvirt_domain",
                {"machine_deprecated": "deprecated"},
                GUEST,
                where=(("machine_deprecated", "= 1"),),
            ),
            kind="table",
            height=6,
            words={"deprecated": {1: ("yes", YELLOW)}},
            no_value="none",
        ),
        MESSAGES,
    ),
)

BACKUPS = Row(
    "Snapshots and jobs, where they are collected",
    (
        _table(
            "Snapshots and checkpoints",
            "Number and age of snapshots, and of the checkpoints that incremental backups make. An "
            "old newest checkpoint is a backup that has stopped; an old snapshot makes its disk "
            "slow and large. Needs the source snapshot.",
            table(
                GUESTS,
                "libvirt_snapshot",
                {
                    "1000 * newest_checkpoint": "newest checkpoint",
                    "1000 * oldest_checkpoint": "oldest checkpoint",
                    "checkpoints": "checkpoints",
                    "1000 * newest_snapshot": "newest snapshot",
                    "1000 * oldest_snapshot": "oldest snapshot",
                    "snapshots": "snapshots",
                    "managed_save": "saved state",
                },
                GUEST,
                LATELY,
            ),
            24,
            {
                f"{age} {what}": _AGO
                for age in ("newest", "oldest")
                for what in ("checkpoint", "snapshot")
            },
            words={"saved state": _YES_NO},
        ),
        _table(
            "Jobs that have ended",
            "Backups, migrations and other jobs since the plugin started: the last one of each "
            "kind, its time, what it has transferred, and for how long the guest stood still. A "
            "backup that is older than its schedule has stopped. Needs the source job.",
            table(
                GUESTS,
                "libvirt_job_completed",
                {
                    "1000 * last": "last",
                    "count": "number",
                    "failed": "failed",
                    "last_time_elapsed_ms": "time",
                    "last_downtime_ms": "downtime",
                    "last_data_processed": "data",
                    "last_memory_processed": "memory",
                    "last_memory_iteration": "passes",
                },
                (*GUEST, "operation"),
                LATELY,
            ),
            14,
            {
                "last": _AGO,
                **dict.fromkeys(("time", "downtime"), "ms"),
                **dict.fromkeys(("data", "memory"), "bytes"),
            },
        ),
        _table(
            "Block jobs that have ended",
            "Copies, commits, pulls and backups of disks since the plugin started. A failed one "
            "leaves its disk as it was: see libvirt's log and QEMU's log of the guest. Needs the "
            "source block_job.",
            table(
                GUESTS,
                "libvirt_block_job_completed",
                {
                    "1000 * last": "last",
                    "count": "number",
                    "failed": "failed",
                    "canceled": "canceled",
                },
                (*GUEST, "device", "type"),
                LATELY,
            ),
            10,
            {"last": _AGO},
        ),
    ),
)

CELLS = Row(
    "NUMA cells and versions, where they are collected",
    (
        _table(
            "Huge pages",
            "Huge pages of each NUMA cell, by their size in KiB. A guest with huge pages does not "
            "start on a cell that has too few free ones: migrate guests, or reserve more pages. "
            "Where none are reserved, none are free. Needs the source numa_cell.",
            table(
                _HUGE,
                "libvirt_numa_pages",
                {"total": "pages", "free": "free"},
                (*_CELL, "page_size"),
                LATELY,
            ),
            words={"pages": {0: ("none reserved", GREY)}, "free": {0: ("none", RED)}},
        ),
        Panel(
            "Free memory of the NUMA cells",
            "Memory of each cell that is free, without the page cache. A guest that is pinned to a "
            "full cell takes memory of another one and becomes slower.",
            (
                ratio(
                    HOSTS,
                    "libvirt_numa_cell",
                    "memory_free",
                    "memory",
                    _CELL,
                    "{host} {libvirt_uri} {cell}",
                    "100.0",
                ),
            ),
            unit="percent",
            maximum=100,
        ),
        Panel(
            "Versions of hypervisors",
            "Version of QEMU or of another hypervisor on each host. A guest cannot migrate to an "
            "older one than that it has been started with; upgrade all hosts of a cluster. Needs "
            "the additional statistics node.",
            table(
                HOSTS,
                "libvirt_node",
                {"hypervisor_version_number": "number"},
                NODE,
                texts={"hypervisor_version": "version"},
            ),
            kind="table",
            width=24,
            height=6,
        ),
    ),
)

AGENTS = Panel(
    "Connected guest agents",
    "Guests whose agent is connected. Fewer than guests that run: install qemu-guest-agent there, "
    "and add its channel to their XML. Needs the source guest_agent.",
    (gauge(HOSTS, "libvirt_source_health", "counted", (*NODE, "source"), "{host} {libvirt_uri}"),),
    width=8,
    height=6,
    decimals=0,
)

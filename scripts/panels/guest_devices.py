"""Disks and interfaces of one guest."""

from __future__ import annotations

from .model import RED, YELLOW, Panel, Row, Target
from .queries import DISK, GUEST, NIC, ONE_GUEST, gauge, limit
from .rates import latency, rate

_DISK = "{host} {domain_name} {block_id} {device}"
_NIC = "{host} {domain_name} {interface_id}"


def _disk(field: str, name: str) -> Target:
    return rate(ONE_GUEST, "libvirt_block", (field,), DISK, f"{_DISK} {name}")


def _nic(field: str, name: str) -> Target:
    return rate(ONE_GUEST, "libvirt_net", (field,), NIC, f"{_NIC} {name}")


def _latency(name: str, prefix: str) -> Target:
    return latency(ONE_GUEST, DISK, f"{_DISK} {name}", f"{prefix}_times", f"{prefix}_reqs")


def _size(field: str) -> Target:
    return gauge(ONE_GUEST, "libvirt_block", field, DISK, f"{_DISK} {field}")


def _limits(end: str) -> tuple[Target, ...]:
    by = (*GUEST, "device")
    return tuple(
        limit(
            ONE_GUEST,
            "libvirt_block_limit",
            f"{way}_{end}",
            by,
            f"{{host}} {{domain_name}} {{device}} limit {way}",
        )
        for way in ("total", "read", "write")
    )


def _bandwidth(way: str, name: str) -> Target:
    by, label = (*GUEST, "interface"), f"{{host}} {{domain_name}} {{interface}} limit {name}"
    return limit(ONE_GUEST, "libvirt_interface_limit", f"{way}_average", by, label, "1024")


DISKS = Row(
    "Disks",
    (
        Panel(
            "Disk IOPS",
            "Reads and writes of each disk, and its limits. A flat line at a limit or at a round "
            "number: the disk is throttled.",
            (_disk("rd_reqs", "read"), _disk("wr_reqs", "write"), *_limits("iops_sec")),
            unit="iops",
            width=8,
        ),
        Panel(
            "Disk throughput",
            "Bytes read and written, and the limits of blkdeviotune. A plateau below these is the "
            "limit of the storage.",
            (_disk("rd_bytes", "read"), _disk("wr_bytes", "write"), *_limits("bytes_sec")),
            unit="Bps",
            width=8,
        ),
        Panel(
            "Disk latency",
            "Mean time of a read and of a write, where there are any. Rising with constant IOPS: "
            "the storage is overloaded or degraded. Look at other guests of the same pool.",
            (_latency("read", "rd"), _latency("write", "wr")),
            unit="ms",
            width=8,
            thresholds=((20, YELLOW), (100, RED)),
        ),
        Panel(
            "Flushes",
            "Flushes of each disk per second. Many come from databases and journals that commit "
            "often; each waits for the storage.",
            (_disk("fl_reqs", "flush"),),
            unit="iops",
            width=8,
        ),
        Panel(
            "Flush latency",
            "Mean time of a flush. Above 20 ms commits are slow: a write cache with a battery, or "
            "faster disks.",
            (_latency("flush", "fl"),),
            unit="ms",
            width=8,
            thresholds=((20, YELLOW), (100, RED)),
        ),
        Panel(
            "Capacity and allocation",
            "Size that the guest sees, highest byte that it has written, and size of the file "
            "on the host. Thin disks grow up to their capacity: the pool needs room for that.",
            (_size("capacity"), _size("allocation"), _size("physical")),
            unit="bytes",
            width=8,
        ),
    ),
)

NETWORK = Row(
    "Network",
    (
        Panel(
            "Network throughput",
            "Bytes received and sent by each interface, as the guest counts them, and the limits "
            "of domiftune. A plateau at a limit: the interface is throttled.",
            (
                _nic("rx_bytes", "received"),
                _nic("tx_bytes", "sent"),
                _bandwidth("inbound", "received"),
                _bandwidth("outbound", "sent"),
            ),
            unit="Bps",
            width=8,
        ),
        Panel(
            "Packets",
            "Packets received and sent. Many small ones cost CPU time of host and guest.",
            (_nic("rx_pkts", "received"), _nic("tx_pkts", "sent")),
            unit="pps",
            width=8,
        ),
        Panel(
            "Drops and errors",
            "Dropped packets and errors. Receive drops: the guest does not fetch packets in time; "
            "use virtio, more queues or vCPUs. Errors: look at the host's interface.",
            (
                _nic("rx_drop", "receive drops"),
                _nic("tx_drop", "transmit drops"),
                _nic("rx_errs", "receive errors"),
                _nic("tx_errs", "transmit errors"),
            ),
            unit="pps",
            width=8,
            thresholds=((10, RED),),
        ),
    ),
)

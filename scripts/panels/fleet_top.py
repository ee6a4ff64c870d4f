"""The guests that use most, and totals of network and disks by host."""

from __future__ import annotations

from .model import ORANGE, RED, YELLOW, Panel, Row, Target, Thresholds
from .queries import DISK, GUEST, GUESTS, NIC, VCPU, quoted
from .rates import rate, top_latency, top_rate

_SECOND = " / 1000000000"
_PERCENT_OF_A_SECOND = " * 100 / 1000000000"
_REQUESTS = ("rd_reqs", "wr_reqs")
_BYTES = ("rx_bytes", "tx_bytes")
_DROPS = ("rx_drop", "tx_drop")


def _top(
    title: str, description: str, target: Target, unit: str, thresholds: Thresholds = ()
) -> Panel:
    return Panel(
        title,
        f"{description} The ten highest in the range of this page.",
        (target,),
        kind="table",
        unit=unit,
        width=8,
        height=9,
        thresholds=thresholds,
        decimals=2,
    )


_MEMORY = Target(
    f'SELECT top("v", {quoted(GUEST)}, 10) AS "memory used" FROM '
    f'(SELECT mean("memory_used_percent") AS "v" FROM "libvirt_domain" '
    f"WHERE {GUESTS.influxql} GROUP BY {quoted(GUEST)}) WHERE $timeFilter",
    "topk(10, max by (host, domain_name) "
    f"(avg_over_time(libvirt_domain_memory_used_percent{GUESTS.promql}[$__range])))",
    column="memory used",
)

ROW = Row(
    "Top ten",
    (
        _top(
            "CPU",
            "CPU time of the guest in cores, with the threads of QEMU. A guest that always uses "
            "all its vCPUs needs more of them, or has a runaway process.",
            top_rate(GUESTS, "libvirt_cpu", ("cpu_time",), "CPU", times=_SECOND),
            "suffix: cores",
        ),
        _top(
            "Steal",
            "Time in which a vCPU was ready and the host ran something else, mean of all vCPUs. "
            "Above 10 % users notice: migrate guests, or give the host fewer vCPUs.",
            top_rate(
                GUESTS, "libvirt_vcpu", ("delay",), "steal", VCPU, "mean", _PERCENT_OF_A_SECOND
            ),
            "percent",
            ((5, YELLOW), (10, RED)),
        ),
        _top(
            "Memory used",
            "Memory that the guest uses and cannot release, by its balloon driver; guests without "
            "it are not listed. Above 90 % look for swapping and give it more memory.",
            _MEMORY,
            "percent",
            ((90, ORANGE), (95, RED)),
        ),
        _top(
            "Disk latency",
            "Mean time of reads and writes of all disks with I/O. Above 20 ms (100 ms for hard "
            "disks) the storage is overloaded: compare with other guests of the pool.",
            top_latency(GUESTS, "latency"),
            "ms",
            ((20, YELLOW), (100, RED)),
        ),
        _top(
            "IOPS",
            "Reads and writes of all disks. A guest that disturbs others can be limited with "
            "virsh blkdeviotune.",
            top_rate(GUESTS, "libvirt_block", _REQUESTS, "IOPS", DISK),
            "iops",
        ),
        _top(
            "Network",
            "Bytes received and sent by all interfaces. Compare with the uplink of the host.",
            top_rate(GUESTS, "libvirt_net", _BYTES, "network", NIC),
            "Bps",
        ),
        _top(
            "Network drops",
            "Packets that the interfaces dropped, both directions. Receive drops: the guest does "
            "not fetch packets in time; more queues or vCPUs. Transmit drops: a limit of the "
            "interface or a full queue of the host.",
            top_rate(GUESTS, "libvirt_net", _DROPS, "drops", NIC),
            "pps",
            ((10, RED),),
        ),
        Panel(
            "Disk throughput by host",
            "Bytes read and written by all selected guests on each host. A plateau is the limit of "
            "the storage.",
            tuple(
                rate(GUESTS, "libvirt_block", (field,), ("host",), f"{{host}} {name}", DISK)
                for field, name in (("rd_bytes", "read"), ("wr_bytes", "write"))
            ),
            unit="Bps",
            width=8,
            height=9,
        ),
        Panel(
            "Network throughput by host",
            "Bytes received and sent by all selected guests on each host. A plateau is the limit "
            "of the uplink; traffic between guests of one host counts as well.",
            tuple(
                rate(GUESTS, "libvirt_net", (field,), ("host",), f"{{host}} {name}", NIC)
                for field, name in (("rx_bytes", "received"), ("tx_bytes", "sent"))
            ),
            unit="Bps",
            width=8,
            height=9,
        ),
    ),
)

"""The limits of guests, and how much of them is used: who is throttled."""

from __future__ import annotations

from .model import GREY, Panel, Row, Target
from .queries import DISK, GUEST, GUESTS, LATELY, VCPU, one_of_each, quoted
from .rates import mean_latency, mean_rate
from .tables import table

_SECOND = " / 1000000000"
_PERCENT_OF_A_SECOND = " * 100 / 1000000000"
_DEVICE = (*GUEST, "device")
_NO_LIMIT = {0: ("no limit", GREY)}


def _quota(name: str, factor: str, column: str) -> Target:
    """A quota of the CPU time as a multiple of its period."""
    value, period = (
        one_of_each(
            GUEST, f"last_over_time(libvirt_cpu_limit_{name}_{end}{GUESTS.promql}[{LATELY}])"
        )
        for end in ("quota", "period")
    )
    return Target(
        f'SELECT {factor} * last("{name}_quota") / last("{name}_period") AS "{column}" '
        f'FROM "libvirt_cpu_limit" WHERE {GUESTS.influxql} AND "{name}_quota" > 0 '
        f"AND $timeFilter GROUP BY {quoted(GUEST)}",
        f"{factor} * ({value} > 0) / {period}",
        column=column,
    )


def _disk_rate(end: str, column: str) -> Target:
    fields = (f"rd_{end}", f"wr_{end}")
    return mean_rate(GUESTS, "libvirt_block", fields, column, _DEVICE, DISK)


def _disk_limit(end: str, column: str) -> Target:
    """The limit of reads and writes together, or else the sum of their limits."""
    fields = [f"{way}_{end}" for way in ("total", "read", "write")]
    values = " + ".join(f'last("{field}")' for field in fields)
    series = " + ".join(
        f"last_over_time(libvirt_block_limit_{field}{GUESTS.promql}[{LATELY}])" for field in fields
    )
    return Target(
        f'SELECT {values} AS "{column}" FROM "libvirt_block_limit" WHERE {GUESTS.influxql} '
        f"AND $timeFilter GROUP BY {quoted(_DEVICE)}",
        one_of_each(_DEVICE, series),
        column=column,
    )


_CPU_TIMES = {
    f"{what}_{end}": f"{name} {end}"
    for what, name in (
        ("vcpu", "vCPU"),
        ("global", "guest"),
        ("emulator", "emulator"),
        ("iothread", "I/O thread"),
    )
    for end in ("quota", "period")
}

ROW = Row(
    "Limits, where they are collected",
    (
        Panel(
            "Use of CPU limits",
            "CPU time of the last 15 minutes beside the limit of each vCPU and of the whole guest. "
            "A guest that works in bursts is throttled far below 100 %, which shows as steal: if "
            "guests without a limit have less steal, raise its quota with virsh schedinfo. Needs "
            "the source cpu_limit.",
            (
                mean_rate(
                    GUESTS,
                    "libvirt_vcpu",
                    ("cpu_time",),
                    "each vCPU",
                    of=VCPU,
                    how="mean",
                    times=_PERCENT_OF_A_SECOND,
                ),
                _quota("vcpu", "100.0", "limit of a vCPU"),
                mean_rate(GUESTS, "libvirt_cpu", ("cpu_time",), "guest's CPU", times=_SECOND),
                _quota("global", "1.0", "limit of the guest"),
                mean_rate(
                    GUESTS,
                    "libvirt_vcpu",
                    ("delay",),
                    "steal",
                    of=VCPU,
                    how="mean",
                    times=_PERCENT_OF_A_SECOND,
                ),
            ),
            kind="table",
            height=9,
            range=LATELY,
            units={
                **dict.fromkeys(("each vCPU", "limit of a vCPU", "steal"), "percent"),
                **dict.fromkeys(("guest's CPU", "limit of the guest"), "suffix: cores"),
                **dict.fromkeys(("vCPU use", "guest's use"), "percentunit"),
            },
            shares=(
                ("vCPU use", "each vCPU", "limit of a vCPU"),
                ("guest's use", "guest's CPU", "limit of the guest"),
            ),
            nonzero=("limit of a vCPU", "limit of the guest"),
            decimals=2,
        ),
        Panel(
            "Use of disk limits",
            "Requests and bytes of each disk in the last 15 minutes beside its limits: that of "
            "reads and writes together, else the sum of both. A disk is throttled near 100 %, and "
            "with bursts far below; its requests wait, which shows as latency: raise the limit "
            "with virsh blkdeviotune. Needs the source block_limit and the device tag device.",
            (
                _disk_rate("reqs", "IOPS"),
                _disk_limit("iops_sec", "limit of IOPS"),
                _disk_rate("bytes", "bytes"),
                _disk_limit("bytes_sec", "limit of bytes"),
                mean_latency(GUESTS, _DEVICE, "latency"),
            ),
            kind="table",
            height=9,
            range=LATELY,
            units={
                **dict.fromkeys(("IOPS", "limit of IOPS"), "iops"),
                **dict.fromkeys(("bytes", "limit of bytes"), "Bps"),
                **dict.fromkeys(("use of IOPS", "use of bytes"), "percentunit"),
                "latency": "ms",
            },
            shares=(
                ("use of IOPS", "IOPS", "limit of IOPS"),
                ("use of bytes", "bytes", "limit of bytes"),
            ),
            nonzero=("limit of IOPS", "limit of bytes"),
            words=dict.fromkeys(("limit of IOPS", "limit of bytes"), _NO_LIMIT),
            decimals=2,
        ),
        Panel(
            "CPU limits",
            "Shares and quotas of running guests, as virsh schedinfo shows them; times in "
            "microseconds. A quota divided by its period is a number of CPUs. Needs the source "
            "cpu_limit.",
            table(
                GUESTS,
                "libvirt_cpu_limit",
                {"cpu_shares": "shares", **_CPU_TIMES},
                GUEST,
                LATELY,
            ),
            kind="table",
            width=17,
            range=LATELY,
            words={name: _NO_LIMIT for name in _CPU_TIMES.values() if name.endswith("quota")},
        ),
        Panel(
            "Memory limits",
            "Limits of the memory that guests take on the host, as virsh memtune shows them. Above "
            "the hard limit the kernel ends the guest. Needs the source memory_limit.",
            table(
                GUESTS,
                "libvirt_memory_limit",
                {
                    "hard_limit": "hard",
                    "soft_limit": "soft",
                    "swap_hard_limit": "with swap",
                    "min_guarantee": "guaranteed",
                },
                GUEST,
                LATELY,
            ),
            kind="table",
            width=7,
            unit="kbytes",
            range=LATELY,
            words=dict.fromkeys(("hard", "soft", "with swap"), _NO_LIMIT),
        ),
    ),
)

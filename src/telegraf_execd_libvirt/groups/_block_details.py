"""Group ``block``, full set: limits, timed groups and latency histograms of a disk.

libvirt reports timed groups and histograms only for disks whose XML configures them.
"""

from __future__ import annotations

from .schema import Field, Kind, Metric, Type

_OPERATIONS = ("read", "write", "zone_append", "flush")


def _limit(key: str, help: str, unit: str = "bytes") -> Field:
    return Field(f"limits.{key}", Type.ULLONG, Kind.INFO, unit, help, full=True)


def _latency(key: str, what: str) -> tuple[Field, ...]:
    return tuple(
        Field(f"{key}_latency_{name}", Type.ULLONG, Kind.GAUGE, "ns", f"{text} {what}", full=True)
        for name, text in (
            ("min", "shortest latency of"),
            ("max", "longest latency of"),
            ("avg", "mean latency of"),
        )
    )


def _depth(key: str, what: str) -> Field:
    help = f"mean number of {what} in progress"
    return Field(f"{key}_queue_depth_avg", Type.DOUBLE, Kind.GAUGE, "requests", help, full=True)


FIELDS = (
    _limit("request_alignment", "required alignment of requests"),
    _limit("discard_max", "largest discard"),
    _limit("discard_alignment", "preferred alignment of discards"),
    _limit("write_zeroes_max", "largest write of zeroes"),
    _limit("write_zeroes_alignment", "preferred alignment of writes of zeroes"),
    _limit("transfer_optimal", "preferred size of a transfer"),
    _limit("transfer_max", "largest transfer"),
    _limit("transfer_hw_max", "largest transfer of the hardware"),
    _limit("iov_max", "maximum number of buffers of a request", ""),
    _limit("iov_hw_max", "maximum number of buffers of a hardware request", ""),
    _limit("memory_alignment_minimal", "required alignment of memory"),
    _limit("memory_alignment_optimal", "preferred alignment of memory"),
    Field(
        "timed_group.count",
        Type.ULLONG,
        Kind.GAUGE,
        "",
        "number of timed groups of the disk",
        full=True,
    ),
    *(
        Field(
            f"latency_histogram.{operation}.bin.count",
            Type.ULLONG,
            Kind.GAUGE,
            "",
            f"number of bins of the latency histogram of {operation}",
            full=True,
        )
        for operation in _OPERATIONS
    ),
)

METRICS = (
    Metric(
        measurement="libvirt_block_timed_group",
        prefix="block.<block_id>.timed_group.<timed_group_id>",
        help="Latencies and queue depths of a disk in one interval",
        fields=(
            Field("interval", Type.ULLONG, Kind.INFO, "s", "length of the interval", full=True),
            *_latency("rd", "reads"),
            *_latency("wr", "writes"),
            *_latency("zone_append", "zone appends"),
            *_latency("flush", "flushes"),
            _depth("rd", "reads"),
            _depth("wr", "writes"),
            _depth("zone_append", "zone appends"),
        ),
    ),
    *(
        Metric(
            measurement=f"libvirt_block_latency_histogram_{operation}_bin",
            prefix=f"block.<block_id>.latency_histogram.{operation}.bin.<bin_id>",
            help=f"One bin of the latency histogram of {operation}",
            fields=(
                Field("start", Type.ULLONG, Kind.INFO, "ns", "lower bound of the bin", full=True),
                Field(
                    "value",
                    Type.ULLONG,
                    Kind.COUNTER,
                    "requests",
                    "requests in this bin only, since the histogram was configured",
                    full=True,
                ),
            ),
        )
        for operation in _OPERATIONS
    ),
)

"""Group ``block``: the disks of a domain.

libvirt reports timed groups and latency histograms only for disks whose XML configures them.
"""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

_OPERATIONS = ("read", "write", "zone_append", "flush")


def _counter(key: str, unit: str, help: str) -> Field:
    return Field(key, Type.ULLONG, Kind.COUNTER, unit, help)


def _size(key: str, help: str) -> Field:
    return Field(key, Type.ULLONG, Kind.GAUGE, "bytes", help)


def _full(key: str, kind: Kind, unit: str, help: str) -> Field:
    """A field of the full set only."""
    return Field(key, Type.ULLONG, kind, unit, help, full=True)


def _limit(key: str, help: str, unit: str = "bytes") -> Field:
    return _full(f"limits.{key}", Kind.INFO, unit, help)


def _latency(key: str, what: str) -> tuple[Field, ...]:
    return tuple(
        _full(f"{key}_latency_{name}", Kind.GAUGE, "ns", f"{text} latency of {what}")
        for name, text in (("min", "shortest"), ("max", "longest"), ("avg", "mean"))
    )


def _depth(key: str, what: str) -> Field:
    help = f"mean number of {what} in progress"
    return Field(f"{key}_queue_depth_avg", Type.DOUBLE, Kind.GAUGE, "requests", help, full=True)


GROUP = Group(
    name="block",
    bit=1 << 5,
    needs_monitor=True,
    metrics=(
        Metric(
            measurement="libvirt_block_total",
            prefix="block",
            help="Number of disks",
            fields=(
                Field("count", Type.UINT, Kind.GAUGE, "", "number of block records of the domain"),
            ),
        ),
        Metric(
            measurement="libvirt_block",
            prefix="block.<block_id>",
            help="One disk",
            fields=(
                Field("name", Type.STRING, Kind.INFO, "", "target of the disk, such as vda"),
                Field(
                    "backingIndex",
                    Type.UINT,
                    Kind.INFO,
                    "",
                    "index of the image in the disk's backing chain, as in the domain's XML",
                ),
                Field("path", Type.STRING, Kind.INFO, "", "local file or device of the disk"),
                _counter("rd.reqs", "requests", "reads"),
                _counter("rd.bytes", "bytes", "bytes read"),
                _counter("rd.times", "ns", "time spent on reads"),
                _counter("wr.reqs", "requests", "writes"),
                _counter("wr.bytes", "bytes", "bytes written"),
                _counter("wr.times", "ns", "time spent on writes"),
                _counter("fl.reqs", "requests", "flushes"),
                _counter("fl.times", "ns", "time spent on flushes"),
                _counter("errors", "", "documented for Xen; no driver is known to report it"),
                _size(
                    "allocation",
                    "highest byte written since the start; for an inactive domain, the disk space "
                    "of the file",
                ),
                _size("capacity", "size of the disk as the guest sees it"),
                _size("physical", "size of the file or device on the host"),
                _size("threshold", "write threshold of an event, if one is set"),
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
                _full("timed_group.count", Kind.GAUGE, "", "number of timed groups of the disk"),
                *(
                    _full(
                        f"latency_histogram.{operation}.bin.count",
                        Kind.GAUGE,
                        "",
                        f"number of bins of the latency histogram of {operation}",
                    )
                    for operation in _OPERATIONS
                ),
            ),
        ),
        Metric(
            measurement="libvirt_block_timed_group",
            prefix="block.<block_id>.timed_group.<timed_group_id>",
            help="Latencies and queue depths of a disk in one interval",
            fields=(
                _full("interval", Kind.INFO, "s", "length of the interval"),
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
                    _full("start", Kind.INFO, "ns", "lower bound of the bin"),
                    _full(
                        "value",
                        Kind.COUNTER,
                        "requests",
                        "requests in this bin only, since the histogram was configured",
                    ),
                ),
            )
            for operation in _OPERATIONS
        ),
    ),
)

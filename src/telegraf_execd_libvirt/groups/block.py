"""Group ``block``: the disks of a domain.

libvirt reports timed groups and latency histograms only for disks whose XML configures them.
"""

from __future__ import annotations

from .schema import Field, Group, Metric, Type, counter, gauge, info, text, total

_OPERATIONS = ("read", "write", "zone_append", "flush")


def _limit(key: str, help: str, unit: str = "bytes") -> Field:
    return info(f"limits.{key}", unit, help, full=True)


def _latency(key: str, what: str) -> tuple[Field, ...]:
    return tuple(
        gauge(f"{key}_latency_{name}", "ns", f"{text} latency of {what}", full=True)
        for name, text in (("min", "shortest"), ("max", "longest"), ("avg", "mean"))
    )


def _depth(key: str, what: str) -> Field:
    help = f"mean number of {what} in progress"
    return gauge(f"{key}_queue_depth_avg", "requests", help, Type.DOUBLE, full=True)


_BLOCK_TOTAL = total("block", "Number of disks", "number of block records of the domain")

_BLOCK = Metric(
    prefix="block.<block_id>",
    help="One disk",
    fields=(
        text("name", "target of the disk, such as vda"),
        info(
            "backingIndex",
            "",
            "index of the image in the disk's backing chain, as in the domain's XML",
            Type.UINT,
        ),
        text("path", "local file or device of the disk"),
        counter("rd.reqs", "requests", "reads"),
        counter("rd.bytes", "bytes", "bytes read"),
        counter("rd.times", "ns", "time spent on reads"),
        counter("wr.reqs", "requests", "writes"),
        counter("wr.bytes", "bytes", "bytes written"),
        counter("wr.times", "ns", "time spent on writes"),
        counter("fl.reqs", "requests", "flushes"),
        counter("fl.times", "ns", "time spent on flushes"),
        counter("errors", "", "documented for Xen; no driver is known to report it"),
        gauge(
            "allocation",
            "bytes",
            "highest byte written since the start; for an inactive domain, the disk space "
            "of the file",
        ),
        gauge("capacity", "bytes", "size of the disk as the guest sees it"),
        gauge("physical", "bytes", "size of the file or device on the host"),
        gauge("threshold", "bytes", "write threshold of an event, if one is set"),
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
        gauge("timed_group.count", "", "number of timed groups of the disk", full=True),
        *(
            gauge(
                f"latency_histogram.{operation}.bin.count",
                "",
                f"number of bins of the latency histogram of {operation}",
                full=True,
            )
            for operation in _OPERATIONS
        ),
    ),
)

_BLOCK_TIMED_GROUP = Metric(
    prefix="block.<block_id>.timed_group.<timed_group_id>",
    help="Latencies and queue depths of a disk in one interval",
    fields=(
        info("interval", "s", "length of the interval", full=True),
        *_latency("rd", "reads"),
        *_latency("wr", "writes"),
        *_latency("zone_append", "zone appends"),
        *_latency("flush", "flushes"),
        _depth("rd", "reads"),
        _depth("wr", "writes"),
        _depth("zone_append", "zone appends"),
    ),
)

_BLOCK_LATENCY_HISTOGRAMS = tuple(
    Metric(
        prefix=f"block.<block_id>.latency_histogram.{operation}.bin.<bin_id>",
        help=f"One bin of the latency histogram of {operation}",
        fields=(
            info("start", "ns", "lower bound of the bin", full=True),
            counter(
                "value",
                "requests",
                "requests in this bin only, since the histogram was configured",
                full=True,
            ),
        ),
    )
    for operation in _OPERATIONS
)

GROUP = Group(
    name="block",
    bit=1 << 5,
    needs_monitor=True,
    metrics=(_BLOCK_TOTAL, _BLOCK, _BLOCK_TIMED_GROUP, *_BLOCK_LATENCY_HISTOGRAMS),
)

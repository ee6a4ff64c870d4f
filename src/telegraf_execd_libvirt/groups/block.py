"""Group ``block``: the disks of a domain."""

from __future__ import annotations

from . import _block_details as details
from .schema import Field, Group, Kind, Metric, Type


def _counter(key: str, unit: str, help: str) -> Field:
    return Field(key, Type.ULLONG, Kind.COUNTER, unit, help)


def _size(key: str, help: str) -> Field:
    return Field(key, Type.ULLONG, Kind.GAUGE, "bytes", help)


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
                *details.FIELDS,
            ),
        ),
        *details.METRICS,
    ),
)

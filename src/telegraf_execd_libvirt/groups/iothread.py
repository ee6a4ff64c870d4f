"""Group ``iothread``: the I/O threads of a domain. Their ids are ids, not positions."""

from __future__ import annotations

from ..schema import Field, Group, Kind, Metric, Type

GROUP = Group(
    name="iothread",
    bit=1 << 7,
    needs_monitor=True,
    metrics=(
        Metric(
            measurement="libvirt_iothread_total",
            prefix="iothread",
            help="Number of I/O threads",
            fields=(Field("count", Type.UINT, Kind.GAUGE, "", "I/O threads of the domain"),),
        ),
        Metric(
            measurement="libvirt_iothread",
            prefix="iothread.<iothread_id>",
            help="One I/O thread",
            fields=(
                Field(
                    "poll-max-ns",
                    Type.ULLONG,
                    Kind.GAUGE,
                    "ns",
                    "longest time that the thread polls; 0: it does not poll",
                ),
                Field(
                    "poll-grow",
                    Type.UINT,
                    Kind.GAUGE,
                    "",
                    "factor by which the polling time grows; 0: QEMU's own",
                ),
                Field(
                    "poll-shrink",
                    Type.UINT,
                    Kind.GAUGE,
                    "",
                    "divisor by which the polling time shrinks; 0: QEMU's own",
                ),
                Field(
                    "poll-weight",
                    Type.UINT,
                    Kind.GAUGE,
                    "",
                    "weight of the latest polling time, as a shift; 0: QEMU's own",
                    full=True,
                ),
            ),
        ),
    ),
)

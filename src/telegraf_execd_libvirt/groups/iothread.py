"""Group ``iothread``: I/O threads of a domain. Their ids may have gaps."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

GROUP = Group(
    name="iothread",
    bit=1 << 7,
    needs_monitor=True,
    metrics=(
        Metric(
            measurement="libvirt_iothread_total",
            prefix="iothread",
            help="Number of I/O threads",
            fields=(
                Field("count", Type.UINT, Kind.GAUGE, "", "number of I/O threads of the domain"),
            ),
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
                    "longest polling time of the thread; 0: no polling",
                ),
                Field(
                    "poll-grow",
                    Type.UINT,
                    Kind.GAUGE,
                    "",
                    "growth factor of the polling time; 0: QEMU's default",
                ),
                Field(
                    "poll-shrink",
                    Type.UINT,
                    Kind.GAUGE,
                    "",
                    "divisor that shrinks the polling time; 0: QEMU's default",
                ),
                Field(
                    "poll-weight",
                    Type.UINT,
                    Kind.GAUGE,
                    "",
                    "weight of the last polling time, as a shift; 0: QEMU's default",
                    full=True,
                ),
            ),
        ),
    ),
)

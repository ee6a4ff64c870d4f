"""Group ``iothread``: I/O threads of a domain. Their ids may have gaps."""

from __future__ import annotations

from .schema import Group, Metric, Type, gauge, total

_IOTHREAD_TOTAL = total("iothread", "Number of I/O threads", "number of I/O threads of the domain")

_IOTHREAD = Metric(
    prefix="iothread.<iothread_id>",
    help="One I/O thread",
    fields=(
        gauge("poll-max-ns", "ns", "longest polling time of the thread; 0: no polling"),
        gauge("poll-grow", "", "growth factor of the polling time; 0: QEMU's default", Type.UINT),
        gauge(
            "poll-shrink", "", "divisor that shrinks the polling time; 0: QEMU's default", Type.UINT
        ),
        gauge(
            "poll-weight",
            "",
            "weight of the last polling time, as a shift; 0: QEMU's default",
            Type.UINT,
            full=True,
        ),
    ),
)

GROUP = Group(name="iothread", bit=1 << 7, needs_monitor=True, metrics=(_IOTHREAD_TOTAL, _IOTHREAD))

"""Source ``block_limit``: the I/O limits of each disk.

Invariant: each parameter that libvirt reports is a field, declared here or not.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.record import Domain
from ..groups.schema import Field, Metric, gauge, text
from .source import MINUTE, Scope, Source


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True, arriving=False):
        for disk in scope.devices(handle).disks:
            if not disk.target or disk.empty:
                continue
            if limits := scope.call(handle, "blockIoTune", disk.target, 0):
                yield scope.domain(handle, "block_limit", limits, device=disk.target)


_WAYS = (("total", "reads and writes"), ("read", "reads"), ("write", "writes"))


def _limits(end: str, unit: str, help: str) -> tuple[Field, ...]:
    return tuple(gauge(f"{way}_{end}", unit, f"{help} of {what}") for way, what in _WAYS)


SOURCE = Source(
    name="block_limit",
    summary="I/O limits of disks",
    calls="`virDomainGetBlockIoTune` for each disk of running domains",
    new=lambda: _fetch,
    interval=5 * MINUTE,
    metrics=(
        Metric(
            prefix="block_limit",
            extra_tags=("device",),
            help="I/O limits of a disk of a running domain; 0: no limit",
            fields=(
                *_limits("bytes_sec", "bytes/s", "limit of the throughput"),
                *_limits("iops_sec", "1/s", "limit of the number"),
                *_limits("bytes_sec_max", "bytes/s", "limit of the throughput in a burst"),
                *_limits("iops_sec_max", "1/s", "limit of the number in a burst"),
                *_limits("bytes_sec_max_length", "s", "longest burst of the throughput"),
                *_limits("iops_sec_max_length", "s", "longest burst of the number"),
                gauge("size_iops_sec", "bytes", "size of one operation"),
                text("group_name", "group that shares the limits"),
            ),
        ),
    ),
)

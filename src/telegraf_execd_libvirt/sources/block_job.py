"""Source ``block_job``: the running job of each disk, such as a copy, a commit or a pull."""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.record import Domain
from ..groups.schema import Metric, Type, gauge
from .source import Scope, Source

#: From libvirt-python's names to those of the keys.
_KEYS = {"type": "type", "cur": "current", "end": "end", "bandwidth": "bandwidth"}


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True, arriving=False):
        for disk in scope.devices(handle).disks:
            found = scope.call(handle, "blockJobInfo", disk.target, 0) if disk.target else None
            if found:
                keys = {_KEYS.get(name, name): value for name, value in found.items()}
                yield scope.domain(handle, "block_job", keys, device=disk.target)


SOURCE = Source(
    name="block_job",
    summary="running jobs of disks (copy, commit, pull)",
    reads="the running job of each disk",
    calls="`virDomainGetBlockJobInfo` for each disk of running domains",
    new=lambda: _fetch,
    metrics=(
        Metric(
            prefix="block_job",
            extra_tags=("device",),
            help="The running job of a disk; only while there is one",
            fields=(
                gauge(
                    "type",
                    "virDomainBlockJobType",
                    "1 pull, 2 copy, 3 commit, 4 active commit, 5 backup",
                    Type.INT,
                ),
                gauge("current", "", "position; equal to end: ready"),
                gauge("end", "", "position of the end"),
                gauge("bandwidth", "MiB/s", "limit; 0: none"),
            ),
        ),
    ),
)

"""Source ``block_job``: the running job of each disk, such as a copy, a commit or a pull, and
counters of those that have ended.

A short job may begin and end between two ticks, so ended jobs are counted as libvirt's events
report them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..domain.record import Domain
from ..domain.xml import clean
from ..groups.schema import Metric, Type, counter, gauge
from .counters import Counters
from .source import Scope, Source

#: VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, whose events name a disk by its target.
_BLOCK_JOB = 16

#: virDomainBlockJobType, by number.
_TYPES = ("unknown", "pull", "copy", "commit", "active_commit", "backup")

#: virDomainConnectEventBlockJobStatus of a job that has ended; others are ready.
_COMPLETED, _FAILED, _CANCELED = 0, 1, 2

#: From libvirt-python's names to those of the keys.
_KEYS = {"type": "type", "cur": "current", "end": "end", "bandwidth": "bandwidth"}


class _Jobs:
    def __init__(self) -> None:
        self._ended = Counters("block_job_completed")

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        for handle in scope.domains(active=True, arriving=False):
            for disk in scope.devices(handle).disks:
                found = scope.call(handle, "blockJobInfo", disk.target, 0) if disk.target else None
                if found:
                    keys = {_KEYS.get(name, name): value for name, value in found.items()}
                    if keys.get("end"):
                        keys["progress_percent"] = 100 * keys.get("current", 0) / keys["end"]
                    yield scope.domain(handle, "block_job", keys, device=disk.target)
        if self._ended:
            yield from self._ended.records(scope)

    def happened(self, kind: int, uuid: str, name: str, arguments: tuple[Any, ...]) -> None:
        """Counts a job that has ended."""
        device, number, status = arguments[:3]
        if status not in (_COMPLETED, _FAILED, _CANCELED):
            return
        type = _TYPES[number] if 0 <= number < len(_TYPES) else str(number)
        at = (("device", clean(str(device))), ("type", type))
        changes = {
            "count": 1,
            "failed": int(status == _FAILED),
            "canceled": int(status == _CANCELED),
        }
        self._ended.add(uuid, name, at, changes, {"last": int(time.time())})


SOURCE = Source(
    name="block_job",
    summary="running jobs of disks (copy, commit, pull), and counters of those that ended",
    reads="the running job of each disk, and counters of jobs that ended",
    calls="`virDomainGetBlockJobInfo` for each disk of running domains; events",
    empty="no job of a disk runs or has ended",
    new=_Jobs,
    events=(_BLOCK_JOB,),
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
                gauge("progress_percent", "%", "position, of the end", Type.DOUBLE),
                gauge("bandwidth", "MiB/s", "limit; 0: none"),
            ),
        ),
        Metric(
            prefix="block_job_completed",
            extra_tags=("device", "type"),
            help="Jobs of a disk that ended since the plugin started, from libvirt's events",
            fields=(
                counter("count", "", "number of jobs that ended"),
                counter("failed", "", "of these, jobs that failed"),
                counter("canceled", "", "of these, jobs that were canceled"),
                gauge("last", "s", "Unix time of the end of the last one", Type.LLONG),
            ),
        ),
    ),
)

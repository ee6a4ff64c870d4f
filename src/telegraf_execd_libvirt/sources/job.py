"""Source ``job``: the running job of each domain, and counters of completed jobs.

A short migration may begin and end between two ticks, so completed jobs are counted as libvirt's
events report them.

Invariant: each parameter that libvirt reports is a field with libvirt's name, declared here or not;
the operation is a tag, and the names of milliseconds end in ``_ms``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from ..domain.record import Domain
from ..groups.schema import Field, Metric, Type, counter, gauge
from .counters import Counters
from .source import Scope, Source

#: VIR_DOMAIN_EVENT_ID_JOB_COMPLETED.
_COMPLETED = 21

#: virDomainJobOperation, by number.
OPERATIONS = (
    "unknown",
    "start",
    "save",
    "restore",
    "migration_in",
    "migration_out",
    "snapshot",
    "snapshot_revert",
    "dump",
    "backup",
    "snapshot_delete",
)

#: libvirt's parameters that are milliseconds.
_MILLISECONDS = {
    "time_elapsed": "time since the start of the job",
    "time_elapsed_net": "the same, without the difference of the hosts' clocks",
    "time_remaining": "estimated time to the end of the job",
    "setup_time": "time of the preparations",
    "downtime": "expected or measured pause of the guest",
    "downtime_net": "the same, without the difference of the hosts' clocks",
}


#: Numbers of the last completed job: names of the fields after ``last_``, and libvirt's names.
_LAST = {
    "time_elapsed_ms": ("time_elapsed", "ms", "time of the last job"),
    "downtime_ms": ("downtime", "ms", "pause of the guest in the last job"),
    "data_total": ("data_total", "bytes", "data of the last job"),
    "data_processed": ("data_processed", "bytes", "of this, what was transferred"),
    "memory_total": ("memory_total", "bytes", "memory of the last job"),
    "memory_processed": ("memory_processed", "bytes", "of this, what was transferred"),
    "memory_iteration": ("memory_iteration", "", "passes of the last job over the memory"),
}

#: What a job transfers, from all to one part of it: the first that a job has shows its progress.
_TRANSFERRED = ("data", "memory", "disk")


def operation(parameters: Mapping[str, Any]) -> str:
    """The name of a job's operation."""
    number = parameters.get("operation", 0)
    return OPERATIONS[number] if 0 <= number < len(OPERATIONS) else str(number)


class _Jobs:
    def __init__(self) -> None:
        self._completed = Counters("job_completed")

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        for handle in scope.domains(active=True):
            found = scope.call_present(handle, "jobStats")
            if found and found.get("type"):
                keys = {
                    f"{name}_ms" if name in _MILLISECONDS else name: value
                    for name, value in found.items()
                    if name != "operation"
                }
                keys["progress_percent"] = _progress(found)
                yield scope.domain(handle, "job", keys, operation=operation(found))
        if self._completed:
            yield from self._completed.records(scope)

    def happened(self, kind: int, uuid: str, name: str, arguments: tuple[Any, ...]) -> None:
        """Counts a completed job."""
        parameters = arguments[0] if arguments and isinstance(arguments[0], dict) else {}
        changes = {
            "count": 1,
            "failed": int(parameters.get("success", True) is False),
            "time_elapsed_ms": int(parameters.get("time_elapsed", 0)),
        }
        latest = {f"last_{field}": parameters.get(key) for field, (key, *_) in _LAST.items()}
        latest["last"] = int(time.time())
        at = (("operation", operation(parameters)),)
        self._completed.add(uuid, name, at, changes, latest)


def _progress(found: Mapping[str, Any]) -> Optional[float]:
    """The part that is transferred, in percent; it may shrink while a guest changes its memory."""
    for what in _TRANSFERRED:
        total, remaining = found.get(f"{what}_total"), found.get(f"{what}_remaining")
        if total and remaining is not None:
            return float(100 * max(0, total - remaining) / total)
    return None


def _amounts(what: str, help: str) -> tuple[Field, ...]:
    return (
        gauge(f"{what}_total", "bytes", f"{help} to transfer"),
        gauge(f"{what}_processed", "bytes", f"{help} transferred"),
        gauge(f"{what}_remaining", "bytes", f"{help} still to transfer"),
    )


SOURCE = Source(
    name="job",
    summary="running jobs (migration, save, backup), and counters of completed jobs",
    reads="the running job of each domain, and counters of completed jobs",
    calls="`virDomainGetJobStats` for each running domain; events. The counters of a domain that "
    "has left the host are written once more, so that its migration is seen.",
    empty="no job runs or has completed",
    new=_Jobs,
    events=(_COMPLETED,),
    metrics=(
        Metric(
            prefix="job",
            extra_tags=("operation",),
            help="The running job of a domain: migration, save, dump, backup and others",
            fields=(
                gauge(
                    "type",
                    "virDomainJobType",
                    "1 of known, 2 of unknown duration, 3 completed, 4 failed, 5 cancelled",
                    Type.INT,
                ),
                gauge("progress_percent", "%", "part that is transferred", Type.DOUBLE),
                *(gauge(f"{name}_ms", "ms", help) for name, help in _MILLISECONDS.items()),
                *_amounts("data", "data"),
                *_amounts("memory", "memory"),
                gauge("memory_constant", "pages", "pages with one repeated byte"),
                gauge("memory_normal", "pages", "other transferred pages"),
                gauge("memory_normal_bytes", "bytes", "other transferred pages"),
                gauge("memory_bps", "bytes/s", "speed of the transfer of memory"),
                gauge("memory_dirty_rate", "pages/s", "pages that the guest changes"),
                gauge("memory_page_size", "bytes", "size of a page"),
                gauge("memory_iteration", "", "number of passes over the memory"),
                gauge("memory_postcopy_requests", "", "pages that the destination asked for"),
                *_amounts("disk", "disks"),
                gauge("disk_bps", "bytes/s", "speed of the transfer of disks"),
                gauge("disk_temp_used", "bytes", "used space for the temporary data of a backup"),
                gauge("disk_temp_total", "bytes", "space for the temporary data of a backup"),
                gauge("compression_cache", "bytes", "size of the compression cache"),
                gauge("compression_bytes", "bytes", "compressed data"),
                gauge("compression_pages", "pages", "compressed pages"),
                gauge("compression_cache_misses", "", "misses of the compression cache"),
                gauge("compression_overflow", "pages", "pages that became larger"),
                gauge(
                    "auto_converge_throttle",
                    "%",
                    "CPU time that is taken from the guest so that its migration ends",
                    Type.INT,
                ),
            ),
        ),
        Metric(
            prefix="job_completed",
            extra_tags=("operation",),
            help="Jobs of a domain that ended since the plugin started, from libvirt's events",
            fields=(
                counter("count", "", "number of jobs that ended"),
                counter("failed", "", "of these, jobs that libvirt reports as failed"),
                counter("time_elapsed_ms", "ms", "time of all these jobs"),
                gauge("last", "s", "Unix time of the end of the last one", Type.LLONG),
                *(
                    gauge(f"last_{name}", unit, f"{help}; if libvirt reports it")
                    for name, (_, unit, help) in _LAST.items()
                ),
            ),
        ),
    ),
)

"""Source ``job``: the running job of each domain, and counters of completed jobs.

A short migration may begin and end between two ticks, so completed jobs are counted as libvirt's
events report them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..domain.record import Domain
from ..groups import job
from .counters import Counters
from .source import Source

if TYPE_CHECKING:
    from .scope import Scope

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
_MILLISECONDS = frozenset(
    ("time_elapsed", "time_elapsed_net", "time_remaining", "downtime", "downtime_net", "setup_time")
)


def operation(parameters: Mapping[str, Any]) -> str:
    """The name of a job's operation."""
    number = parameters.get("operation", 0)
    return OPERATIONS[number] if 0 <= number < len(OPERATIONS) else str(number)


class _Jobs:
    def __init__(self) -> None:
        self._completed = Counters("job_completed")

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        self._completed.watch(scope, (_COMPLETED,), self._count)
        for handle in scope.domains(active=True):
            yield from self._running(scope, handle)
        if self._completed:
            yield from self._completed.records(scope)

    def _running(self, scope: Scope, handle: Any) -> Iterator[Domain]:
        found = scope.call(handle, "jobStats")
        if found and found.get("type"):
            keys = {
                f"{name}_ms" if name in _MILLISECONDS else name: value
                for name, value in found.items()
                if name != "operation"
            }
            yield scope.domain(handle, "job", keys, operation=operation(found))

    def _count(
        self, scope: Scope, kind: int, uuid: str, name: str, arguments: tuple[Any, ...]
    ) -> None:
        parameters = arguments[0] if arguments and isinstance(arguments[0], dict) else {}
        changes = {
            "count": 1,
            "failed": int(parameters.get("success", True) is False),
            "time_elapsed_ms": int(parameters.get("time_elapsed", 0)),
        }
        at = (("operation", operation(parameters)),)
        self._completed.add(scope, uuid, name, at, changes, {})


SOURCE = Source(group=job.GROUP, new=_Jobs)

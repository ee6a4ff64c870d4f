"""Source ``job``: the running job of each domain, and counters of completed jobs.

A short migration may begin and end between two ticks, so completed jobs are counted as libvirt's
events report them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional

from ..domain import Domain
from ..groups import job
from .source import Source

if TYPE_CHECKING:
    from ..connection.scope import Scope

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

#: Domains and operations that are counted; more are not.
_MOST_COUNTERS = 10_000


def operation(parameters: Mapping[str, Any]) -> str:
    """The name of a job's operation."""
    number = parameters.get("operation", 0)
    return OPERATIONS[number] if 0 <= number < len(OPERATIONS) else str(number)


class _Jobs:
    def __init__(self) -> None:
        self._scope: Optional[Scope] = None
        self._lock = threading.Lock()
        #: The keys of completed jobs by the domain's UUID and the operation.
        self._completed: dict[tuple[str, str], dict[str, int]] = {}

    def __call__(self, scope: Scope) -> Iterator[Domain]:
        if self._scope is not scope:
            self._scope = scope
            scope.watch((_COMPLETED,), lambda *event: self._count(scope, *event))
        with self._lock:
            completed = {key: dict(keys) for key, keys in self._completed.items()}
        known = set()
        for handle in scope.domains(hanging=True):
            uuid = scope.uuid(handle)
            known.add(uuid)
            if scope.is_active(handle) and not scope.hangs(handle):
                yield from self._running(scope, handle)
            for at, keys in completed.items():
                if at[0] == uuid:
                    yield scope.domain(handle, "job_completed", keys, operation=at[1])
        with self._lock:
            for at in [at for at in completed if at[0] not in known]:
                del self._completed[at]

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
        at = (uuid, operation(parameters))
        with self._lock:
            if scope is not self._scope:
                return
            if at not in self._completed and len(self._completed) >= _MOST_COUNTERS:
                return
            keys = self._completed.setdefault(at, {"count": 0, "failed": 0, "time_elapsed_ms": 0})
            keys["count"] += 1
            keys["failed"] += parameters.get("success", True) is False
            keys["time_elapsed_ms"] += int(parameters.get("time_elapsed", 0))


SOURCE = Source(group=job.GROUP, new=_Jobs)

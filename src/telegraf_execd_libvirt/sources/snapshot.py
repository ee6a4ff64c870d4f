"""Source ``snapshot``: snapshots, checkpoints and the saved state of each domain."""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.record import Domain
from ..groups.schema import Metric, Type, gauge
from .source import MINUTE, Scope, Source


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains():
        checkpoints = scope.call(handle, "listAllCheckpoints", 0)
        keys = {
            "snapshots": scope.call(handle, "snapshotNum", 0),
            "checkpoints": None if checkpoints is None else len(checkpoints),
            "has_current": scope.call(handle, "hasCurrentSnapshot", 0),
            "managed_save": scope.call(handle, "hasManagedSaveImage", 0),
        }
        yield scope.domain(handle, "snapshot", keys)


SOURCE = Source(
    name="snapshot",
    summary="numbers of snapshots and checkpoints, saved states",
    reads="snapshots, checkpoints and saved states",
    calls="four for each domain",
    new=lambda: _fetch,
    interval=5 * MINUTE,
    metrics=(
        Metric(
            prefix="snapshot",
            help="Snapshots, checkpoints and the saved state of a domain",
            fields=(
                gauge("snapshots", "", "number of snapshots", Type.UINT),
                gauge("checkpoints", "", "number of checkpoints", Type.UINT),
                gauge("has_current", "", "1 if a snapshot is current, else 0", Type.INT),
                gauge(
                    "managed_save",
                    "",
                    "1 if the domain continues from a saved state at its next start, else 0",
                    Type.INT,
                ),
            ),
        ),
    ),
)

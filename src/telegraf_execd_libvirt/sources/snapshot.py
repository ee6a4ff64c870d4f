"""Source ``snapshot``: snapshots, checkpoints and the saved state of each domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..domain.record import Domain
from ..groups import snapshot
from .source import MINUTE, Source

if TYPE_CHECKING:
    from .scope import Scope


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


SOURCE = Source(group=snapshot.GROUP, new=lambda: _fetch, interval=5 * MINUTE)

"""Source ``disk_error``: I/O errors that stopped a disk of a running domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..domain.record import Domain
from ..groups import disk_error
from .source import Source

if TYPE_CHECKING:
    from .scope import Scope


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True):
        errors = scope.call(handle, "diskErrors", 0)
        if errors is None:
            continue
        yield scope.domain(handle, "disk_error_total", {"count": len(errors)})
        for device, error in sorted(errors.items()):
            yield scope.domain(handle, "disk_error", {"error": error}, device=device)


SOURCE = Source(group=disk_error.GROUP, new=lambda: _fetch)

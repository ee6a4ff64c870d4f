"""Source ``block_limit``: the I/O limits of each disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..domain.record import Domain
from ..groups import block_limit
from .source import MINUTE, Source

if TYPE_CHECKING:
    from .scope import Scope


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True):
        for disk in scope.devices(handle).disks:
            if not disk.target or disk.empty:
                continue
            if limits := scope.call(handle, "blockIoTune", disk.target, 0):
                yield scope.domain(handle, "block_limit", limits, device=disk.target)


SOURCE = Source(group=block_limit.GROUP, new=lambda: _fetch, interval=5 * MINUTE)

"""Source ``host_cpu``: the CPU time of each domain on each physical CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..domain.record import Domain
from ..groups import host_cpu
from .source import Source

if TYPE_CHECKING:
    from .scope import Scope


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True):
        for number, times in enumerate(scope.call(handle, "getCPUStats", False) or ()):
            yield scope.domain(handle, "host_cpu", times, cpu=str(number))


SOURCE = Source(group=host_cpu.GROUP, new=lambda: _fetch)

"""Source ``interface_limit``: the bandwidth limits of each interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..domain.record import Domain
from ..groups import interface_limit
from .source import MINUTE, Source

if TYPE_CHECKING:
    from .scope import Scope


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True):
        for interface in scope.devices(handle).interfaces:
            limits = scope.call(handle, "interfaceParameters", interface, 0) if interface else None
            if limits and interface:
                yield scope.domain(handle, "interface_limit", limits, interface=interface)


SOURCE = Source(group=interface_limit.GROUP, new=lambda: _fetch, interval=5 * MINUTE)

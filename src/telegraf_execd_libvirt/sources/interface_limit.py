"""Source ``interface_limit``: the bandwidth limits of each interface.

Invariant: each parameter that libvirt reports is a field, declared here or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..domain.record import Domain
from ..groups.schema import Field, Kind, Metric, Type
from .source import MINUTE, Source

if TYPE_CHECKING:
    from .scope import Scope


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True):
        for interface in scope.devices(handle).interfaces:
            limits = scope.call(handle, "interfaceParameters", interface, 0) if interface else None
            if limits and interface:
                yield scope.domain(handle, "interface_limit", limits, interface=interface)


def _limits(way: str) -> tuple[Field, ...]:
    return (
        Field(f"{way}.average", Type.UINT, Kind.GAUGE, "KiB/s", f"average limit, {way}"),
        Field(f"{way}.peak", Type.UINT, Kind.GAUGE, "KiB/s", f"limit in a burst, {way}"),
        Field(f"{way}.burst", Type.UINT, Kind.GAUGE, "KiB", f"size of a burst, {way}"),
    )


SOURCE = Source(
    name="interface_limit",
    summary="bandwidth limits of interfaces",
    calls="`virDomainGetInterfaceParameters` for each interface of running domains",
    new=lambda: _fetch,
    interval=5 * MINUTE,
    metrics=(
        Metric(
            measurement="libvirt_interface_limit",
            prefix="interface_limit",
            extra_tags=("interface",),
            help="Bandwidth limits of an interface of a running domain; 0: no limit",
            fields=(
                *_limits("inbound"),
                Field("inbound.floor", Type.UINT, Kind.GAUGE, "KiB/s", "guaranteed, inbound"),
                *_limits("outbound"),
            ),
        ),
    ),
)

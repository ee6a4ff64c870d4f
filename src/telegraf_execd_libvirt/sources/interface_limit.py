"""Source ``interface_limit``: the bandwidth limits of each interface.

Invariant: each parameter that libvirt reports is a field, declared here or not.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.record import Domain
from ..groups.schema import Field, Metric, Type, gauge
from .source import MINUTE, Scope, Source


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True):
        for interface in scope.devices(handle).interfaces:
            limits = scope.call(handle, "interfaceParameters", interface, 0) if interface else None
            if limits and interface:
                yield scope.domain(handle, "interface_limit", limits, interface=interface)


def _limits(way: str) -> tuple[Field, ...]:
    return (
        gauge(f"{way}.average", "KiB/s", f"average limit, {way}", Type.UINT),
        gauge(f"{way}.peak", "KiB/s", f"limit in a burst, {way}", Type.UINT),
        gauge(f"{way}.burst", "KiB", f"size of a burst, {way}", Type.UINT),
    )


SOURCE = Source(
    name="interface_limit",
    summary="bandwidth limits of interfaces",
    calls="`virDomainGetInterfaceParameters` for each interface of running domains",
    new=lambda: _fetch,
    interval=5 * MINUTE,
    metrics=(
        Metric(
            prefix="interface_limit",
            extra_tags=("interface",),
            help="Bandwidth limits of an interface of a running domain; 0: no limit",
            fields=(
                *_limits("inbound"),
                gauge("inbound.floor", "KiB/s", "guaranteed, inbound", Type.UINT),
                *_limits("outbound"),
            ),
        ),
    ),
)

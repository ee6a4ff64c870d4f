"""Source ``disk_error``: I/O errors that stopped a disk of a running domain."""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.record import Domain
from ..groups.schema import Metric, Type, gauge
from .source import Scope, Source


def _fetch(scope: Scope) -> Iterator[Domain]:
    for handle in scope.domains(active=True, arriving=False):
        errors = scope.call(handle, "diskErrors", 0)
        if errors is None:
            continue
        yield scope.domain(handle, "disk_error_total", {"count": len(errors)})
        for device, error in sorted(errors.items()):
            yield scope.domain(handle, "disk_error", {"error": error}, device=device)


SOURCE = Source(
    name="disk_error",
    summary="disks with an I/O error",
    reads="the number of disks with an I/O error of each running domain, and one line for each of "
    "these disks",
    calls="`virDomainGetDiskErrors` for each running domain. The test driver invents errors.",
    new=lambda: _fetch,
    metrics=(
        Metric(
            prefix="disk_error_total",
            help="Disks of a running domain that have an I/O error",
            fields=(gauge("count", "", "number of these disks", Type.UINT),),
        ),
        Metric(
            prefix="disk_error",
            extra_tags=("device",),
            help="A disk with an I/O error; not written for others",
            fields=(
                gauge(
                    "error",
                    "virDomainDiskErrorCode",
                    "1 unspecified error, 2 no space left",
                    Type.INT,
                ),
            ),
        ),
    ),
)

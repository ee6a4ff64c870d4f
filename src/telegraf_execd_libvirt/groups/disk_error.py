"""Additional statistics ``disk_error``: I/O errors of disks."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

GROUP = Group(
    name="disk_error",
    bit=0,
    needs_monitor=True,
    metrics=(
        Metric(
            measurement="libvirt_disk_error_total",
            prefix="disk_error_total",
            help="Disks of a running domain that have an I/O error",
            fields=(Field("count", Type.UINT, Kind.GAUGE, "", "number of these disks"),),
        ),
        Metric(
            measurement="libvirt_disk_error",
            prefix="disk_error",
            extra_tags=("device",),
            help="A disk with an I/O error; not written for others",
            fields=(
                Field(
                    "error",
                    Type.INT,
                    Kind.GAUGE,
                    "virDomainDiskErrorCode",
                    "1 unspecified error, 2 no space left",
                ),
            ),
        ),
    ),
)

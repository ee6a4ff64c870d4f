"""Additional statistics ``snapshot``: snapshots, checkpoints and saved states."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

GROUP = Group(
    name="snapshot",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_snapshot",
            prefix="snapshot",
            help="Snapshots, checkpoints and the saved state of a domain",
            fields=(
                Field("snapshots", Type.UINT, Kind.GAUGE, "", "number of snapshots"),
                Field("checkpoints", Type.UINT, Kind.GAUGE, "", "number of checkpoints"),
                Field(
                    "has_current", Type.INT, Kind.GAUGE, "", "1 if a snapshot is current, else 0"
                ),
                Field(
                    "managed_save",
                    Type.INT,
                    Kind.GAUGE,
                    "",
                    "1 if the domain continues from a saved state at its next start, else 0",
                ),
            ),
        ),
    ),
)

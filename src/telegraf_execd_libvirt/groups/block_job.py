"""Additional statistics ``block_job``: the running job of each disk."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

GROUP = Group(
    name="block_job",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_block_job",
            prefix="block_job",
            extra_tags=("device",),
            help="The running job of a disk; only while there is one",
            fields=(
                Field(
                    "type",
                    Type.INT,
                    Kind.GAUGE,
                    "virDomainBlockJobType",
                    "1 pull, 2 copy, 3 commit, 4 active commit, 5 backup",
                ),
                Field("current", Type.ULLONG, Kind.GAUGE, "", "position; equal to end: ready"),
                Field("end", Type.ULLONG, Kind.GAUGE, "", "position of the end"),
                Field("bandwidth", Type.ULLONG, Kind.GAUGE, "MiB/s", "limit; 0: none"),
            ),
        ),
    ),
)

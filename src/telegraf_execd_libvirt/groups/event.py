"""Additional statistics ``event``: libvirt's events, counted."""

from __future__ import annotations

from .schema import Field, Group, Kind, Metric, Type

GROUP = Group(
    name="event",
    bit=0,
    needs_monitor=False,
    metrics=(
        Metric(
            measurement="libvirt_event",
            prefix="event",
            extra_tags=("event", "detail"),
            help="Events of one kind since the plugin started; only kinds that came",
            fields=(
                Field("count", Type.ULLONG, Kind.COUNTER, "", "number of events"),
                Field("last", Type.LLONG, Kind.GAUGE, "s", "Unix time of the last one"),
            ),
        ),
    ),
)

"""Translation alone, without line protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.groups.schema import Group
from telegraf_execd_libvirt.lines.protocol import FieldValue
from telegraf_execd_libvirt.lines.translate import FieldMap, field_values, lay_out, line_tags


class Point(NamedTuple):
    """One line of output without its timestamp; tags and fields are (name, value) pairs."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, FieldValue], ...]


def points(groups: Iterable[Group], domain: Domain, full: bool = False) -> list[Point]:
    """The points of a domain, by the declarations of these groups."""
    lines = lay_out(FieldMap(groups, full), tuple(domain.stats), domain.active)
    return [
        Point(
            line.measurement,
            tuple(line_tags(line, domain).items()),
            tuple(field_values(line, domain)),
        )
        for line in lines
    ]

"""Translation alone, without line protocol."""

from __future__ import annotations

from collections.abc import Iterable

from telegraf_execd_libvirt.domain.record import Domain
from telegraf_execd_libvirt.groups.schema import Group
from telegraf_execd_libvirt.lines import translate
from telegraf_execd_libvirt.lines.field_map import FieldMap
from telegraf_execd_libvirt.lines.translate import Point, lay_out


def points(groups: Iterable[Group], domain: Domain, full: bool = False) -> list[Point]:
    """The points of a domain, by the declarations of these groups."""
    lines = lay_out(FieldMap(groups, full), tuple(domain.stats), domain.active)
    return list(translate.points(domain, lines))

"""From flat domstats keys to points.

Rule guarded: one bad or unknown key costs itself only, and two keys never share a field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Optional

from .domain import Domain, Value
from .lineprotocol import FieldValue, Unsigned
from .places import Place, Places
from .schema import Group, Type

#: Different keys that one run sees are few (guests share them); the bound is for guests that
#: come and go with ever new keys.
_REMEMBERED_KEYS = 65_536

_SIGNED_32 = 1 << 32


@dataclass(frozen=True)
class Point:
    """One line of output without its timestamp; tags and fields are (name, value) pairs."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, FieldValue], ...]


#: Sorts lines: the position of the measurement, its name, its tags, and the indexes by their
#: length first, which orders numbers without converting them, so without a limit to their size.
_Line = tuple[int, str, tuple[str, ...], tuple[tuple[int, str], ...]]


class Translator:
    """Translates the statistics of domains for the given groups; with ``full`` every key that
    came, without only those of Telegraf's own plugin."""

    def __init__(self, groups: Iterable[Group], full: bool = False) -> None:
        self._places = Places(groups, full)
        self._known: dict[str, Optional[Place]] = {}

    def points(self, domain: Domain) -> Iterator[Point]:
        """The points of a domain, in the order of the declarations, indexes counted up."""
        lines: dict[_Line, tuple[Place, list[tuple[int, str, str, FieldValue]]]] = {}
        for key, value in domain.stats.items():
            place = self._place(key)
            if place is None or (place.active_only and not domain.active):
                continue
            line = (
                place.order,
                place.measurement,
                place.tags,
                tuple((len(index), index) for index in place.indexes),
            )
            fields = lines.setdefault(line, (place, []))[1]
            for slot in place.slots:
                fields.append((slot.number, slot.name, key, convert(value, slot.type)))
        for line in sorted(lines):
            place, fields = lines[line]
            fields.sort(key=_position)
            yield Point(
                measurement=place.measurement,
                tags=tuple(zip(place.tags, (domain.name, *place.indexes))),
                fields=tuple(_unique(fields)),
            )

    def _place(self, key: str) -> Optional[Place]:
        if key not in self._known:
            if len(self._known) >= _REMEMBERED_KEYS:
                self._known.clear()
            self._known[key] = self._places.find(key)
        return self._known[key]


def convert(value: Value, declared: Optional[Type]) -> FieldValue:
    """A value of libvirt as the field's type wants it; one of an unexpected type, or of a key
    that is not declared, as it is.

    libvirt-python passes a uint through a signed C int, so that 2^31 and more arrive negative.
    """
    if declared is Type.YES_NO:
        return ("yes" if value else "no") if isinstance(value, int) else value
    if declared is Type.ONE_ZERO:
        return int(value is True or value == "yes" or value == 1)
    if isinstance(value, int) and not isinstance(value, bool):
        if declared is Type.UINT and value < 0:
            return Unsigned(value + _SIGNED_32)
        if declared in (Type.UINT, Type.ULLONG):
            return Unsigned(value)
        if declared is Type.DOUBLE:
            return float(value)
    return value


def _position(field: tuple[int, str, str, FieldValue]) -> tuple[int, str, str]:
    return field[:3]


def _unique(
    fields: Iterable[tuple[int, str, str, FieldValue]],
) -> Iterator[tuple[str, FieldValue]]:
    """Names and values; where derived names meet, the later ones are numbered."""
    used: set[str] = set()
    for _, base, _, value in fields:
        name, count = base, 1
        while name in used:
            count += 1
            name = f"{base}_{count}"
        used.add(name)
        yield name, value

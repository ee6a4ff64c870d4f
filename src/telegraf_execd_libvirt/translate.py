"""From flat domstats keys to points.

Rule guarded: one bad or unknown key costs itself only, and two keys never share a field.

Where keys go does not depend on their values, and guests share their sets of keys and keep them
from tick to tick. So a set of keys is laid out once; each tick only fills in the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Optional

from .domain import Domain, Value
from .lineprotocol import FieldValue, Unsigned
from .places import Place, Places
from .schema import Group, Type

#: Different keys and sets of keys that one run sees are few; the bounds are for guests that come
#: and go with ever new ones.
_REMEMBERED_KEYS = 65_536
_REMEMBERED_LAYOUTS = 1_024

_SIGNED_32 = 1 << 32


@dataclass(frozen=True)
class LaidOutField:
    """One field of a line: its name, the key of its value, and the value's declared type."""

    name: str
    key: str
    type: Optional[Type]


@dataclass(frozen=True)
class LaidOutLine:
    """One line without what differs between domains of the same keys: their names and values.

    ``tags`` are those that come from indexes; ``subject`` is the tag that gets the domain's name.
    """

    measurement: str
    subject: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[LaidOutField, ...]


@dataclass(frozen=True)
class Point:
    """One line of output without its timestamp; tags and fields are (name, value) pairs."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, FieldValue], ...]


#: Sorts lines: the position of the measurement, its name, its tags, and the indexes by their
#: length first, which orders numbers without converting them, so without a limit to their size.
_Order = tuple[int, str, tuple[str, ...], tuple[tuple[int, str], ...]]


class Translator:
    """Translates the statistics of domains for the given groups; with ``full`` every key that
    came, without only those of Telegraf's own plugin."""

    def __init__(self, groups: Iterable[Group], full: bool = False) -> None:
        self._places = Places(groups, full)
        self._known: dict[str, Optional[Place]] = {}
        self._layouts: dict[tuple[tuple[str, ...], bool], tuple[LaidOutLine, ...]] = {}

    def points(self, domain: Domain) -> Iterator[Point]:
        """The points of a domain, in the order of the declarations, indexes counted up."""
        for line in self.layout(tuple(domain.stats), domain.active):
            yield Point(
                measurement=line.measurement,
                tags=((line.subject, domain.name), *line.tags),
                fields=tuple(
                    (field.name, convert(domain.stats[field.key], field.type))
                    for field in line.fields
                ),
            )

    def layout(self, keys: tuple[str, ...], active: bool) -> tuple[LaidOutLine, ...]:
        """The lines that these keys give for a domain that is active or not."""
        found = self._layouts.get((keys, active))
        if found is None:
            if len(self._layouts) >= _REMEMBERED_LAYOUTS:
                self._layouts.clear()
            found = self._layouts[keys, active] = tuple(self._lay_out(keys, active))
        return found

    def _lay_out(self, keys: tuple[str, ...], active: bool) -> Iterator[LaidOutLine]:
        lines: dict[_Order, tuple[Place, list[tuple[int, str, str, Optional[Type]]]]] = {}
        for key in keys:
            place = self._place(key)
            if place is None or (place.active_only and not active):
                continue
            order = (
                place.order,
                place.measurement,
                place.tags,
                tuple((len(index), index) for index in place.indexes),
            )
            fields = lines.setdefault(order, (place, []))[1]
            fields += ((slot.number, slot.name, key, slot.type) for slot in place.slots)
        for order in sorted(lines):
            place, fields = lines[order]
            fields.sort(key=_position)
            yield LaidOutLine(
                measurement=place.measurement,
                subject=place.tags[0],
                tags=tuple(zip(place.tags[1:], place.indexes)),
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


def _position(field: tuple[int, str, str, Optional[Type]]) -> tuple[int, str, str]:
    return field[:3]


def _unique(
    fields: Iterable[tuple[int, str, str, Optional[Type]]],
) -> Iterator[LaidOutField]:
    """The fields of a line; where derived names meet, the later ones are numbered."""
    used: set[str] = set()
    for _, base, key, declared in fields:
        name, count = base, 1
        while name in used:
            count += 1
            name = f"{base}_{count}"
        used.add(name)
        yield LaidOutField(name, key, declared)

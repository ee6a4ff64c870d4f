"""From flat domstats keys to points.

Invariant: one bad or unknown key costs itself only, and two keys never share a field.

The target of a key does not depend on its value, and guests share their sets of keys and keep them
from tick to tick. So a set of keys is laid out once; each tick only fills in the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Optional

from ..domain.record import NO_IDENTITY, Domain, Value
from ..groups.schema import Group, Type
from .field_map import FieldMap, Target
from .protocol import FieldValue, Unsigned

#: There are few different keys and sets of keys. The bounds limit memory if guests come and go with
#: new ones all the time.
_REMEMBERED_KEYS = 65_536
_REMEMBERED_LAYOUTS = 1_024

_SIGNED_32 = 1 << 32

#: The families of devices by the tags of their indexes.
_FAMILIES = {"block_id": "block", "interface_id": "net"}


@dataclass(frozen=True)
class LaidOutField:
    """One field of a line: its name, the key of its value, and the value's declared type."""

    name: str
    key: str
    type: Optional[Type]


@dataclass(frozen=True)
class LaidOutLine:
    """One line, without the names and values that differ between domains of the same keys.

    ``tags`` come from the indexes in the keys; ``subject`` is the tag for the domain's name.
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
#: length first, which orders numbers of any size without a conversion.
_Order = tuple[int, str, tuple[str, ...], tuple[tuple[int, str], ...]]


class Translator:
    """Translates the statistics of domains for the given groups: the keys of the built-in plugin,
    or with ``full`` every key."""

    def __init__(self, groups: Iterable[Group], full: bool = False) -> None:
        self._field_map = FieldMap(groups, full)
        self._known: dict[str, Optional[Target]] = {}
        self._layouts: dict[tuple[tuple[str, ...], bool], tuple[LaidOutLine, ...]] = {}

    def points(self, domain: Domain) -> Iterator[Point]:
        """The points of a domain, in the order of the declarations and of the indexes."""
        for line in self.layout(tuple(domain.stats), domain.active):
            yield Point(
                measurement=line.measurement,
                tags=tuple(line_tags(line, domain).items()),
                fields=tuple(
                    (field.name, convert(domain.stats[field.key], field.type))
                    for field in line.fields
                ),
            )

    def layout(self, keys: tuple[str, ...], active: bool) -> tuple[LaidOutLine, ...]:
        """The lines for these keys of a domain that is active or not."""
        found = self._layouts.get((keys, active))
        if found is None:
            if len(self._layouts) >= _REMEMBERED_LAYOUTS:
                self._layouts.clear()
            found = self._layouts[keys, active] = tuple(self._lay_out(keys, active))
        return found

    def _lay_out(self, keys: tuple[str, ...], active: bool) -> Iterator[LaidOutLine]:
        lines: dict[_Order, tuple[Target, list[tuple[int, str, str, Optional[Type]]]]] = {}
        for key in keys:
            target = self._target(key)
            if target is None or (target.active_only and not active):
                continue
            order = (
                target.order,
                target.measurement,
                target.tags,
                tuple((len(index), index) for index in target.indexes),
            )
            fields = lines.setdefault(order, (target, []))[1]
            fields += ((slot.number, slot.name, key, slot.type) for slot in target.slots)
        for order in sorted(lines):
            target, fields = lines[order]
            fields.sort(key=_position)
            yield LaidOutLine(
                measurement=target.measurement,
                subject=target.tags[0],
                tags=tuple(zip(target.tags[1:], target.indexes)),
                fields=tuple(_unique(fields)),
            )

    def _target(self, key: str) -> Optional[Target]:
        if key not in self._known:
            if len(self._known) >= _REMEMBERED_KEYS:
                self._known.clear()
            self._known[key] = self._field_map.find(key)
        return self._known[key]


def line_tags(line: LaidOutLine, domain: Domain) -> dict[str, str]:
    """The tags of a line: the domain's name, its identity, the indexes, and the tags of the line's
    device, which is found by its name in libvirt's statistics."""
    identity = domain.identity or NO_IDENTITY
    tags = {line.subject: domain.name, **identity.tags}
    for tag, index in line.tags:
        family = _FAMILIES.get(tag)
        if family and identity.devices:
            name = str(domain.stats.get(f"{family}.{index}.name", ""))
            tags.update(identity.devices.get((family, name), {}))
    tags.update(line.tags)
    return tags


def convert(value: Value, declared: Optional[Type]) -> FieldValue:
    """A value of libvirt in the form of the field's type. A value of an unexpected type, or of an
    undeclared key, stays as it is.

    libvirt-python passes a uint through a signed C int: 2^31 and more arrive negative.
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
    """The fields of a line; the later ones of equal derived names get a number."""
    used: set[str] = set()
    for _, base, key, declared in fields:
        name, count = base, 1
        while name in used:
            count += 1
            name = f"{base}_{count}"
        used.add(name)
        yield LaidOutField(name, key, declared)

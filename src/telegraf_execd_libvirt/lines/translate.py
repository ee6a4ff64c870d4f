"""From flat domstats keys to lines.

Invariant: one bad or unknown key costs itself only, and two keys never share a field.

The target of a key does not depend on its value, and guests share their sets of keys and keep them
from tick to tick. So a set of keys is laid out once; each tick only fills in the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple, Optional

from ..domain.record import NO_IDENTITY, Domain, Value
from ..groups.schema import Type
from .field_map import FieldMap, Target
from .protocol import FieldValue, Unsigned

_SIGNED_32 = 1 << 32

#: The families of devices by the tags of their indexes.
_FAMILIES = {"block_id": "block", "interface_id": "net"}


class LaidOutField(NamedTuple):
    """One field of a line: its name, the key of its value, and the value's declared type."""

    name: str
    key: str
    type: Optional[Type]


class LaidOutLine(NamedTuple):
    """One line, without the names and values that differ between domains of the same keys.

    ``tags`` come from the indexes in the keys; ``subject`` is the tag for the domain's name.
    """

    measurement: str
    subject: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[LaidOutField, ...]


#: Sorts lines: the position of the measurement, its name, its tags, and the indexes by their
#: length first, which orders numbers of any size without a conversion.
_Order = tuple[int, str, tuple[str, ...], tuple[tuple[int, str], ...]]

#: One field before the names of its line are made unique: its position, name, key and type.
_Placed = tuple[int, str, str, Optional[Type]]


def lay_out(field_map: FieldMap, keys: tuple[str, ...], active: bool) -> Iterator[LaidOutLine]:
    """The lines for these keys of a domain that is active or not, in the order of the declarations
    and of the indexes."""
    lines: dict[_Order, tuple[Target, list[_Placed]]] = {}
    for key in keys:
        target = field_map.find(key)
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
        fields.sort(key=itemgetter(0, 1, 2))
        yield LaidOutLine(
            measurement=target.measurement,
            subject=target.tags[0],
            tags=tuple(zip(target.tags[1:], target.indexes)),
            fields=tuple(_unique(fields)),
        )


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


def field_values(line: LaidOutLine, domain: Domain) -> list[tuple[str, FieldValue]]:
    """The names and values of the fields of a line."""
    return [(field.name, convert(domain.stats[field.key], field.type)) for field in line.fields]


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


def _unique(fields: Iterable[_Placed]) -> Iterator[LaidOutField]:
    """The fields of a line; the later ones of equal derived names get a number."""
    used: set[str] = set()
    for _, base, key, declared in fields:
        name, count = base, 1
        while name in used:
            count += 1
            name = f"{base}_{count}"
        used.add(name)
        yield LaidOutField(name, key, declared)

"""From flat domstats keys to lines.

Invariant: one bad or unknown key costs itself only, and two keys never share a field. An undeclared
key joins the metric with its prefix, so that a later declaration changes nothing but the
description.

The target of a key does not depend on its value, and guests share their sets of keys and keep them
from tick to tick. So a set of keys is laid out once; each tick only fills in the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

from ..domain.record import NO_IDENTITY, Domain, Value
from ..groups.schema import ANY, INDEX, Group, Metric, Type, is_index
from .protocol import FieldValue, Unsigned

#: Derived fields and derived metrics come after the declared ones.
_LAST = 1 << 30

_SIGNED_32 = 1 << 32

#: The families of devices by the tags of their indexes.
_FAMILIES = {"block_id": "block", "interface_id": "net"}


class Slot(NamedTuple):
    """One field that a key fills; ``number`` is its position among the fields of its line."""

    number: int
    name: str
    type: Optional[Type]


class Target(NamedTuple):
    """The line of a key, and the fields of it that the key fills.

    ``order`` is the position of the measurement in the output. ``tags`` are the names of its tags,
    beginning with the subject; ``indexes`` are the values of the others, the numbers in the key.
    """

    order: int
    measurement: str
    tags: tuple[str, ...]
    indexes: tuple[str, ...]
    slots: tuple[Slot, ...]
    active_only: bool = False


class FieldMap:
    """Finds the targets of keys by the declarations of these groups.

    With ``full`` the declarations of the full set count as well, and a key without declaration
    has a derived target. Without ``full`` such a key has no target.
    """

    def __init__(self, groups: Iterable[Group], full: bool) -> None:
        self._full = full
        #: The targets by the patterns of their keys, without indexes.
        self._declared: dict[str, Target] = {}
        self._prefixes: dict[str, tuple[Metric, int]] = {}
        self._orders: dict[str, int] = {}
        number = 0
        for metric in (metric for group in groups for metric in group.metrics):
            order = self._orders.setdefault(metric.measurement, len(self._orders))
            self._prefixes.setdefault(metric.lookup_prefix, (metric, order))
            for field in metric.fields:
                number += 1
                if full or not field.full:
                    pattern = metric.lookup_pattern(field)
                    target = self._declared.get(
                        pattern, Target(order, metric.measurement, metric.tags, (), ())
                    )
                    self._declared[pattern] = target._replace(
                        slots=(*target.slots, Slot(number, field.name, field.type)),
                        active_only=target.active_only or field.active_only,
                    )

    def find(self, key: str) -> Optional[Target]:
        """The target of a key, or None."""
        words = key.split(".")
        pattern = [INDEX if is_index(word) else _literal(word) for word in words]
        indexes = tuple([word for word, kind in zip(words, pattern) if kind == INDEX])
        declared = self._declared.get(".".join(pattern))
        if declared is None and len(words) > 2:
            # A name from the hypervisor, with a declared last word.
            declared = self._declared.get(".".join([*pattern[:-2], ANY, pattern[-1]]))
            if declared is not None:
                chosen = _name(words[-2:-1])
                slots = [
                    slot._replace(name=slot.name.replace(ANY, chosen)) for slot in declared.slots
                ]
                declared = declared._replace(slots=tuple(slots))
        if declared is None:
            return self._derive(words, pattern, indexes) if self._full else None
        # A name from the hypervisor may be a number too; it stays in the field's name.
        return declared._replace(indexes=indexes[: len(declared.tags) - 1])

    def _derive(self, words: list[str], pattern: list[str], indexes: tuple[str, ...]) -> Target:
        """The target of an undeclared key.

        The key belongs to the metric with its longest prefix that leaves no number behind. If there
        is none, the words up to the last number name the measurement. Each number is a tag, named
        after the word before it; the words behind the last number name the field.
        """
        last = max((at + 1 for at, word in enumerate(pattern) if word == INDEX), default=0)
        for length in range(len(words) - 1, last - 1, -1):
            if length and (found := self._prefixes.get(".".join(pattern[:length]))):
                metric, order = found
                slot = Slot(_LAST, _name(words[length:]), None)
                return Target(order, metric.measurement, metric.tags, indexes, (slot,))
        head = max(last, 1)
        measurement = "_".join(["libvirt", *(_name([w]) for w in words[:head] if not is_index(w))])
        slot = Slot(_LAST, _name(words[head:]), None)
        order = self._orders.get(measurement, _LAST)
        return Target(order, measurement, self._derived_tags(words, pattern), indexes, (slot,))

    def _derived_tags(self, words: list[str], pattern: list[str]) -> tuple[str, ...]:
        tags = ["domain_name"]
        for at, word in enumerate(pattern):
            if word == INDEX:
                found = self._prefixes.get(".".join(pattern[: at + 1]))
                if found:
                    tags = list(found[0].tags)
                    continue
                named = next((w for w in reversed(words[:at]) if not is_index(w)), "")
                tag = f"{_name([named])}_id"
                tags.append(tag if tag not in tags else f"{tag}_{len(tags)}")
        return tuple(tags)


def _literal(word: str) -> str:
    """A word of a key for a pattern; the words with a meaning there become empty."""
    return "" if word in (INDEX, ANY) else word


def _name(words: list[str]) -> str:
    """A name in the style of the declared ones: letters, digits and underscores."""
    text = "_".join(words)
    return "".join(char if char.isalnum() else "_" for char in text) or "value"


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


def lay_out(field_map: FieldMap, keys: tuple[str, ...], active: bool) -> Iterator[LaidOutLine]:
    """The lines for these keys of a domain that is active or not, in the order of the declarations
    and of the indexes."""
    lines: dict[_Order, tuple[Target, list[tuple[Slot, str]]]] = {}
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
        fields += ((slot, key) for slot in target.slots)
    for order in sorted(lines):
        target, fields = lines[order]
        fields.sort(key=lambda field: (field[0].number, field[0].name, field[1]))
        yield LaidOutLine(
            measurement=target.measurement,
            subject=target.tags[0],
            tags=tuple(zip(target.tags[1:], target.indexes)),
            fields=tuple(_unique(fields)),
        )


def line_tags(line: LaidOutLine, domain: Domain) -> dict[str, str]:
    """The tags of a line: the domain's name, its identity, the indexes, and the tags of the line's
    device."""
    identity = domain.identity or NO_IDENTITY
    tags = {line.subject: domain.name, **identity.tags}
    for tag, index in line.tags:
        family = _FAMILIES.get(tag)
        if family and identity.devices:
            tags.update(identity.device_tags(family, index, domain.stats))
    tags.update(line.tags)
    return tags


def has_device_tags(line: LaidOutLine) -> bool:
    """Whether the line is about a device that may have tags."""
    return any(tag in _FAMILIES for tag, _ in line.tags)


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


def _unique(fields: Iterable[tuple[Slot, str]]) -> Iterator[LaidOutField]:
    """The fields of a line; the later ones of equal derived names get a number."""
    used: set[str] = set()
    for slot, key in fields:
        name, count = slot.name, 1
        while name in used:
            count += 1
            name = f"{slot.name}_{count}"
        used.add(name)
        yield LaidOutField(name, key, slot.type)

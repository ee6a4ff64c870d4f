"""From flat domstats keys to points, by the declarations of the wanted groups.

Rule guarded: one bad or unknown key costs itself only, and two keys never share a field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Optional

from .domain import Domain, Value
from .lineprotocol import FieldValue, Unsigned
from .schema import INDEX, Field, Group, Metric, Type

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


@dataclass(frozen=True)
class _Place:
    """Where a key goes: its metric, the indexes in it, and the fields that it fills."""

    metric: Metric
    order: int
    indexes: tuple[str, ...]
    fields: tuple[tuple[int, Field], ...]


class Translator:
    """Translates the statistics of domains for the given groups."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._targets: dict[str, tuple[Metric, int, list[tuple[int, Field]]]] = {}
        self._places: dict[str, Optional[_Place]] = {}
        measurements: dict[str, int] = {}
        number = 0
        for metric in (metric for group in groups for metric in group.metrics):
            order = measurements.setdefault(metric.measurement, len(measurements))
            for field in metric.fields:
                target = self._targets.setdefault(metric.lookup_pattern(field), (metric, order, []))
                target[2].append((number, field))
                number += 1

    def points(self, domain: Domain) -> Iterator[Point]:
        """The points of a domain, in the order of the declarations, indexes counted up."""
        found: dict[tuple[int, tuple[tuple[int, str], ...]], list[tuple[int, str, FieldValue]]] = {}
        metrics: dict[tuple[int, tuple[tuple[int, str], ...]], _Place] = {}
        for key, value in domain.stats.items():
            place = self._place(key)
            if place is None:
                continue
            # Numbers sort by length first: no conversion, so no limit to their size.
            at = (place.order, tuple((len(index), index) for index in place.indexes))
            for number, field in place.fields:
                if domain.active or not field.active_only:
                    metrics.setdefault(at, place)
                    found.setdefault(at, []).append(
                        (number, field.name, convert(value, field.type))
                    )
        for at in sorted(found):
            metric, indexes = metrics[at].metric, metrics[at].indexes
            yield Point(
                measurement=metric.measurement,
                tags=tuple(zip(metric.tags, (domain.name, *indexes))),
                fields=tuple((name, value) for _, name, value in sorted(found[at], key=_number)),
            )

    def _place(self, key: str) -> Optional[_Place]:
        if key not in self._places:
            if len(self._places) >= _REMEMBERED_KEYS:
                self._places.clear()
            self._places[key] = self._find(key)
        return self._places[key]

    def _find(self, key: str) -> Optional[_Place]:
        segments = key.split(".")
        indexes = tuple(segment for segment in segments if is_index(segment))
        pattern = ".".join(INDEX if is_index(segment) else segment for segment in segments)
        target = self._targets.get(pattern)
        if target is None:
            return None
        metric, order, fields = target
        return _Place(metric, order, indexes, tuple(fields))


def is_index(segment: str) -> bool:
    """Whether a segment of a key is a number: ASCII digits only, whatever else Unicode counts."""
    return segment.isascii() and segment.isdigit()


def convert(value: Value, declared: Type) -> FieldValue:
    """A value of libvirt as the field's type wants it; one of an unexpected type as it is.

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


def _number(entry: tuple[int, str, FieldValue]) -> int:
    return entry[0]

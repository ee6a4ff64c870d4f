"""Lines of a domain the fast way: one format string, filled with all of its integers at once.

Rule guarded: the bytes are those of the slow way. A template holds for one set of keys, one name
and the same texts; whatever else a value may be (of another type, negative, beyond int64) makes
the domain go the slow way in that tick.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, Callable, Optional

from .domain import Domain, Value
from .lineprotocol import escape_key, escape_measurement, format_tags, format_value
from .schema import Type
from .translate import LaidOutLine, convert

#: Stands for the timestamp in the lines. No text of libvirt's can have it; where one of the
#: configuration does, there is no fast way.
STAMP = "\x00"

_INTEGERS = frozenset({int})
_INTEGER_TYPES = (Type.INT, Type.UINT, Type.LLONG, Type.ULLONG, None)
_UNSIGNED_TYPES = (Type.UINT, Type.ULLONG)


class Template:
    """The lines of one domain, for as long as its keys and texts stay as they are."""

    def __init__(
        self,
        domain: Domain,
        keys: tuple[str, ...],
        layout: Iterable[LaidOutLine],
        tags: Mapping[str, str],
        uint_support: bool,
    ) -> None:
        self._keys = keys
        self._active = domain.active
        at = {key: number for number, key in enumerate(keys)}
        integers: list[int] = []
        codes: list[str] = []
        texts: list[int] = []
        lines = []
        for line in layout:
            fields = []
            for field in line.fields:
                value = domain.stats[field.key]
                name = escape_key(field.name)
                if type(value) is int and field.type in _INTEGER_TYPES:
                    unsigned = uint_support and field.type in _UNSIGNED_TYPES
                    fields.append(f"{_literal(name)}=%d{'u' if unsigned else 'i'}")
                    integers.append(at[field.key])
                    codes.append("I" if field.type is Type.UINT else "Q" if unsigned else "q")
                else:
                    text = format_value(convert(value, field.type), uint_support)
                    texts.append(at[field.key])
                    if text is not None:
                        fields.append(_literal(f"{name}={text}"))
            if fields:
                head = escape_measurement(line.measurement) + format_tags(
                    {**tags, line.subject: domain.name, **dict(line.tags)}
                )
                lines.append(f"{_literal(head)} {','.join(fields)} {STAMP}\n")
        self._format = "".join(lines)
        self._usable = self._format.count(STAMP) == len(lines)
        self._integers = _getter(integers)
        # Packing is the quickest way to see that each number can be written as it is.
        self._fits = struct.Struct(f"={''.join(codes)}").pack
        self._texts = _getter(texts)
        self._known_texts = self._texts(tuple(domain.stats.values()))
        self._known_types = tuple(map(type, self._known_texts))

    def fill(self, domain: Domain) -> Optional[str]:
        """The lines with STAMP for the timestamp, or None where they have to be made anew."""
        stats = domain.stats
        if not self._usable or tuple(stats) != self._keys or domain.active is not self._active:
            return None
        values = tuple(stats.values())
        texts = self._texts(values)
        if texts != self._known_texts or tuple(map(type, texts)) != self._known_types:
            return None
        numbers: tuple[Any, ...] = self._integers(values)
        if not _INTEGERS.issuperset(map(type, numbers)):
            return None
        try:
            self._fits(*numbers)
        except struct.error:
            return None
        return self._format % numbers


def _literal(text: str) -> str:
    """A text that stays as it is in a format string."""
    return text.replace("%", "%%")


def _getter(positions: list[int]) -> Callable[[tuple[Value, ...]], tuple[Value, ...]]:
    """Takes these positions out of a tuple, always as a tuple."""
    if not positions:
        return lambda values: ()
    if len(positions) == 1:
        return itemgetter(slice(positions[0], positions[0] + 1))
    getter: Any = itemgetter(*positions)
    return getter  # type: ignore[no-any-return]  # operator's own types say Any

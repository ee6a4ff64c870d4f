"""Fast encoding of a domain's lines: one format string, filled with all changing values at once.

Invariant: the bytes are those of the plain way. If a template does not fit (other keys, a new value
of a constant, a value of another type or beyond its limits), a new one replaces it.

Most statistics of a domain are the same from tick to tick: limits, sizes, names, counters of errors
and of idle disks. So a template begins with all values in its text; values that change become
places to fill in. The plain way takes 20 times as long (make bench).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from marshal import dumps, loads
from operator import itemgetter
from typing import Any, Callable, Optional

from ..domain.record import FINDS_DEVICE, Domain, Value
from ..groups.schema import Type
from .protocol import (
    INT64_MAX,
    UINT32_MAX,
    UINT64_MAX,
    escape_key,
    escape_measurement,
    format_tags,
    format_value,
)
from .translate import LaidOutField, LaidOutLine, convert, line_tags

#: Marks the place of the timestamp in the lines, where control characters are escaped. libvirt's
#: texts cannot contain it; if one does, the plain way is used.
TIMESTAMP_MARK = "\x00"

#: marshal's last version that writes equal values as equal bytes; 1, 1.0 and True differ.
_MARSHAL = 2

_INTEGERS = frozenset({int})
_INTEGER_TYPES = (Type.INT, Type.UINT, Type.LLONG, Type.ULLONG, None)
_UNSIGNED_TYPES = (Type.UINT, Type.ULLONG)

_Values = tuple[Value, ...]


class _Field:
    """One field of a line: the position of its value, and its format."""

    def __init__(self, field: LaidOutField, position: int, uint_support: bool) -> None:
        self.position = position
        self.prefix = _literal(f"{escape_key(field.name)}=")
        unsigned = uint_support and field.type in _UNSIGNED_TYPES
        self.suffix = "u" if unsigned else "i"
        #: Integers from 0 to ``last`` need no conversion; ``code`` is their type in struct.
        self.code, self.last = "q", INT64_MAX
        if field.type is Type.UINT:
            self.code, self.last = "I", UINT32_MAX
        elif unsigned:
            self.code, self.last = "Q", UINT64_MAX
        elif field.type not in _INTEGER_TYPES:
            self.last = -1
        self._type = field.type
        self._uint_support = uint_support
        self._bools = {value: self._format(value) for value in (False, True)}

    def text(self, value: Value) -> Optional[str]:
        """The value in line protocol, or None if it has no form there."""
        return self._bools[value] if type(value) is bool else self._format(value)

    def _format(self, value: Value) -> Optional[str]:
        return format_value(convert(value, self._type), self._uint_support)


class LineLayout:
    """The lines of a set of keys, shared by the templates of all domains with these keys."""

    def __init__(
        self, keys: tuple[str, ...], lines: Iterable[LaidOutLine], uint_support: bool
    ) -> None:
        #: Comparing the keys themselves costs 3 % more of a tick: they are hundreds of new strings
        #: in each tick (make bench, 1000 guests).
        self.keys_hash = hash(keys)
        at = {key: number for number, key in enumerate(keys)}
        #: The positions of the keys on which the tags of devices depend.
        self.finding = frozenset(n for key, n in at.items() if FINDS_DEVICE.fullmatch(key))
        self.lines = tuple(lines)
        #: The fields of each line.
        self.fields = [
            [_Field(field, at[field.key], uint_support) for field in line.fields]
            for line in self.lines
        ]


class Template:
    """The lines of one domain, valid while its keys and its constant values are unchanged.

    ``before`` is the template that this one replaces; values that changed there may change here.
    """

    __slots__ = (
        *("_active", "_fits", "_format", "_identity", "_keys", "_known_numbers", "_known_texts"),
        *("_moved", "_moving", "_numbers", "_plain", "_texts", "_usable", "settled"),
    )

    def __init__(
        self,
        layout: LineLayout,
        domain: Domain,
        tags: Mapping[str, str],
        before: Optional[Template],
    ) -> None:
        values = tuple(domain.stats.values())
        #: Whether it knows which values change; a domain's first template serves to find them.
        self.settled = before is not None
        self._keys = layout.keys_hash
        self._active = domain.active
        self._identity = domain.identity
        same = before is not None and before._keys == self._keys
        #: A bit for each position that moves: sets would take more memory than the lines.
        self._moved = before._moves(values) if before and same else 0
        found = layout.finding if domain.identity and domain.identity.devices else ()
        still: dict[int, None] = dict.fromkeys(found)
        moving: list[int] = []
        codes: list[str] = []
        plain: list[tuple[int, _Field]] = []
        lines = []
        for line, line_fields in zip(layout.lines, layout.fields):
            fields = []
            for field in line_fields:
                at = field.position
                value = values[at]
                number = type(value) is int and 0 <= value <= field.last
                text = None if number else field.text(value)
                if self._moved >> at & 1 and at not in found and (number or text is not None):
                    if number:
                        fields.append(f"{field.prefix}%s{field.suffix}")
                        codes.append(field.code)
                        moving.append(at)
                    else:
                        fields.append(f"{field.prefix}%s")
                        plain.append((len(moving) + len(plain), field))
                    continue
                still[at] = None
                if number:
                    fields.append(f"{field.prefix}{value}{field.suffix}")
                elif text is not None:
                    fields.append(field.prefix + _literal(text))
            if fields:
                head = _literal(line_head(line, domain, tags))
                lines.append(f"{head} {','.join(fields)} {TIMESTAMP_MARK}\n")
        self._plain = tuple(plain)
        self._format = "".join(lines)
        # Keep the constant values as two objects, not as the statistics themselves: many small
        # objects would fragment the memory that the next batch needs. The tuples are made of lists:
        # of generators they would be allocated larger and then shrunk.
        self._texts = _getter(tuple([at for at in still if isinstance(values[at], str)]))
        texts = self._texts(values)
        self._known_texts = _joined(texts)
        self._usable = not any(TIMESTAMP_MARK in str(text) for text in texts)
        self._numbers = _getter(tuple([at for at in still if not isinstance(values[at], str)]))
        self._known_numbers = dumps(self._numbers(values), _MARSHAL)
        self._moving = _getter(tuple(moving))
        self._fits = _packer("".join(codes))

    def fill(self, domain: Domain) -> Optional[str]:
        """The lines, with TIMESTAMP_MARK for the timestamp; None if a new template is needed."""
        stats = domain.stats
        if hash(tuple(stats)) != self._keys or domain.active is not self._active:
            return None
        if domain.identity is not self._identity:
            return None
        values = tuple(stats.values())
        if _joined(self._texts(values)) != self._known_texts or not self._usable:
            return None
        if dumps(self._numbers(values), _MARSHAL) != self._known_numbers:
            return None
        moving: tuple[Any, ...] = self._moving(values)
        try:
            self._fits(*moving)  # the fastest check that none needs a conversion
        except struct.error:
            return None
        if self._plain:
            filled = self._with_plain(moving, values)
            if filled is None:
                return None
            text = self._format % filled
        else:
            text = self._format % moving
        # struct accepts bools; detect them by their text, True or False.
        if ("True" in text or "False" in text) and not _INTEGERS.issuperset(map(type, moving)):
            return None
        return text

    def _with_plain(self, moving: _Values, values: _Values) -> Optional[_Values]:
        """The integers, with the texts of the other moving values in between; or None."""
        mixed = [*moving]
        for place, field in self._plain:
            text = field.text(values[field.position])
            if text is None:
                return None
            mixed.insert(place, text)
        return tuple(mixed)

    def _moves(self, values: _Values) -> int:
        """A bit for each value that has changed since the template was made, or before."""
        changed = self._moved
        positions: tuple[Any, ...] = self._numbers(tuple(range(len(values))))
        for at, old in zip(positions, loads(self._known_numbers)):
            if type(old) is not type(values[at]) or old != values[at]:
                changed |= 1 << at
        return changed


def line_head(line: LaidOutLine, domain: Domain, tags: Mapping[str, str]) -> str:
    """The measurement and all tags of a line, including ``tags``, escaped."""
    all_tags = {**tags, **line_tags(line, domain)}
    return escape_measurement(line.measurement) + format_tags(all_tags)


def _joined(texts: _Values) -> Optional[str]:
    """These texts as one, or None if one is not a text. The texts of a usable template do not
    have TIMESTAMP_MARK in them, so no other texts give the same result."""
    try:
        return TIMESTAMP_MARK.join(texts)  # type: ignore[arg-type]  # TypeError is expected
    except TypeError:
        return None


def _literal(text: str) -> str:
    """The text, escaped for a format string."""
    return text.replace("%", "%%")


# Templates share the functions below, which saves 3 MiB at 1000 guests of the same keys.
@lru_cache(maxsize=1024)
def _packer(codes: str) -> Callable[..., bytes]:
    return struct.Struct(f"={codes}").pack


@lru_cache(maxsize=1024)
def _getter(positions: tuple[int, ...]) -> Callable[[_Values], _Values]:
    """A function that takes these positions out of a tuple, always as a tuple."""
    if not positions:
        return lambda values: ()
    if len(positions) == 1:
        return itemgetter(slice(positions[0], positions[0] + 1))
    getter: Any = itemgetter(*positions)
    return getter  # type: ignore[no-any-return]  # operator's own types say Any

"""Lines of a domain the fast way: one format string, filled with all that moves at once.

Rule guarded: the bytes are those of the plain way. Whatever a template was not made for (other
keys, a value that stood still until now, one of another type or beyond its limits) is noticed,
and the template is made anew.

Most of what libvirt reports of a domain stays the same from tick to tick: limits, sizes, names,
counters of errors and of idle disks. So a template begins with all values in its text, and those
that are seen to change become places to fill in.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from marshal import dumps, loads
from operator import itemgetter
from typing import Any, Callable, Optional

from .domain import Domain, Value
from .lineprotocol import (
    INT64_MAX,
    UINT32_MAX,
    UINT64_MAX,
    escape_key,
    escape_measurement,
    format_tags,
    format_value,
)
from .schema import Type
from .translate import LaidOutField, LaidOutLine, convert

#: Stands for the timestamp in the lines. No text of libvirt's can have it; where one of the
#: configuration does, there is no fast way.
STAMP = "\x00"

#: marshal's last version that writes equal values as equal bytes; they tell 1, 1.0 and True apart.
_MARSHAL = 2

_INTEGERS = frozenset({int})
_INTEGER_TYPES = (Type.INT, Type.UINT, Type.LLONG, Type.ULLONG, None)
_UNSIGNED_TYPES = (Type.UINT, Type.ULLONG)

_Values = tuple[Value, ...]


class _Field:
    """One field of a line: where its value stands among the domain's, and how it is written."""

    def __init__(self, field: LaidOutField, position: int, uint_support: bool) -> None:
        self.position = position
        self.prefix = _literal(f"{escape_key(field.name)}=")
        unsigned = uint_support and field.type in _UNSIGNED_TYPES
        self.suffix = "u" if unsigned else "i"
        #: The numbers from 0 on that are written as they are: as struct names them, and the last.
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
        """The value as the plain way writes it, or None."""
        return self._bools[value] if type(value) is bool else self._format(value)

    def _format(self, value: Value) -> Optional[str]:
        return format_value(convert(value, self._type), self._uint_support)


class _Line:
    """One line: its measurement and tags, but for the domain's name, and its fields."""

    def __init__(self, line: LaidOutLine, fields: list[_Field], tags: Mapping[str, str]) -> None:
        others = {**tags, **dict(line.tags)}
        before = {name: value for name, value in others.items() if name < line.subject}
        after = {name: value for name, value in others.items() if name > line.subject}
        self._start = _literal(escape_measurement(line.measurement) + format_tags(before))
        self._subject = _literal(f",{escape_key(line.subject)}=")
        self._end = _literal(format_tags(after))
        self.fields = fields

    def head(self, name: str) -> str:
        """The measurement and all tags; ``name`` is the domain's, escaped."""
        return f"{self._start}{self._subject if name else ''}{name}{self._end}"


class Form:
    """The lines of a set of keys: what the templates of all domains with these keys share."""

    def __init__(
        self,
        keys: tuple[str, ...],
        lines: Iterable[LaidOutLine],
        tags: Mapping[str, str],
        uint_support: bool,
    ) -> None:
        #: Instead of the keys themselves: they are thousands of strings, fresh in each tick, that
        #: the processor would have to fetch one by one, while Python knows the hash of each.
        self.fingerprint = hash(keys)
        at = {key: number for number, key in enumerate(keys)}
        self.lines = [
            _Line(line, [_Field(f, at[f.key], uint_support) for f in line.fields], tags)
            for line in lines
        ]


class Template:
    """The lines of one domain, for as long as its keys stay, and what stood still stands still.

    ``before`` is the template that did not do any more: what moved for it moves here as well.
    """

    __slots__ = (
        *("_active", "_fits", "_format", "_keys", "_known_numbers", "_known_texts", "_moved"),
        *("_moving", "_numbers", "_plain", "_texts", "_usable", "settled"),
    )

    def __init__(self, form: Form, domain: Domain, before: Optional[Template]) -> None:
        values = tuple(domain.stats.values())
        #: Whether it knows by another one what moves: the first one is there for that only.
        self.settled = before is not None
        self._keys = form.fingerprint
        self._active = domain.active
        same = before is not None and before._keys == self._keys
        #: A bit for each position: sets of them would take more memory than the lines.
        self._moved = before._moves(values) if before and same else 0
        still: dict[int, None] = {}
        moving: list[int] = []
        codes: list[str] = []
        plain: list[tuple[int, _Field]] = []
        lines = []
        name = _literal(escape_key(domain.name))
        for line in form.lines:
            fields = []
            for field in line.fields:
                at = field.position
                value = values[at]
                number = type(value) is int and 0 <= value <= field.last
                text = None if number else field.text(value)
                if self._moved >> at & 1 and (number or text is not None):
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
                lines.append(f"{line.head(name)} {','.join(fields)} {STAMP}\n")
        self._plain = tuple(plain)
        self._format = "".join(lines)
        self._usable = self._format.count(STAMP) == len(lines)
        # Little is kept for each domain, and nothing of its statistics themselves: each object that
        # stays keeps the memory around it from being taken as a whole for the next tick's.
        self._texts = _getter(tuple(at for at in still if isinstance(values[at], str)))
        self._known_texts = _joined(self._texts(values))
        self._numbers = _getter(tuple(at for at in still if not isinstance(values[at], str)))
        self._known_numbers = dumps(self._numbers(values), _MARSHAL)
        self._moving = _getter(tuple(moving))
        self._fits = _packer("".join(codes))

    def fill(self, domain: Domain) -> Optional[str]:
        """The lines with STAMP for the timestamp, or None where they have to be made anew."""
        stats = domain.stats
        if hash(tuple(stats)) != self._keys or domain.active is not self._active:
            return None
        values = tuple(stats.values())
        if _joined(self._texts(values)) != self._known_texts or not self._usable:
            return None
        if dumps(self._numbers(values), _MARSHAL) != self._known_numbers:
            return None
        moving: tuple[Any, ...] = self._moving(values)
        try:
            self._fits(*moving)  # the quickest way to see that each can be written as it is
        except struct.error:
            return None
        if self._plain:
            filled = self._with_plain(moving, values)
            if filled is None:
                return None
            text = self._format % filled
        else:
            text = self._format % moving
        # A bool fits as well; as a text it has one of these letters, and so may a name.
        if ("T" in text or "F" in text) and not _INTEGERS.issuperset(map(type, moving)):
            return None
        return text

    def _with_plain(self, moving: _Values, values: _Values) -> Optional[_Values]:
        """The integers with the texts of what else moves in between, or None."""
        mixed = [*moving]
        for place, field in self._plain:
            text = field.text(values[field.position])
            if text is None or STAMP in text:
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


def _joined(texts: _Values) -> Optional[str]:
    """These texts as one, or None if one is not a text. No text of a template that can be used
    has STAMP in it, so no others give the same."""
    try:
        return STAMP.join(texts)  # type: ignore[arg-type]  # whether all are texts is the question
    except TypeError:
        return None


def _literal(text: str) -> str:
    """A text that stays as it is in a format string."""
    return text.replace("%", "%%")


@lru_cache(maxsize=1024)
def _packer(codes: str) -> Callable[..., bytes]:
    return struct.Struct(f"={codes}").pack


@lru_cache(maxsize=1024)
def _getter(positions: tuple[int, ...]) -> Callable[[_Values], _Values]:
    """Takes these positions out of a tuple, always as a tuple."""
    if not positions:
        return lambda values: ()
    if len(positions) == 1:
        return itemgetter(slice(positions[0], positions[0] + 1))
    getter: Any = itemgetter(*positions)
    return getter  # type: ignore[no-any-return]  # operator's own types say Any

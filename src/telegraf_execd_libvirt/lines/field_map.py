"""The target of a key (measurement, tags, fields), from its declaration or from the key itself.

Invariant: the two ways agree. An undeclared key joins the metric with its prefix, so that a later
declaration changes nothing but the description.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Optional

from ..groups.schema import ANY, INDEX, Group, Metric, Type, is_index

#: Derived fields and derived metrics come after the declared ones.
_LAST = 1 << 30


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

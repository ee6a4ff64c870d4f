"""Which domains are read: by their names, and by their states.

Globs are Telegraf's: ``*``, ``?``, ``[a-z]``, ``[!a-z]``, ``{one,two}``, and a backslash before a
character without its special meaning.

Invariant: libvirt's own filters do what they can, so that other domains are not asked; the answer
is filtered again, so that a domain that has just changed its state is selected or dropped at once.
The time of a match is proportional to the length of the name, whatever the globs are: they become
one automaton whose states advance together, so no character is read twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Callable, Optional, Union

from .mistakes import Mistake, misnamed, unmatched
from .record import STATE_NAMES, Stats

#: libvirt's filters for lists and for bulk statistics: VIR_CONNECT_LIST_DOMAINS_RUNNING and so on,
#: with the same numbers as VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING.
_FILTERS = {"running": 0x10, "paused": 0x20, "shutoff": 0x40}
_OTHER_STATES = 0x80

#: Results that are kept; libvirt has at most 16,384 domains per hypervisor.
_REMEMBERED = 32_768

#: Limit of nested braces.
_DEEPEST = 20

#: The number of the state at the end of a name that matches.
_ACCEPT = -1

#: Whether a character fits one state.
_Test = Callable[[str], bool]

#: One element of a glob: a test for one character, or the alternatives of a pair of braces.
_Item = Union[_Test, "list[list[_Item]]"]


class Selection:
    """The domains with these ``names`` (empty: all), or with names that a glob of ``include``
    matches (empty: all); without those that a glob of ``exclude`` matches; in one of ``states``
    (empty: all), which are of STATE_NAMES."""

    def __init__(
        self,
        names: tuple[str, ...] = (),
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
        states: tuple[str, ...] = (),
    ) -> None:
        self._names = frozenset(names)
        self._include = compile_globs(include)
        self._exclude = compile_globs(exclude)
        self._globs = include
        self._states = frozenset(STATE_NAMES.index(name) for name in states)
        #: Whether names select, so that the domains have to be listed.
        self.by_name = bool(names or include or exclude)
        #: Whether states select, so that the group ``state`` has to be read.
        self.by_state = bool(states)
        #: The bits of libvirt's filters; 0 for all domains.
        self.flags = sum({_FILTERS.get(name, _OTHER_STATES) for name in states})

    def names(self, names: Iterable[str]) -> list[str]:
        """Those of these names that are selected."""
        return [name for name in names if self._selects(name)]

    def _selects(self, name: str) -> bool:
        if self._names and name not in self._names:
            return False
        if self._globs and not self._include.matches(name):
            return False
        return not self._exclude.matches(name)

    def missing(self, existing: Collection[str]) -> frozenset[str]:
        """The names of the option ``domains`` that are not among these."""
        return self._names.difference(existing)

    def mistakes(self, existing: Collection[str], selected: bool) -> list[Mistake]:
        """Probable mistakes, where these are the names of all domains, and whether any is
        ``selected``."""
        if not existing:
            return []
        found = misnamed(self.missing(existing), existing)
        if selected or found:
            return found
        if self._globs and not any(map(self._include.matches, existing)):
            return unmatched(self._globs, existing)
        help = f"it selects none of {len(existing)} domains"
        if not self.names(existing):
            return [Mistake("domain_exclude", "it matches each domain that is left", help)]
        return [Mistake("domain_state_include", "no domain is in one of these states", help)]

    def has_state(self, stats: Stats) -> bool:
        """Whether a domain with these statistics is in a selected state."""
        state: Optional[object] = stats.get("state.state")
        return not self._states or state in self._states


@lru_cache(maxsize=64)
def compile_globs(patterns: tuple[str, ...]) -> Globs:
    """Compile globs; raise ValueError with the position of the first mistake, counted from 1. The
    same globs are compiled once: their users share the results that are kept."""
    return Globs(patterns)


class Globs:
    """A set of globs. A name matches if one of them matches all of it; no globs match no name."""

    def __init__(self, patterns: Iterable[str]) -> None:
        #: The test of each state, and the states that follow a character that fits.
        self._states: list[tuple[_Test, frozenset[int]]] = []
        starts = [self._add(_Parser(text).sequence(), frozenset([_ACCEPT])) for text in patterns]
        self._start = frozenset[int]().union(*starts)
        self._known: dict[str, bool] = {}

    def matches(self, name: str) -> bool:
        if not self._start:
            return False  # do not cache names without globs
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[name] = self._match(name)
        return found

    def _match(self, name: str) -> bool:
        states = self._start
        for char in name:
            fitting = [state for state in states if state >= 0 and self._states[state][0](char)]
            states = frozenset[int]().union(*(self._states[state][1] for state in fitting))
        return _ACCEPT in states

    def _add(self, items: list[_Item], after: frozenset[int]) -> frozenset[int]:
        """Add the states of a sequence that ``after`` follows; return those that it begins with."""
        for item in reversed(items):
            number = len(self._states)
            if isinstance(item, list):
                after = frozenset[int]().union(*[self._add(choice, after) for choice in item])
            elif item is _star:
                after |= {number}
                self._states.append((item, after))
            else:
                self._states.append((item, after))
                after = frozenset([number])
        return after


def _star(char: str) -> bool:
    return True


class _Parser:
    """Reads one glob from left to right; ``_at`` is the index of the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def sequence(self, depth: int = 0, ends: str = "") -> list[_Item]:
        """The elements up to one of the characters in ``ends``, or to the end of the glob."""
        items: list[_Item] = []
        while self._at < len(self._text) and self._text[self._at] not in ends:
            start, char = self._at, self._next()
            if char == "*":
                items += [] if items[-1:] == [_star] else [_star]
            elif char == "?":
                items.append(lambda char: True)
            elif char == "[":
                items.append(self._character_class(start))
            elif char == "{":
                items.append(self._alternatives(start, depth + 1))
            else:
                items.append(self._unescaped(char).__eq__)
        return items

    def _alternatives(self, start: int, depth: int) -> list[list[_Item]]:
        if depth > _DEEPEST:
            raise _error(start, f"more than {_DEEPEST} nested braces")
        choices = [self.sequence(depth, ",}")]
        while self._next_before("}", start) == ",":
            choices.append(self.sequence(depth, ",}"))
        return choices

    def _character_class(self, start: int) -> _Test:
        """A class: ``[abc]``, ``[a-z]``, ``[a-cx-z]``; a leading ``!`` inverts it."""
        inverted = self._text.startswith("!", self._at)
        self._at += inverted
        ranges: list[tuple[str, str]] = []
        while (char := self._next_before("]", start)) != "]":
            low = high = self._unescaped(char)
            ahead = self._text[self._at : self._at + 2]
            if len(ahead) == 2 and ahead[0] == "-" and ahead[1] != "]":
                self._at += 1
                at = self._at
                high = self._unescaped(self._next())
                if high < low:
                    raise _error(at, f'the range "{low}-{high}" ends before it begins')
            ranges.append((low, high))
        if not ranges:
            raise _error(start, 'the "[" has no characters before its "]"')
        return lambda char: any(low <= char <= high for low, high in ranges) != inverted

    def _next_before(self, end: str, start: int) -> str:
        if self._at == len(self._text):
            raise _error(start, f'the "{self._text[start]}" has no "{end}"')
        return self._next()

    def _unescaped(self, char: str) -> str:
        """The character itself, or the one that follows a backslash."""
        if char != "\\":
            return char
        if self._at == len(self._text):
            raise _error(self._at - 1, "no character follows the backslash")
        return self._next()

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1]


def _error(index: int, text: str) -> ValueError:
    return ValueError(f"character {index + 1}: {text}")

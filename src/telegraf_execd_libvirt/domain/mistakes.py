"""What is probably a mistake in the options that select domains, and what helps.

Invariant: nothing is a mistake on a hypervisor without domains.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import NamedTuple

#: Names for which the most similar one is looked for: that is slow if there are many domains.
_MOST_HINTS = 10


class Mistake(NamedTuple):
    """A mistake in an option, and what helps."""

    option: str
    text: str
    help: str

    def __str__(self) -> str:
        return f"{self.option}: {self.text}; {self.help}"


def misnamed(names: Collection[str], existing: Collection[str]) -> list[Mistake]:
    """``names`` of the option ``domains`` that are not among those of all domains."""
    return [
        Mistake("domains", f'there is no domain "{name}"', _hint(name, existing, number))
        for number, name in enumerate(sorted(names))
    ]


def unmatched(globs: Collection[str], existing: Collection[str]) -> list[Mistake]:
    """``globs`` of the option ``domain_include`` that match none of all domains."""
    return [
        Mistake("domain_include", f'no domain matches "{glob}"', _hint(glob, existing, number))
        for number, glob in enumerate(globs)
    ]


def _hint(name: str, existing: Collection[str], number: int) -> str:
    by_folded = {each.strip().casefold(): each for each in existing}
    if number < _MOST_HINTS:
        close = difflib.get_close_matches(name.strip().casefold(), by_folded, n=1)
        if close:
            return f'did you mean "{by_folded[close[0]]}"?'
    return "virsh list --all --name shows the names"

"""What is probably a mistake in the options that select domains, and what helps.

Invariant: nothing is a mistake on a hypervisor without domains.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

#: Names for which the most similar one is looked for: that is slow if there are many domains.
_MOST_HINTS = 10


def similar(name: str, names: Iterable[str], least: float = 0.6) -> list[str]:
    """The name that is most similar to this one, if any is at ``least`` so similar: 1 is equal."""
    from difflib import get_close_matches  # imported here: costs 0.4 MiB and is seldom needed

    return get_close_matches(name, [*names], 1, least)


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
        close = similar(name.strip().casefold(), by_folded)
        if close:
            return f'did you mean "{by_folded[close[0]]}"?'
    return "virsh list --all --name shows the names"

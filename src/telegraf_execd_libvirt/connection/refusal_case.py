"""One kind of failed connection attempt: the words of its message, its consequence, what helps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import ErrorKind

LOST, DENIED, WRONG = ErrorKind.LOST, ErrorKind.DENIED, ErrorKind.WRONG_URI


@dataclass(frozen=True)
class Case:
    """``words`` is a regular expression for the message; ``transports`` are those of the URI for
    which the case counts, all if there are none."""

    words: str
    kind: ErrorKind
    advice: str
    transports: frozenset[str] = frozenset()


def case(words: str, kind: ErrorKind, advice: str, transports: Iterable[str] = ()) -> Case:
    """A case for these transports."""
    return Case(words, kind, advice, frozenset(transports))

"""The declaration of a source: its name, its metrics, its interval, and the function that reads it.

Invariant: a source imports nothing of libvirt and starts no thread. It asks through its scope, and
yields one record for each line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Optional

from ..domain.record import Domain
from ..groups.schema import Group

if TYPE_CHECKING:
    from .scope import Scope

#: Yields the records of one moment. Raises LibvirtError only if nothing can be asked.
Fetch = Callable[["Scope"], Iterator[Domain]]

#: Nanoseconds.
MINUTE = 60 * 1_000_000_000


@dataclass(frozen=True)
class Source:
    """One source; its name is that of its group.

    ``new`` makes the function that reads the source, once for each of its connections; the function
    may keep state. ``interval`` is the default in nanoseconds, 0: at each tick. ``options``
    are those of its table beside ``interval`` and ``timeout``, with their defaults, whose types
    they have: bool or tuple of str. ``lanes`` is the number of
    connections among which its domains are divided. With ``read_only=False`` it needs a connection
    with more rights; ``advice`` says how to grant them.
    """

    group: Group
    new: Callable[[], Fetch]
    interval: int = 0
    lanes: int = 1
    read_only: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    advice: str = ""

    @property
    def name(self) -> str:
        """The name in ``additional_statistics``."""
        return self.group.name


@dataclass(frozen=True)
class SourceTable:
    """The table of a source in a configuration; durations in nanoseconds, None: the default."""

    interval: Optional[int] = None
    timeout: Optional[int] = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """The table of a source, with defaults for the options that a configuration does not set."""

    interval: int
    timeout: int
    options: Mapping[str, Any]

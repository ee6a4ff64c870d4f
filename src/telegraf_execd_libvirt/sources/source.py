"""The declaration of a source: its name, its metrics, its interval, and the function that reads it.

Invariant: a source imports nothing of libvirt and starts no thread. It asks through its scope, and
yields one record for each line.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Callable, NamedTuple, Optional, Protocol

from ..domain.devices import Devices
from ..domain.record import Domain
from ..groups.schema import Group, Metric

#: A domain, pool, network and so on.
Handle = Any


class Scope(Protocol):
    """What a source can ask in a fetch: scope.py and calls.py explain it, and import libvirt."""

    counted: int
    error: Any
    held: Any

    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def timeout(self) -> float: ...
    @property
    def dropped(self) -> Mapping[str, int]: ...
    @property
    def uri(self) -> str: ...
    @property
    def sees_all(self) -> bool: ...

    def domains(
        self,
        active: bool = False,
        any_state: bool = False,
        hung: bool = False,
        arriving: bool = True,
    ) -> Iterator[Handle]: ...
    def having(self, filter: int) -> Optional[frozenset[str]]: ...
    def selects(self, name: str) -> bool: ...
    def is_hung(self, handle: Handle) -> bool: ...

    def uuid(self, handle: Handle) -> str: ...
    def name(self, handle: Handle) -> str: ...
    def xml(self, handle: Handle) -> ET.Element: ...
    def devices(self, handle: Handle) -> Devices: ...
    def inventory(self, handle: Handle, kind: str) -> Sequence[Mapping[str, str]]: ...
    def changes(self, handle: Handle) -> Optional[Sequence[str]]: ...
    def tags(self, handle: Handle) -> Mapping[str, str]: ...
    def last_tags(self, uuid: str) -> Mapping[str, str]: ...
    def domain(
        self, handle: Handle, prefix: str, keys: Mapping[str, Any], **tags: str
    ) -> Domain: ...

    def host(self, method: str, *arguments: Any) -> Any: ...
    def call(self, handle: Handle, method: str, *arguments: Any) -> Any: ...
    def call_present(self, handle: Handle, method: str, *arguments: Any) -> Any: ...
    def quietly(self, handle: Handle, method: str, *arguments: Any) -> Any: ...
    def set(self, handle: Handle, method: str, value: Any) -> bool: ...
    def changed(
        self, handle: Handle, method: str, value: Any, usual: Any
    ) -> AbstractContextManager[list[bool]]: ...

    def hold(self, error: Any) -> None: ...
    def drop(self, count: int, text: str) -> None: ...
    def lack(self, text: str) -> None: ...


#: Yields the records of one moment. Raises LibvirtError only if nothing can be asked.
Fetch = Callable[[Scope], Iterator[Domain]]


class Listener(Protocol):
    """A function that reads a source and counts events between two fetches."""

    def __call__(self, scope: Scope) -> Iterator[Domain]: ...

    def happened(self, kind: int, uuid: str, name: str, arguments: tuple[Any, ...]) -> None:
        """Takes an event of this kind about a domain, with what else libvirt passes, in libvirt's
        event thread."""


#: Nanoseconds.
MINUTE = 60 * 1_000_000_000


class Option(NamedTuple):
    """An option that only one source has; ``default`` has its type: bool or tuple of str.

    ``comment`` explains it in the sample configuration, ``help`` in the documentation.
    """

    name: str
    default: Any
    comment: str
    help: str


@dataclass(frozen=True)
class Source:
    """One source; ``name`` is its name in ``additional_statistics``, and that of its file.

    ``summary`` explains it in the sample configuration. The documentation has ``reads``, by default
    the summary, and ``calls``: which calls of libvirt it makes, and how often.

    ``new`` makes the function that reads the source, once for each of its lanes; the function may
    keep state. ``interval`` is the default in nanoseconds, 0: at each tick. ``options`` are those
    of its table beside ``interval`` and ``timeout``. ``lanes`` is the number of parts into which
    its domains are divided, to be fetched at the same time. ``events`` are the kinds of libvirt's
    events (VIR_DOMAIN_EVENT_ID_*) that the function gets, see :class:`Listener`. With
    ``read_only=False`` it needs a connection with more rights; ``advice`` says how to grant them.
    A timeout in nanoseconds below ``least_timeout`` is probably a mistake.
    ``inventory`` has the kinds of info lines whose tags it needs.
    ``counts`` says what the scope has ``counted``, and ``none`` what helps if that is nothing.
    ``empty`` says why a fetch without an error may have no lines.
    """

    name: str
    summary: str
    calls: str
    new: Callable[[], Fetch]
    metrics: tuple[Metric, ...]
    reads: str = ""
    interval: int = 0
    lanes: int = 1
    events: tuple[int, ...] = ()
    read_only: bool = True
    least_timeout: int = 0
    options: tuple[Option, ...] = ()
    advice: str = ""
    inventory: tuple[str, ...] = ()
    counts: str = ""
    none: str = ""
    empty: str = ""

    @property
    def group(self) -> Group:
        """Its metrics as a group of statistics, which libvirt's bulk statistics do not have."""
        return Group(self.name, self.metrics)

    @property
    def defaults(self) -> dict[str, Any]:
        """The default of each option."""
        return {option.name: option.default for option in self.options}


class SourceTable(NamedTuple):
    """The table of a source in a configuration; durations in nanoseconds, None: the default."""

    interval: Optional[int] = None
    timeout: Optional[int] = None
    options: Mapping[str, Any] = MappingProxyType({})


class Settings(NamedTuple):
    """The table of a source, with defaults for the options that a configuration does not set."""

    interval: int
    timeout: int
    options: Mapping[str, Any]

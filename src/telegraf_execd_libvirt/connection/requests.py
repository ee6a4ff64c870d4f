"""What a configuration wants of each connection, the requests to it, and the parts of its answers.

Invariant: data only, without libvirt's objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Callable, NamedTuple, Optional, Union

from ..domain.mistakes import Mistake
from ..domain.record import Domain, Identity, Stats
from ..domain.selection import Selection
from ..groups import STATISTICS_GROUPS
from ..groups.schema import Group
from .errors import LibvirtError

_ALL_GROUPS = 0

#: The bits of groups that this program does not know, and the name that stands for them in the
#: groups of a request. libvirt ignores the bits of those that it does not have.
_OTHER_BITS = 0x7FFFFFFF & ~sum(group.bit for group in STATISTICS_GROUPS.values())
OTHERS = "others"

#: Names of groups.
Groups = frozenset[str]


@dataclass(frozen=True)
class Wanted:
    """What to read: the groups, or with ``everything`` all groups of the driver, known or not.
    ``mapping`` adds the mapping of vCPUs, ``identity`` the domains' XML, ``host`` the host;
    ``sources``: there are sources, which want these kinds of ``events``."""

    groups: Sequence[Group]
    selection: Selection
    everything: bool = False
    backing_chain: bool = False
    bulk: bool = True
    mapping: bool = False
    identity: bool = False
    host: bool = False
    events: frozenset[int] = frozenset()
    sources: bool = False

    def groups_of(self, due: Optional[Groups]) -> Sequence[Group]:
        """The groups to read of those that are ``due`` (None: of all), with ``state`` if states
        select domains."""
        groups = [g for g in self.groups if g.name in due] if due is not None else self.groups
        state = STATISTICS_GROUPS["state"]
        if self.selection.by_state and state not in groups:
            return [*groups, state]
        return groups

    def mask(self, request: BatchRequest) -> Optional[int]:
        """The bits of the groups of a request; None if there are none."""
        cut = request.no_monitor or request.without_block
        if request.groups is None and not cut:
            return self._mask
        groups = self.groups_of(request.groups)
        left_out = {g.name for g in groups if request.no_monitor and g.needs_monitor}
        if request.without_block:
            left_out.add("block")
        bits = sum(g.bit for g in groups if g.name not in left_out)
        if self.everything and OTHERS in (request.groups or ()) and not cut:
            bits |= _OTHER_BITS
        return bits or None

    @cached_property
    def _mask(self) -> Optional[int]:
        """The bits of all groups."""
        return _ALL_GROUPS if self.everything else sum(g.bit for g in self.groups_of(None)) or None


class Abandoned(Exception):
    """Nobody waits for the answer to a request any more: it must make no more calls."""


class Progress:
    """Where the current request of a connection is. The thread that serves it writes ``at``,
    ``since`` and the two about look-ups, and reads ``abandoned``; the engine does the opposite.
    Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """A new request."""
        #: The domain whose own call is running, empty if there is none; when this step began.
        self.at = ""
        self.since = now
        #: Whether domains are being looked up; when the last look-up ended.
        self.looks_up = False
        self.looked_up = 0.0
        #: Whether nobody waits for the answer.
        self.abandoned = False

    def step(self, at: str, now: float) -> None:
        """The next step, which may wait for this domain; raises Abandoned."""
        if self.abandoned:
            raise Abandoned
        self.at, self.since = at, now


_NOTHING: Mapping[str, Any] = MappingProxyType({})

#: UUIDs by name; a UUID that is not known is empty.
Uuids = Mapping[str, str]


class BatchRequest(NamedTuple):
    """Statistics of the domains of these names, or of all domains.

    With ``uuids`` no call is made about all domains: unknown ones are looked up, with ``look_up``
    each.
    With ``no_monitor`` only statistics that need no monitor are requested, ``without_block`` those
    of disks are left out. ``hung`` names domains whose own calls hang: only calls that need no
    monitor are made for them. For domains in ``skip`` only bulk statistics are requested. Of the
    wanted groups only these ``groups`` are requested (None: all). With ``divide`` a call that fails
    is made again for parts of the domains, so that one of them costs only itself.
    """

    names: Optional[Sequence[str]] = None
    uuids: Optional[Uuids] = None
    look_up: bool = False
    no_monitor: bool = False
    without_block: bool = False
    hung: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    groups: Optional[Groups] = None
    divide: bool = False


@dataclass(frozen=True)
class XmlRequest:
    """The XML of these domains, without those that are ``hung``; ``uuids`` as in BatchRequest."""

    names: Sequence[str]
    hung: frozenset[str] = frozenset()
    uuids: Optional[Uuids] = None


@dataclass(frozen=True)
class ControlRequest(XmlRequest):
    """The state of libvirt's control interface to these domains, which needs no monitor."""


class HostRequest:
    """The CPUs and the memory of the host."""


class ListRequest:
    """The names and UUIDs of all selected domains."""


class WatchRequest:
    """A subscription to all events that are wanted, until the connection is closed."""


class FetchRequest(NamedTuple):
    """One fetch of a source by the function ``fetch``, which takes a scope. ``timeout`` is the
    longest time for one call, in seconds. ``lane`` is the number of this fetch and the number of
    those among which the domains are divided. Domains in ``skipped`` hang. With ``uuids`` no call
    is made about all domains: these are asked."""

    fetch: Callable[[Any], Iterator[Domain]]
    options: Mapping[str, Any]
    timeout: float
    lane: tuple[int, int] = (0, 1)
    skipped: frozenset[str] = frozenset()
    uuids: Optional[Uuids] = None


Request = Union[BatchRequest, XmlRequest, HostRequest, ListRequest, WatchRequest]


class Listing(NamedTuple):
    """All selected domains, in libvirt's order, and the number of all domains if it is known;
    probable mistakes in the options that select them."""

    uuids: Uuids
    existing: Optional[int] = None
    mistakes: Sequence[Mistake] = ()


class Piece(NamedTuple):
    """Domains of a batch. ``incomplete`` names those that lack keys, ``due`` the domains
    whose XML should be read; a domain without an identity waits for it. ``uuids`` are those of the
    domains, if all were asked."""

    domains: list[Domain]
    incomplete: frozenset[str]
    due: Sequence[str] = ()
    uuids: Uuids = _NOTHING


class Identities(NamedTuple):
    """The identities of domains, by name."""

    found: Mapping[str, Identity]


class Controls(NamedTuple):
    """The keys about the control interfaces of domains, by name."""

    found: Mapping[str, Stats]


class Host(NamedTuple):
    """libvirt's records of the host, and the version of the hypervisor as a number; a record that
    the driver does not have is empty, and the number is 0."""

    info: Sequence[Any] = ()
    memory: Mapping[str, Any] = _NOTHING
    cpu: Mapping[str, Any] = _NOTHING
    version: int = 0


@dataclass(frozen=True)
class Records:
    """The answer to a fetch. ``worked``: a call succeeded; ``error`` is the last one of a call.
    ``held``: it is an earlier error, and nothing was asked now. ``dropped`` is what limits have
    left out: numbers by the texts for the log; ``counted`` of what the source says."""

    domains: list[Domain] = field(default_factory=list)
    worked: bool = False
    error: Optional[LibvirtError] = None
    held: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    counted: int = 0


#: A host that was not asked for.
NO_HOST = Host()

Content = Union[Listing, Piece, Identities, Controls, Host]

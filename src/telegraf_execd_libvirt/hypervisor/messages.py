"""What goes into the engine and what comes out of it: events and actions.

Invariant: data only. Times are seconds of one monotonic clock, timestamps are nanoseconds of Unix
time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional, Union

from ..connection.errors import LibvirtError, Unreachable
from ..connection.requests import (
    NO_HOST,
    Content,
    FetchRequest,
    Groups,
    Host,
    Progress,
    Records,
    Request,
)
from ..domain.record import Domain
from ..sources.source import Settings, Source
from .patience import FETCH_LINKS

#: What a connection can be asked.
Asked = Union[Request, FetchRequest]


@dataclass
class Plan:
    """What a configuration asks of the engine of one hypervisor. ``calls``: batches at the same
    time; ``by_name``: names select the domains; ``host``: read the host; ``control``: ask for the
    control interface of domains that do not respond; ``identity``: domains have one. ``intervals``
    has the seconds of each group if there are any, see :mod:`.schedule`; ``only``: ask for these
    groups."""

    name: str
    uri: str
    timeout: float
    timeout_text: str
    calls: int = 1
    by_name: bool = False
    host: bool = False
    control: bool = False
    identity: bool = True
    is_remote: bool = False
    sources: Sequence[tuple[Source, Settings]] = ()
    intervals: Mapping[str, float] = field(default_factory=dict)
    spread: bool = True
    only: Optional[Groups] = None

    @property
    def links(self) -> int:
        """The number of read-only connections that stay open between ticks."""
        lanes = sum(source.lanes for source, _ in self.sources if source.read_only)
        return self.calls + min(FETCH_LINKS, lanes)

    @property
    def others(self) -> int:
        """The number of read-write connections."""
        return max((s.lanes for s, _ in self.sources if not s.read_only), default=0)


class Link:
    """One connection to the hypervisor and its thread, as the engine sees them. It is an attempt
    until it is open."""

    def __init__(self, number: int, read_only: bool, started: float) -> None:
        self.number = number
        self.read_only = read_only
        self.started = started
        #: Where the current request is; the thread writes it.
        self.progress = Progress()
        #: The number of requests in a row whose error spoke of a lost connection.
        self.failures = 0


@dataclass
class TickDue:
    """A tick has arrived ``at`` this monotonic time; ``waits``: another one was collected or
    written then, so its timestamp is that of its beginning."""

    timestamp: int
    at: float
    waits: bool = False


@dataclass
class Opened:
    """A connection attempt has ended, with an error or without; ``defect``: the error is one of
    this program."""

    link: Link
    seconds: float
    error: Optional[LibvirtError] = None
    driver: str = ""
    version: str = ""
    defect: bool = False


@dataclass
class Part:
    """A part of the answer to a request that has not ended."""

    link: Link
    content: Content


@dataclass
class Ended:
    """A request has ended; ``last`` is the last part of its answer, ``defect`` an error of this
    program. ``alive``: whether the connection is usable."""

    link: Link
    seconds: float
    last: Optional[Union[Content, Records]] = None
    error: Optional[LibvirtError] = None
    defect: Optional[BaseException] = None
    alive: bool = True

    @property
    def stale(self) -> bool:
        """Whether the connection of the daemon to another one behind it is closed: libvirt opens it
        again for a new connection only."""
        return self.error is not None and self.error.is_closed


@dataclass
class Paused:
    """Nobody took events for this long, because the reader of stdout did not read."""

    seconds: float


@dataclass
class Defect:
    """A defect of this program has shown outside of requests."""

    text: str


@dataclass
class Open:
    """Start a thread that opens a connection."""

    link: Link


@dataclass
class Ask:
    """Hand a request to an idle connection."""

    link: Link
    request: Asked


@dataclass
class Close:
    """Close a connection and end its thread, after the request that may be running. ``lost``: it is
    dead, so the daemon and its domains may be different now."""

    link: Link
    lost: bool = False


@dataclass
class Say:
    """Log a message."""

    level: int
    text: str


@dataclass
class Reading:
    """Write these domains; ``incomplete`` names those without the keys that need their monitor."""

    domains: list[Domain]
    timestamp: int
    incomplete: frozenset[str] = frozenset()


@dataclass
class Fetched:
    """Write these records of the source with this number."""

    number: int
    domains: list[Domain]
    timestamp: int


@dataclass
class Outcome:
    """The end of a tick; ``trouble`` is the reason if nothing was read.

    ``incomplete`` names the domains without the keys that need their monitor, ``locked`` has those
    that libvirt has locked. Numbers: ``domains`` were read, ``untagged`` ones of them without XML,
    ``unread`` ones were not; ``existing`` ones are there, if that is known; ``hanging`` requests
    and connection attempts. ``resting`` names the domains for which nothing was due; they count as
    read. ``longest``: the seconds of the longest request, until now if it hangs.
    """

    timestamp: int = 0
    seconds: float = 0.0
    domains: int = 0
    incomplete: frozenset[str] = frozenset()
    locked: Sequence[Domain] = ()
    unread: int = 0
    untagged: int = 0
    hanging: int = 0
    host: Host = NO_HOST
    existing: Optional[int] = None
    trouble: Optional[Unreachable] = None
    resting: frozenset[str] = frozenset()
    longest: float = 0.0

    @property
    def up(self) -> bool:
        return self.trouble is None


Event = Union[TickDue, Opened, Part, Ended, Paused, Defect]

#: What the consumer of a hypervisor gets.
Written = Union[Reading, Fetched, Outcome]

Action = Union[Open, Ask, Close, Say, Written]

"""One tick of one hypervisor: what is still to be requested, what has arrived, what to write when.

Invariant: each domain is requested for the first time in one batch only, and written at most once:
as soon as it is complete and its identity is known, or else at the end. No thread, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from ..connection.errors import ErrorKind, LibvirtError
from ..connection.requests import NO_HOST, BatchRequest, Groups, Host, Piece, XmlRequest
from ..domain.record import NO_IDENTITY, Domain, Identity, Stats
from .batch import Batch, Held
from .messages import Link, Reading
from .schedule import Schedule

#: Domains in one request for XML.
_XML_BATCH = 20


@dataclass(eq=False)
class Tick:
    """``began`` and ``deadline`` are monotonic times. ``hung`` names the domains that did not
    respond in the last tick and whose requests still hang: they are not waited for."""

    timestamp: int
    began: float
    deadline: float
    #: The last identities of domains, for those whose XML cannot be read.
    known: Mapping[str, Identity] = field(default_factory=dict)
    #: What is due; None: all groups of each domain.
    schedule: Optional[Schedule] = None
    hung: frozenset[str] = frozenset()
    batches: list[Batch] = field(default_factory=list)
    queue: deque[Batch] = field(default_factory=deque)
    #: The connection of a call about all domains that has exceeded its patience, until it ends:
    #: meanwhile domains are looked up one by one.
    hung_list: Optional[Link] = None
    #: The monotonic time at which the first hung request was found.
    hung_at: Optional[float] = None
    retries: int = 0
    retry_at: float = 0.0
    #: The seconds of the longest batch of statistics, by its groups, and of the longest request.
    took: dict[Optional[Groups], float] = field(default_factory=dict)
    longest: float = 0.0
    #: The seconds in which nobody read stdout.
    paused: float = 0.0
    #: The batches that failed for good, and why; whether no connection can be made.
    failures: int = 0
    error: Optional[LibvirtError] = None
    refused: bool = False
    host: Host = NO_HOST
    #: The keys about the control interfaces of domains that do not respond.
    controls: Mapping[str, Stats] = field(default_factory=dict)
    #: The UUIDs of the selected domains by name; whether all are known, and none is to be asked.
    uuids: dict[str, str] = field(default_factory=dict)
    listed: bool = False
    empty: bool = False
    #: The names of the domains for which nothing is due, and which are there.
    resting: set[str] = field(default_factory=set)
    #: What is to be written.
    ready: list[Reading] = field(default_factory=list)
    _asked: set[str] = field(default_factory=set)
    _identifying: set[str] = field(default_factory=set)
    _written: set[str] = field(default_factory=set)
    _held: dict[str, Held] = field(default_factory=dict)
    _untagged: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        """The number of domains that were read, the held ones included, and those for which
        nothing was due."""
        return len(self._written) + len(self._held) + len(self.resting)

    def has(self, name: str) -> bool:
        return name in self._written or name in self._held

    @property
    def read(self) -> bool:
        """Whether anything was read; a hypervisor without domains counts as read."""
        if self.empty or self._written or self._held:
            return True
        return any(batch.done and batch.has_statistics for batch in self.batches)

    @property
    def incomplete(self) -> frozenset[str]:
        """The names of the domains that are held because they lack keys."""
        if not self._held:
            return frozenset()  # the usual case
        return frozenset(name for name, held in self._held.items() if held.incomplete)

    @property
    def untagged(self) -> int:
        """The number of domains whose XML could not be read in this tick."""
        return len(self._untagged) + sum(h.domain.identity is None for h in self._held.values())

    @property
    def unread(self) -> int:
        """The number of listed domains that were not read."""
        return sum(len(b.names) for b in self.batches if b.has_statistics and not b.done)

    @property
    def lacks(self) -> bool:
        """Whether a request that hangs may still bring something that is worth waiting for."""
        nameless = any(held.domain.identity is None for held in self._held.values())
        return bool(self.unread or not self.read or nameless or self.incomplete - self.hung)

    def enqueue(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.queue.append(batch)

    def add(
        self,
        names: Iterable[str],
        size: int,
        first: Optional[Batch] = None,
        rest: bool = True,
    ) -> None:
        """Queues batches of this size for the domains that are not in one; ``first`` becomes the
        first one. Domains for which nothing is due may ``rest``, or else are only looked up."""
        self.listed = True
        new = [name for name in names if name not in self._asked] if self._asked else [*names]
        self._asked.update(new)
        requests = [*self.requests(new, size, rest)]
        if first is not None:
            first.request, *requests = requests or [BatchRequest(())]
        for request in requests:
            self.enqueue(Batch(request))

    def requests(self, names: Sequence[str], size: int, rest: bool) -> Iterator[BatchRequest]:
        parts = self.schedule.split(names) if self.schedule is not None else {None: names}
        for groups, some in parts.items():
            if groups is not None and not groups and rest:
                self.resting.update(some)
                continue
            for at in range(0, len(some), size):
                yield BatchRequest(some[at : at + size], groups=groups)

    def leave_out(self, name: str, batch: Batch) -> None:
        """A locked domain is not asked for now."""
        if isinstance(batch.request, BatchRequest):
            names = [other for other in batch.names if other != name]
            batch.request = batch.request._replace(names=names)
            batch.done = not names
            self._asked.discard(name)

    def done(self, batch: Batch, seconds: float) -> None:
        """Notes that a request has brought its whole answer."""
        batch.done = True
        if batch in self.queue:
            self.queue.remove(batch)
        if batch.has_statistics and isinstance(batch.request, BatchRequest):
            groups = batch.request.groups
            self.took[groups] = max(self.took.get(groups, 0.0), seconds)

    def fail(self, error: LibvirtError, batch: Batch, connections: int, old: bool) -> None:
        """Queues a batch again, or notes that it has failed for good. A lost connection does not
        fail a batch while another connection may be alive, and does not count at all if it is
        ``old``: open since before the tick. If a guest's QEMU dies during a call, the call fails
        for the whole batch; a repeat succeeds, or is divided."""
        batch.failures += not old
        most = connections + 1 if error.kind is ErrorKind.LOST else 1
        passes = error.kind in (ErrorKind.LOST, ErrorKind.FAILED, ErrorKind.BUSY)
        if passes and batch.failures <= most:
            if isinstance(batch.request, BatchRequest):
                batch.request = batch.request._replace(divide=True)
            self.queue.appendleft(batch)
        elif batch.has_statistics or batch.lists:
            self.error = error
            # If even single domains are too large for an answer, all other batches fail as well.
            final = batch.lists or error.kind is ErrorKind.TOO_LARGE
            self.failures += 2 if final else 1

    def accept(self, piece: Piece, asked: float) -> None:
        """Takes domains that were asked at this time. Those that lack keys or an identity are held
        back, those that were written are dropped. XML goes before further batches."""
        if self.schedule is not None:
            self.schedule.take(piece)
        domains, names = piece.domains, {domain.name for domain in piece.domains}
        if piece.incomplete or piece.due or self._held or not names.isdisjoint(self._written):
            domains = [*self._whole(piece, asked)]
            names = {domain.name for domain in domains}
            piece.domains.clear()
        self._write(domains, names, asked)
        due = [name for name in piece.due if name not in self._identifying]
        self._identifying.update(due)
        for at in range(0, len(due), _XML_BATCH):
            batch = Batch(XmlRequest(due[at : at + _XML_BATCH]))
            self.batches.append(batch)
            self.queue.appendleft(batch)

    def _whole(self, piece: Piece, asked: float) -> Iterator[Domain]:
        for domain in piece.domains:
            name = domain.name
            if name in self._written:
                continue
            held = self._held.pop(name, None)
            if held is not None and domain.identity is None:
                domain = domain._replace(identity=held.domain.identity)
            if name in piece.incomplete or domain.identity is None:
                self._held[name] = Held(domain, asked, name in piece.incomplete)
            else:
                yield domain

    def identify(self, names: Iterable[str], found: Mapping[str, Identity]) -> None:
        """Takes the identities of these names; where one is not found the XML cannot be read."""
        ready = []
        for name in names:
            held = self._held.get(name)
            if held is None or held.domain.identity is not None:
                continue
            if name not in found:
                self._untagged.add(name)
            held.domain = self._identified(held.domain, found)
            if not held.incomplete:
                ready.append(self._held.pop(name))
        self._write_held(ready)

    def _identified(self, domain: Domain, found: Mapping[str, Identity]) -> Domain:
        """The domain with the identity that was found, or else its last one."""
        if domain.identity is not None:
            return domain
        identity = found.get(domain.name) or self.known.get(domain.name, NO_IDENTITY)
        return domain._replace(identity=identity)

    def end(self) -> None:
        """Writes the domains that are still held."""
        self._write_held(self._held.values())

    def _write_held(self, all_held: Iterable[Held]) -> None:
        by_time: dict[float, list[Domain]] = {}
        for held in all_held:
            by_time.setdefault(held.asked, []).append(self._identified(held.domain, self.known))
        for asked, domains in by_time.items():
            self._write(domains, {domain.name for domain in domains}, asked)

    def _write(self, domains: list[Domain], names: set[str], asked: float) -> None:
        """What was asked after another request had hung has the time at which it was asked."""
        if not domains:
            return
        self._written |= names.difference(self._held)
        late = asked - self.began if self.hung_at is not None and asked >= self.hung_at else 0.0
        timestamp, incomplete = self.timestamp + int(late * 1e9), self.incomplete & names
        for domain in domains if self.controls and incomplete else ():
            domain.stats.update(self.controls.get(domain.name, {}))
        self.ready.append(Reading(domains, timestamp, incomplete))

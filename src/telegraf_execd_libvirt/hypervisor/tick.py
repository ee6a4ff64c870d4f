"""One tick of one hypervisor: what is still to be requested, and what has arrived.

Invariant: each domain is requested for the first time in one batch only, also if the domains are
listed twice because a list call hung. No thread, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from ..connection.errors import ErrorKind, LibvirtError
from ..connection.requests import NO_HOST, BatchRequest, Host, HostRequest, Request, XmlRequest
from .delivery import Delivery

#: Domains in one request for XML.
_XML_BATCH = 20

#: If a guest's QEMU dies during a call, the call fails for the whole batch; a repeat succeeds.
_WORTH_ANOTHER_CALL = (ErrorKind.LOST, ErrorKind.FAILED, ErrorKind.BUSY)

#: The tick fails after this many failed batches if none was read.
_MOST_FAILED = 2


@dataclass(eq=False)
class Batch:
    """One request and its repeats; ``retry``: for domains that came incomplete."""

    request: Request
    retry: bool = False
    repeats: int = 0
    failures: int = 0
    done: bool = False

    @property
    def for_xml(self) -> bool:
        """Whether it brings XML."""
        return isinstance(self.request, XmlRequest)

    @property
    def has_statistics(self) -> bool:
        """Whether it brings domains for the first time."""
        return isinstance(self.request, BatchRequest) and not self.retry


@dataclass(eq=False)
class Tick:
    """``deadline`` is a monotonic time. ``stuck`` names the domains that did not respond in the
    last tick and whose requests still hang: they are not waited for."""

    deadline: float
    stuck: frozenset[str] = frozenset()
    delivery: Delivery = field(default_factory=Delivery)
    batches: list[Batch] = field(default_factory=list)
    queue: deque[Batch] = field(default_factory=deque)
    retries: int = 0
    retry_at: Optional[float] = None
    settle_until: float = 0.0
    #: The seconds of the longest request for a batch.
    longest: float = 0.0
    #: Why a batch failed for good.
    error: Optional[LibvirtError] = None
    #: Whether no connection can be made in this tick.
    refused: bool = False
    host: Host = NO_HOST
    _listed: bool = False
    _failed: int = 0
    _identifying: set[str] = field(default_factory=set)

    def begin(self, host: bool) -> None:
        """Queues the first requests."""
        self._enqueue(Batch(BatchRequest()))
        if host:
            self._enqueue(Batch(HostRequest()))

    def retry(self, names: Sequence[str]) -> None:
        """Queues one more request for domains that came incomplete."""
        self._enqueue(Batch(BatchRequest(names), retry=True))

    def _enqueue(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.queue.append(batch)

    @property
    def read(self) -> bool:
        """Whether anything was read; a hypervisor without domains counts as read."""
        return self.delivery.count > 0 or any(
            batch.done and batch.has_statistics for batch in self.batches
        )

    @property
    def failed(self) -> bool:
        """Whether there is no point in further requests."""
        return self._failed >= _MOST_FAILED and not self.read

    @property
    def unread(self) -> int:
        """The number of listed domains that were not read."""
        missing = [b.request for b in self.batches if not b.done and b.has_statistics]
        return sum(len(r.names or ()) for r in missing if isinstance(r, BatchRequest))

    @property
    def lacks(self) -> bool:
        """Whether a request that hangs may still bring something that is worth waiting for."""
        held = self.delivery
        return bool(
            self.unread or not self.read or held.unidentified or held.incomplete - self.stuck
        )

    def list(self, names: Sequence[str], batch: Batch) -> None:
        """Cuts the listed domains into batches; ``batch`` is the first one."""
        if self._listed or not isinstance(batch.request, BatchRequest):
            return
        self._listed = True
        size = batch.request.list_first
        batch.request = BatchRequest(names[:size])
        for start in range(size, len(names), size):
            self._enqueue(Batch(BatchRequest(names[start : start + size])))

    def identify(self, due: Sequence[str]) -> None:
        """Queues requests for XML, before those for further batches: domains wait for it."""
        names = [name for name in due if name not in self._identifying]
        self._identifying.update(names)
        for start in range(0, len(names), _XML_BATCH):
            batch = Batch(XmlRequest(names[start : start + _XML_BATCH]))
            self.batches.append(batch)
            self.queue.appendleft(batch)

    def done(self, batch: Batch, seconds: float) -> None:
        """Notes that a request has brought its whole answer."""
        batch.done = True
        if batch in self.queue:
            self.queue.remove(batch)
        if batch.has_statistics:
            self.longest = max(self.longest, seconds)

    def fail(self, error: LibvirtError, batch: Batch, connections: int) -> None:
        """Queues a batch again, or notes that it has failed for good. A lost connection does not
        fail a batch while another connection may be alive."""
        batch.failures += 1
        most = connections + 1 if error.kind is ErrorKind.LOST else 1
        if error.kind in _WORTH_ANOTHER_CALL and batch.failures <= most:
            self.queue.appendleft(batch)
        elif batch.has_statistics:
            self.error = error
            # If even single domains are too large for an answer, all other batches fail as well.
            self._failed += _MOST_FAILED if error.kind is ErrorKind.TOO_LARGE else 1

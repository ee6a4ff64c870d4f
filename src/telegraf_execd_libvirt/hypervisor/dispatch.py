"""Start requests, choose a connection for each, and find the requests that are overdue.

Invariant: a request that hangs is repeated beside the hung one, and the number of both is bounded.
This is the only place that applies the hang policy to requests.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Optional

from ..connection.requests import BatchRequest, Request, XmlRequest
from .patience import MOST_HANGING, MOST_HANGING_PER_DOMAIN, RETRY_PAUSES, Patience
from .pool import Pool
from .tick import Batch, Tick
from .worker import Worker

#: Domains in one batch. Larger batches need more memory, smaller ones more calls.
BATCH = 100

#: Connections that may serve requests for XML at once.
_XML_CALLS = 4


@dataclass
class Running:
    """A request that has not ended; ``overdue`` if it has taken longer than its patience."""

    batch: Batch
    tick: Tick
    started: float
    overdue: bool = False


class Dispatcher:
    """Runs up to ``parallel_calls`` requests at once. ``by_name``: names select the domains, so the
    domains must be listed first."""

    def __init__(self, pool: Pool, patience: Patience, by_name: bool, parallel_calls: int) -> None:
        #: All requests that have not ended, also those of earlier ticks.
        self.running: dict[Worker, Running] = {}
        #: The number of domains in the last tick; None if it is not known.
        self.count: Optional[int] = None
        self.parallel_calls = parallel_calls
        self._pool = pool
        self._patience = patience
        self._by_name = by_name

    def leave(self) -> None:
        """The tick is over: stop waiting for its requests."""
        for running in self.running.values():
            running.overdue = True

    def start(self, tick: Tick, now: float) -> None:
        """Hands batches to connections, as many as may run at once."""
        if tick.retry_at is not None and now >= tick.retry_at:
            tick.retry_at = None
            if names := self._retryable(tick):
                tick.retry(tuple(names))
        while (batch := self._next_batch(tick, now)) is not None:
            worker = self._pool.acquire()
            if worker is None:
                if not tick.refused:
                    tick.refused = not self._pool.connect()
                return
            tick.queue.remove(batch)
            request = self._request(batch, worker)
            self.running[worker] = Running(batch, tick, time.monotonic())
            worker.ask(request)

    def _next_batch(self, tick: Tick, now: float) -> Optional[Batch]:
        """The first queued batch that may start now. Hung requests for XML delay only requests for
        XML; other hung requests delay only requests of the other kinds."""
        slow = now - self._patience.slow_seconds()
        busy = sum(not r.overdue and r.started > slow for r in self.running.values())
        for batch in tick.queue:
            running = sum(r.batch.for_xml is batch.for_xml for r in self.running.values())
            if batch.for_xml:
                calls = most = max(self.parallel_calls, _XML_CALLS)
            else:
                calls = self.parallel_calls
                most = max(MOST_HANGING, calls) + self._no_monitor * calls
            if busy < calls and running < most:
                return batch
        return None

    @property
    def _no_monitor(self) -> bool:
        """Whether too many requests hang: only statistics without a monitor are requested then."""
        hung = sum(r.overdue and not r.batch.for_xml for r in self.running.values())
        return hung >= MOST_HANGING

    def _request(self, batch: Batch, worker: Worker) -> Request:
        """The request for a batch at this moment."""
        request = batch.request
        hangs = Counter(self._hung_at())
        stuck = frozenset(hangs)
        if isinstance(request, BatchRequest):
            if request.names is None:
                request = batch.request = self._first(worker)
            skip = frozenset(name for name in hangs if hangs[name] >= MOST_HANGING_PER_DOMAIN)
            return replace(request, no_monitor=self._no_monitor, stuck=stuck, skip=skip)
        return replace(request, stuck=stuck) if isinstance(request, XmlRequest) else request

    def _first(self, worker: Worker) -> BatchRequest:
        """The request for the first batch: all domains, if they are known to fit in it."""
        count = worker.count if self.count is None else self.count
        size = BATCH
        if self.parallel_calls > 1 and count:
            size = min(size, -(-count // self.parallel_calls))
        if self._by_name or count is None or count > size:
            return BatchRequest(list_first=size)
        return BatchRequest()

    def _retryable(self, tick: Tick) -> frozenset[str]:
        """The domains that came incomplete, perhaps because another client used them."""
        if self._no_monitor:
            return frozenset()
        return tick.delivery.incomplete.difference(tick.stuck, self._hung_at())

    def _hung_at(self) -> list[str]:
        """The domains whose own calls delay the overdue requests now."""
        return [w.at for w, running in self.running.items() if running.overdue and w.at]

    def plan_retry(self, tick: Tick) -> None:
        """Plans a request for the domains that came incomplete, after a pause."""
        under_way = any(batch.retry for batch in tick.queue) or any(
            r.batch.retry and not r.overdue for r in self.running.values()
        )
        if under_way or tick.retry_at is not None or tick.retries >= len(RETRY_PAUSES):
            return
        if self._retryable(tick):
            tick.retry_at = time.monotonic() + RETRY_PAUSES[tick.retries]
            tick.retries += 1

    def next_moment(self, tick: Tick, now: float) -> Optional[float]:
        """The monotonic time at which the wait for an answer ends; None if the tick is over."""
        if now >= tick.deadline or tick.failed:
            return None
        mine = [running for running in self.running.values() if running.tick is tick]
        in_time = [running for running in mine if not running.overdue]
        moments = [r.started + self._patience.seconds(r.batch.repeats) for r in in_time]
        if tick.queue:
            moments += [r.started + self._patience.slow_seconds() for r in in_time]
            moments.append(self._pool.attempt_deadline())
        moments.append(tick.settle_until if len(mine) < len(self.running) else 0.0)
        moments.append(tick.retry_at or 0.0)
        coming = [moment for moment in moments if moment > now]
        if coming or in_time:
            return min([tick.deadline, *coming])
        return tick.deadline if mine and tick.lacks else None

    def expire(self, tick: Tick) -> None:
        """Repeats the requests that have taken longer than their patience."""
        now = time.monotonic()
        for running in self.running.values():
            batch = running.batch
            if running.overdue or now < running.started + self._patience.seconds(batch.repeats):
                continue
            running.overdue = True
            if not batch.done and not batch.retry:
                batch.repeats += 1
                tick.queue.appendleft(batch)

    def runs(self, batch: Batch) -> bool:
        """Whether a request for this batch is still in time."""
        return any(r.batch is batch and not r.overdue for r in self.running.values())

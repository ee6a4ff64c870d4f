"""One tick of one hypervisor: batches go to connections, readings come back as they arrive.

Invariant: a tick ends within the timeout, and a request that hangs delays only the domains that
hang. A guest whose QEMU does not answer blocks a bulk call for its whole batch; a second call with
NOWAIT skips that guest. So a hung request is left alone and repeated beside it, by another
connection. What it still brings in time is used; what it brings later is dropped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from queue import Empty
from typing import Optional

from ..connection.errors import ErrorKind
from ..connection.requests import BatchRequest, Request, XmlRequest
from .delivery import Reading
from .patience import MOST_HANGING, MOST_HANGING_PER_DOMAIN, RETRY_PAUSES, SETTLE_SECONDS, Patience
from .pool import Pool
from .tick import Batch, Tick
from .worker import Answer, Ended, Opened, Worker

#: Domains in one batch. Larger batches need more memory, smaller ones more calls.
BATCH = 100

#: Connections that may serve requests for XML at once.
_XML_CALLS = 4


@dataclass
class _Running:
    """A request that has not ended; ``at`` is the domain whose own calls hang."""

    batch: Batch
    tick: Tick
    started: float
    overdue: bool = False
    at: str = ""


class Gatherer:
    """Reads all domains of a hypervisor, or those that are selected ``by_name``, by up to
    ``parallel_calls`` requests at once; with ``host`` also the host."""

    def __init__(
        self, pool: Pool, patience: Patience, by_name: bool, host: bool, parallel_calls: int
    ) -> None:
        #: For each of the last ticks without an answer, the seconds after which one came.
        self.late: dict[Tick, float] = {}
        self._pool = pool
        self._patience = patience
        self._by_name = by_name
        self._host = host
        self._parallel_calls = parallel_calls
        self._running: dict[Worker, _Running] = {}
        self._count: Optional[int] = None
        self._not_responding: frozenset[str] = frozenset()

    @property
    def hanging(self) -> int:
        """The number of requests that hang."""
        return len(self._running)

    def begin(self) -> Tick:
        """A new tick; what earlier ticks left behind and has ended is cleared away."""
        tick = Tick(time.monotonic() + self._patience.timeout)
        while (answer := self._next_answer(0.0)) is not None:
            self._handle(answer, tick)
        tick.refused = False
        if self._running:
            tick.stuck = self._not_responding
        tick.begin(self._host)
        return tick

    def gather(self, tick: Tick) -> Iterator[Reading]:
        """The readings of a tick, in the order in which they arrive."""
        while True:
            now = time.monotonic()
            self._start(tick, now)
            moment = self._next_moment(tick, now)
            if moment is None:
                break
            answer = self._next_answer(moment - time.monotonic())
            readings = self._handle(answer, tick) if answer is not None else []
            del answer
            if readings:
                self._start(tick, time.monotonic())  # it arrives while these are written
            while readings:
                yield readings.pop(0)
            self._expire(tick)
        self._end(tick)
        yield from tick.delivery.rest()

    def _next_answer(self, seconds: float) -> Optional[Answer]:
        try:
            return self._pool.answers.get(timeout=max(0.0, seconds))
        except Empty:
            return None

    # Starting requests.

    def _start(self, tick: Tick, now: float) -> None:
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
            request = self._request(batch, worker, self._no_monitor)
            self._running[worker] = _Running(batch, tick, time.monotonic())
            worker.ask(request)

    def _next_batch(self, tick: Tick, now: float) -> Optional[Batch]:
        """The first queued batch that may start now. Hung requests for XML keep only other requests
        for XML waiting, and the other way round."""
        slow = now - self._patience.slow_seconds()
        busy = sum(not r.overdue and r.started > slow for r in self._running.values())
        for batch in tick.queue:
            running = sum(r.batch.for_xml is batch.for_xml for r in self._running.values())
            if batch.for_xml:
                calls = most = max(self._parallel_calls, _XML_CALLS)
            else:
                calls = self._parallel_calls
                most = max(MOST_HANGING, calls) + self._no_monitor * calls
            if busy < calls and running < most:
                return batch
        return None

    @property
    def _no_monitor(self) -> bool:
        """Whether so many requests hang that only statistics without a monitor are requested."""
        return self._hung() >= MOST_HANGING

    def _request(self, batch: Batch, worker: Worker, no_monitor: bool) -> Request:
        """The request for a batch at this moment."""
        request = batch.request
        hangs = Counter(running.at for running in self._running.values() if running.at)
        stuck = frozenset(hangs)
        if isinstance(request, BatchRequest):
            if request.names is None:
                request = batch.request = self._first(worker)
            skip = frozenset(name for name in hangs if hangs[name] >= MOST_HANGING_PER_DOMAIN)
            return replace(request, no_monitor=no_monitor, stuck=stuck, skip=skip)
        return replace(request, stuck=stuck) if isinstance(request, XmlRequest) else request

    def _first(self, worker: Worker) -> BatchRequest:
        """The request for the first batch: all domains, if they are known to fit in it."""
        count = worker.count if self._count is None else self._count
        size = BATCH
        if self._parallel_calls > 1 and count:
            size = min(size, -(-count // self._parallel_calls))
        if self._by_name or count is None or count > size:
            return BatchRequest(list_first=size)
        return BatchRequest()

    def _hung(self) -> int:
        """The number of hung requests, without those for XML."""
        return sum(r.overdue and not r.batch.for_xml for r in self._running.values())

    def _retryable(self, tick: Tick) -> frozenset[str]:
        """The domains that came incomplete, perhaps because another client used them."""
        if self._no_monitor:
            return frozenset()
        return tick.delivery.incomplete - tick.stuck - {r.at for r in self._running.values()}

    def _plan_retry(self, tick: Tick) -> None:
        under_way = any(batch.retry for batch in tick.queue) or any(
            r.batch.retry and not r.overdue for r in self._running.values()
        )
        if under_way or tick.retry_at is not None or tick.retries >= len(RETRY_PAUSES):
            return
        if self._retryable(tick):
            tick.retry_at = time.monotonic() + RETRY_PAUSES[tick.retries]
            tick.retries += 1

    # Waiting for answers.

    def _next_moment(self, tick: Tick, now: float) -> Optional[float]:
        """The monotonic time until which to wait for an answer; None if the tick is over."""
        if now >= tick.deadline or tick.failed:
            return None
        mine = [running for running in self._running.values() if running.tick is tick]
        in_time = [running for running in mine if not running.overdue]
        moments = [r.started + self._patience.seconds(r.batch.repeats) for r in in_time]
        if tick.queue:
            moments += [r.started + self._patience.slow_seconds() for r in in_time]
            moments.append(self._pool.attempt_deadline())
        moments.append(tick.settle_until if len(mine) < len(self._running) else 0.0)
        moments.append(tick.retry_at or 0.0)
        coming = [moment for moment in moments if moment > now]
        if coming or in_time:
            return min([tick.deadline, *coming])
        return tick.deadline if mine and tick.lacks else None

    def _expire(self, tick: Tick) -> None:
        """Repeats the requests that have taken longer than their patience."""
        now = time.monotonic()
        for worker, running in self._running.items():
            batch = running.batch
            if running.overdue or now < running.started + self._patience.seconds(batch.repeats):
                continue
            running.overdue, running.at = True, worker.at
            if not batch.done and not batch.retry:
                batch.repeats += 1
                tick.queue.appendleft(batch)

    def _handle(self, answer: Answer, tick: Tick) -> list[Reading]:
        """The readings that an answer brings; those of an earlier tick are dropped."""
        if isinstance(answer, Opened):
            self._pool.opened(answer)
            tick.refused = tick.refused or answer.error is not None
            return []
        running = self._running[answer.worker]
        content = answer.last if isinstance(answer, Ended) else answer.content
        readings: list[Reading] = []
        if content is not None and running.tick is tick:
            found = tick.use(content, running.batch, running.started)
            readings = [reading for reading in found if reading.domains]
        if isinstance(answer, Ended):
            del self._running[answer.worker]
            self._ended(answer, running, tick)
        return readings

    def _ended(self, answer: Ended, running: _Running, tick: Tick) -> None:
        error, batch = answer.error, running.batch
        if error is not None and error.kind is ErrorKind.LOST:
            self._pool.discard(answer.worker)
        else:
            self._pool.release(answer.worker)
        if answer.defect is not None:
            raise answer.defect
        if running.tick is not tick:
            self._ended_late(answer, running, tick)
        elif error is None:
            tick.done(batch, answer.seconds)
            if tick.stuck and tick.delivery.incomplete:
                tick.settle_until = time.monotonic() + SETTLE_SECONDS
            self._plan_retry(tick)
        elif batch.done or batch in tick.queue or self._runs(batch):
            pass  # another request for the same batch brings it
        else:
            tick.fail(error, batch, self._parallel_calls)

    def _runs(self, batch: Batch) -> bool:
        return any(r.batch is batch and not r.overdue for r in self._running.values())

    def _ended_late(self, answer: Ended, running: _Running, tick: Tick) -> None:
        """A guest may have woken up: what came incomplete is asked again."""
        tick.stuck, tick.retries = frozenset(), 0
        self._plan_retry(tick)
        if answer.error is None and not running.tick.read:
            self.late[running.tick] = answer.seconds

    def _end(self, tick: Tick) -> None:
        for worker, running in self._running.items():
            if not running.overdue:
                running.overdue, running.at = True, worker.at
        self._not_responding = tick.delivery.incomplete
        if tick.read:
            self.late.clear()
        if tick.read and not tick.unread:
            self._count = tick.delivery.count
        if not self._running:
            self._pool.close_spare()
            if tick.read:
                self._patience.learn(tick.longest)

"""One tick of one hypervisor: batches go to connections, readings come back as they arrive.

Invariant: a tick ends within the timeout, and a request that hangs delays only the domains that
hang. A guest whose QEMU does not answer blocks a bulk call for its whole batch; a second call with
NOWAIT skips that guest. So a hung request is left alone and repeated beside it, by another
connection. What it still brings in time is used; what it brings later is dropped.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from queue import Empty
from typing import Optional

from .delivery import Delivery, Reading
from .errors import ErrorKind, LibvirtError
from .patience import MOST_HANGING, RETRY_PAUSES, SETTLE_SECONDS, Patience
from .pool import Pool
from .reader import Listing, Request
from .worker import Answer, Ended, Opened, Worker

#: Domains in one batch. Larger batches need more memory, smaller ones more calls.
BATCH = 100

#: One guest whose QEMU dies under a call makes it fail for its batch; asked again, nothing is lost.
_WORTH_ANOTHER_CALL = (ErrorKind.LOST, ErrorKind.FAILED, ErrorKind.BUSY)

#: After this many batches that failed while none was read, the tick has failed.
_MOST_FAILED = 2


@dataclass(eq=False)
class _Batch:
    request: Request
    retry: bool = False
    repeats: int = 0
    failures: int = 0
    done: bool = False


@dataclass
class _Running:
    """A request that has not ended; ``overdue`` if it has taken longer than its patience."""

    batch: _Batch
    tick: Tick
    started: float
    overdue: bool = False


@dataclass(eq=False)
class Tick:
    """What has happened so far in one tick. ``stuck`` names the domains that did not respond in
    the last tick and whose requests still hang: they are not waited for."""

    deadline: float
    stuck: frozenset[str] = frozenset()
    delivery: Delivery = field(default_factory=Delivery)
    batches: list[_Batch] = field(default_factory=list)
    queue: deque[_Batch] = field(default_factory=deque)
    listed: bool = False
    retries: int = 0
    retry_at: Optional[float] = None
    settle_until: float = 0.0
    longest: float = 0.0
    failed: int = 0
    error: Optional[LibvirtError] = None
    refused: bool = False

    @property
    def read(self) -> bool:
        """Whether anything was read, be it that there are no domains."""
        return self.delivery.count > 0 or any(batch.done for batch in self.batches)

    @property
    def unread(self) -> int:
        """The number of listed domains that were not read."""
        missing = [batch for batch in self.batches if not batch.done and not batch.retry]
        return sum(len(batch.request.names or ()) for batch in missing)


class Gatherer:
    """Reads all domains of a hypervisor, or with ``selects`` some of them, by up to
    ``parallel_calls`` requests at once."""

    def __init__(self, pool: Pool, patience: Patience, selects: bool, parallel_calls: int) -> None:
        #: For each of the last ticks without an answer, the seconds after which one came.
        self.late: dict[Tick, float] = {}
        self._pool = pool
        self._patience = patience
        self._selects = selects
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
        for running in self._running.values():
            running.overdue = True
        if self._running:
            tick.stuck = self._not_responding
        self._enqueue(tick, _Batch(Request()))
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
            reading = self._handle(answer, tick) if answer is not None else None
            del answer
            if reading is not None and reading.domains:
                self._start(tick, time.monotonic())  # it arrives while this one is written
                yield reading
            del reading
            self._expire(tick)
        self._end(tick)
        yield from tick.delivery.rest()

    def _next_answer(self, seconds: float) -> Optional[Answer]:
        try:
            return self._pool.answers.get(timeout=max(0.0, seconds))
        except Empty:
            return None

    # Starting requests.

    def _enqueue(self, tick: Tick, batch: _Batch) -> None:
        tick.batches.append(batch)
        tick.queue.append(batch)

    def _start(self, tick: Tick, now: float) -> None:
        """Hands batches to connections, as many as may run at once."""
        if tick.retry_at is not None and now >= tick.retry_at:
            tick.retry_at = None
            if names := self._retryable(tick):
                self._enqueue(tick, _Batch(Request(tuple(names)), retry=True))
        slow = now - self._patience.slow_seconds()
        while tick.queue:
            busy = sum(not r.overdue and r.started > slow for r in self._running.values())
            no_monitor = self._hung() >= MOST_HANGING
            most = max(MOST_HANGING, self._parallel_calls) + no_monitor * self._parallel_calls
            if busy >= self._parallel_calls or len(self._running) >= most:
                return
            worker = self._pool.acquire()
            if worker is None:
                if not tick.refused:
                    tick.refused = not self._pool.connect()
                return
            batch = tick.queue.popleft()
            if batch.request.names is None:
                batch.request = self._first(worker)
            self._running[worker] = _Running(batch, tick, time.monotonic())
            no_monitor, stuck = self._hung() >= MOST_HANGING, Counter(self._hung_at())
            worker.ask(replace(batch.request, no_monitor=no_monitor, stuck=stuck))

    def _first(self, worker: Worker) -> Request:
        """The request for the first batch: all domains, if they are known to fit in it."""
        count = worker.count if self._count is None else self._count
        size = BATCH
        if self._parallel_calls > 1 and count:
            size = min(size, -(-count // self._parallel_calls))
        if self._selects or count is None or count > size:
            return Request(list_first=size)
        return Request()

    def _hung(self) -> int:
        return sum(running.overdue for running in self._running.values())

    def _hung_at(self) -> list[str]:
        """The domains in whose own calls the overdue requests are now."""
        return [w.at for w, running in self._running.items() if running.overdue and w.at]

    def _retryable(self, tick: Tick) -> frozenset[str]:
        """The domains that came incomplete, perhaps because another client used them."""
        if self._hung() >= MOST_HANGING:
            return frozenset()
        return tick.delivery.held.difference(tick.stuck, self._hung_at())

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
        if now >= tick.deadline or (tick.failed >= _MOST_FAILED and not tick.read):
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
        missing = tick.unread or not tick.read or tick.delivery.held - tick.stuck
        return tick.deadline if mine and missing else None

    def _expire(self, tick: Tick) -> None:
        """Repeats the requests that have taken longer than their patience."""
        now = time.monotonic()
        for running in self._running.values():
            batch = running.batch
            if running.overdue or now < running.started + self._patience.seconds(batch.repeats):
                continue
            running.overdue = True
            if not batch.done and not batch.retry:
                batch.repeats += 1
                tick.queue.appendleft(batch)

    def _handle(self, answer: Answer, tick: Tick) -> Optional[Reading]:
        if isinstance(answer, Opened):
            tick.refused = self._pool.opened(answer) or tick.refused
            return None
        running = self._running[answer.worker]
        content = answer.piece if isinstance(answer, Ended) else answer.content
        reading = None
        if content is None or running.tick is not tick:
            pass
        elif isinstance(content, Listing):
            self._listed(content.names, running.batch, tick)
        else:
            reading = tick.delivery.accept(content.domains, content.partial, running.started)
        if isinstance(answer, Ended):
            del self._running[answer.worker]
            self._ended(answer, running, tick)
        return reading

    def _listed(self, names: Sequence[str], batch: _Batch, tick: Tick) -> None:
        if tick.listed:
            return
        tick.listed = True
        size = batch.request.list_first
        batch.request = Request(names[:size])
        for start in range(size, len(names), size):
            self._enqueue(tick, _Batch(Request(names[start : start + size])))

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
            batch.done = True
            if batch in tick.queue:
                tick.queue.remove(batch)
            tick.longest = max(tick.longest, answer.seconds)
            if tick.stuck and tick.delivery.held:
                tick.settle_until = time.monotonic() + SETTLE_SECONDS
            self._plan_retry(tick)
        elif batch.done or batch in tick.queue or self._runs(batch):
            pass  # another request for the same batch brings it
        else:
            self._failed(error, batch, tick)

    def _runs(self, batch: _Batch) -> bool:
        return any(r.batch is batch and not r.overdue for r in self._running.values())

    def _failed(self, error: LibvirtError, batch: _Batch, tick: Tick) -> None:
        batch.failures += 1
        most = self._parallel_calls + 1 if error.kind is ErrorKind.LOST else 1
        if error.kind in _WORTH_ANOTHER_CALL and batch.failures <= most:
            tick.queue.appendleft(batch)
            return
        tick.error = error
        if not batch.retry:
            # A batch that is too large down to its single domains speaks for all batches.
            tick.failed += _MOST_FAILED if error.kind is ErrorKind.TOO_LARGE else 1

    def _ended_late(self, answer: Ended, running: _Running, tick: Tick) -> None:
        """A guest may have woken up: what came incomplete is asked again."""
        tick.stuck, tick.retries = frozenset(), 0
        self._plan_retry(tick)
        if answer.error is None and not running.tick.read:
            self.late[running.tick] = answer.seconds

    def _end(self, tick: Tick) -> None:
        self._not_responding = tick.delivery.held
        if tick.read:
            self.late.clear()
        if tick.read and not tick.unread:
            self._count = tick.delivery.count
        if not self._running:
            self._pool.close_spare()
            if tick.read:
                self._patience.learn(tick.longest)

"""One tick of one hypervisor: batches go to connections, readings come back as they arrive.

Invariant: a tick ends within the timeout, and a request that hangs delays only the domains that
hang. A guest whose QEMU does not answer blocks a bulk call for its whole batch; a second call with
NOWAIT skips that guest. So a hung request keeps running, and another connection repeats it. An
answer of the hung request is used if it arrives in time, and dropped later.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import Empty
from typing import Optional

from ..connection.errors import ErrorKind
from ..connection.requests import Host, Identities, Listing, Piece, XmlRequest
from .delivery import Reading
from .dispatch import Dispatcher, Running
from .patience import SETTLE_SECONDS, Patience
from .pool import Pool
from .tick import Tick
from .worker import Answer, Ended, Opened


class Gatherer:
    """Reads all domains of a hypervisor; with ``host`` also the host."""

    def __init__(self, pool: Pool, patience: Patience, dispatcher: Dispatcher, host: bool) -> None:
        #: The last ticks without an answer, and the seconds after which a late answer came.
        self.late: dict[Tick, float] = {}
        self._pool = pool
        self._patience = patience
        self._dispatcher = dispatcher
        self._host = host
        self._not_responding: frozenset[str] = frozenset()

    @property
    def hanging(self) -> int:
        """The number of requests that hang."""
        return len(self._dispatcher.running)

    def begin(self) -> Tick:
        """Begins a tick, after handling the late answers to earlier ticks."""
        self._pool.tick()
        tick = Tick(time.monotonic() + self._patience.timeout)
        while (answer := self._next_answer(0.0)) is not None:
            self._handle(answer, tick)
        tick.refused = False
        self._dispatcher.leave()  # a defect may have ended the last tick
        if self.hanging:
            tick.stuck = self._not_responding
        tick.begin(self._host)
        return tick

    def gather(self, tick: Tick) -> Iterator[Reading]:
        """The readings of a tick, in the order in which they arrive."""
        dispatcher = self._dispatcher
        while True:
            now = time.monotonic()
            dispatcher.start(tick, now)
            moment = dispatcher.next_moment(tick, now)
            if moment is None:
                break
            answer = self._next_answer(moment - time.monotonic())
            readings = self._handle(answer, tick) if answer is not None else []
            del answer
            if readings:
                dispatcher.start(tick, time.monotonic())  # runs while these readings are written
            while readings:
                yield readings.pop(0)
            dispatcher.expire(tick)
        self._end(tick)
        yield from tick.delivery.rest()

    def _next_answer(self, seconds: float) -> Optional[Answer]:
        try:
            return self._pool.answers.get(timeout=max(0.0, seconds))
        except Empty:
            return None

    def _handle(self, answer: Answer, tick: Tick) -> list[Reading]:
        """The readings that an answer brings; those of an earlier tick are dropped."""
        if isinstance(answer, Opened):
            tick.refused = self._pool.opened(answer) or tick.refused
            return []
        running = self._dispatcher.running[answer.worker]
        content = answer.last if isinstance(answer, Ended) else answer.content
        readings: list[Reading] = []
        if running.tick is not tick:
            pass
        elif isinstance(content, Piece):
            readings = [tick.delivery.accept(content.domains, content.partial, running.started)]
            tick.identify(content.due)
        elif isinstance(content, Listing):
            tick.list(content.names, running.batch)
        elif isinstance(content, Identities) and isinstance(running.batch.request, XmlRequest):
            readings = list(tick.delivery.identify(running.batch.request.names, content.found))
        elif isinstance(content, Host):
            tick.host = content
        if isinstance(answer, Ended):
            del self._dispatcher.running[answer.worker]
            self._ended(answer, running, tick)
        return [reading for reading in readings if reading.domains]

    def _ended(self, answer: Ended, running: Running, tick: Tick) -> None:
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
            self._dispatcher.plan_retry(tick)
        elif batch.done or batch in tick.queue or self._dispatcher.runs(batch):
            pass  # another request for the same batch brings it
        else:
            tick.fail(error, batch, self._dispatcher.parallel_calls)

    def _ended_late(self, answer: Ended, running: Running, tick: Tick) -> None:
        """A guest may have woken up: what came incomplete is asked again."""
        tick.stuck, tick.retries = frozenset(), 0
        self._dispatcher.plan_retry(tick)
        if answer.error is None and not running.tick.read:
            self.late[running.tick] = answer.seconds

    def _end(self, tick: Tick) -> None:
        self._dispatcher.leave()
        self._not_responding = tick.delivery.incomplete
        if tick.read:
            self.late.clear()
        if tick.read and not tick.unread:
            self._dispatcher.count = tick.delivery.count
        if not self.hanging:
            self._pool.close_spare()
            if tick.read:
                self._patience.learn(tick.longest)

"""The connections to one hypervisor: opened one at a time, lent out, found dead, opened again.

Invariant: at most one connection attempt is current. An attempt that hangs is given up after a
while, and another one is made; if many hang, they are given up later and later. Attempts that fail
at once are repeated at each tick; attempts that take long or are refused become rarer.
"""

from __future__ import annotations

import random
import time
from queue import Queue
from typing import Callable, Optional

from ..connection.errors import ErrorKind, LibvirtError
from ..connection.reader import Reader
from ..log import log
from .patience import CHEAP_ATTEMPT_SECONDS, Patience, pause_after
from .tick_times import TickTimes
from .worker import Answer, Opened, Worker


class Pool:
    """Connections to a hypervisor; ``keep`` of them stay open between ticks."""

    def __init__(
        self,
        connect: Callable[[], Reader],
        keep: int,
        patience: Patience,
        is_remote: bool = True,
    ) -> None:
        #: All outcomes of all workers, also of those that were given up. Not a SimpleQueue: before
        #: Python 3.11 its get() may ignore a short timeout and wait for ever.
        self.answers: Queue[Answer] = Queue()
        self.reconnects = 0
        self.losses = 0
        self.refusal: Optional[LibvirtError] = None
        self._connect = connect
        self._keep = keep
        self._patience = patience
        self._idle: list[Worker] = []
        self._attempt: Optional[Worker] = None
        self._given_up: set[Worker] = set()
        self._lost = False
        self._pause = 0.0
        self._not_before = 0.0
        self._is_remote = is_remote
        self._ticks = TickTimes()

    def tick(self) -> None:
        """Notes the time of a tick."""
        self._ticks.note(time.monotonic())

    @property
    def hanging(self) -> int:
        """The number of connection attempts that have not ended."""
        return len(self._given_up) + (self._attempt is not None)

    def acquire(self) -> Optional[Worker]:
        """An idle connection, or None."""
        while self._idle:
            worker = self._idle.pop()
            if worker.alive():
                return worker
            self.discard(worker)
        return None

    def release(self, worker: Worker) -> None:
        """Takes a connection back."""
        self._idle.append(worker)

    def discard(self, worker: Worker) -> None:
        """Gives up a connection that is dead."""
        self._lost = True
        self.losses += 1
        worker.close()

    def close_spare(self) -> None:
        """Closes the connections that were opened beside hung requests."""
        for worker in self._idle[self._keep :]:
            worker.close()
        del self._idle[self._keep :]

    def connect(self) -> bool:
        """Starts a connection attempt if none is current; returns whether one is current now."""
        now = time.monotonic()
        longest = self._patience.attempt_age(len(self._given_up))
        if self._attempt and now - self._attempt.started > longest:
            log.debug("a connection attempt is given up")
            self._given_up.add(self._attempt)
            self._attempt = None
        if self._attempt is None:
            if self.refusal is not None and now < self._not_before:
                return False
            self._attempt = Worker(self._connect, self.answers)
        return True

    def attempt_deadline(self) -> float:
        """The monotonic time until which the current attempt is worth waiting for."""
        return self._attempt.started + self._patience.timeout if self._attempt else 0.0

    def opened(self, answer: Opened) -> bool:
        """Notes the end of an attempt; returns whether it was the current one and was refused."""
        current = answer.worker is self._attempt
        if current:
            self._attempt = None
        self._given_up.discard(answer.worker)
        if answer.error is not None:
            if current:
                self._refused(answer.error, answer.seconds)
            return current
        self._pause = self._not_before = 0.0
        self.refusal = None
        self.reconnects += self._lost
        self._lost = False
        self._idle.append(answer.worker)
        return False

    def _refused(self, error: LibvirtError, seconds: float) -> None:
        self.refusal = error
        denied = error.kind in (ErrorKind.DENIED, ErrorKind.WRONG_URI)
        if denied or seconds > CHEAP_ATTEMPT_SECONDS:
            by_ticks = denied and self._is_remote
            self._pause = pause_after(self._pause, self._ticks.interval if by_ticks else 0.0)
            self._not_before = time.monotonic() + self._pause * random.uniform(0.75, 1.0)
            log.debug("the next connection attempt follows after %.1f s", self._pause)
        else:
            # Its pause goes on after the next refusal: a host counts them, whatever is between.
            self._not_before = 0.0

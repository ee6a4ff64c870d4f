"""A thread with its connection; it fetches one source, again and again.

Invariant: only this thread waits for libvirt. A fetch that hangs can be given up: its late results
are dropped, and the thread ends as soon as libvirt returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Callable, Optional

from ..connection.api import Connection
from ..connection.errors import ErrorKind, LibvirtError
from ..domain.record import Domain
from ..log import trace
from ..sources.scope import Abandoned, Scope
from ..sources.source import Fetch
from .delivery import moment
from .patience import SOURCE_DELAY_SECONDS

#: The timestamp of a tick, and what to wait for before the fetch.
_Request = tuple[int, Optional[threading.Event]]


@dataclass(frozen=True)
class Fetched:
    """The outcome of one fetch; ``opening`` if the connection could not be made, ``skipped`` if
    there was no turn for it, ``worked`` if a call succeeded. ``held``: the error is an earlier one,
    and nothing was asked now. ``defect``: the error is one of this program."""

    records: int = 0
    seconds: float = 0.0
    error: Optional[LibvirtError] = None
    opening: bool = False
    defect: bool = False
    skipped: bool = False
    worked: bool = False
    held: bool = False


class Lane:
    """One fetch at a time. ``connect`` opens a connection, ``scope`` wraps it, ``write`` takes the
    records of a fetch and their timestamp, ``done`` its outcome; all run in the thread. A fetch
    needs one of the ``turns`` and waits at most ``seconds`` for it."""

    def __init__(
        self,
        fetch: Fetch,
        connect: Callable[[], Connection],
        scope: Callable[[Connection], Scope],
        write: Callable[[Iterable[Domain], int], None],
        done: Callable[[Lane, Fetched], None],
        turns: threading.Semaphore,
        seconds: float,
    ) -> None:
        #: Whether a fetch is under way.
        self.busy = False
        self._fetch = fetch
        self._connect = connect
        self._new_scope = scope
        self._write = write
        self._done = done
        self._turns = turns
        self._seconds = seconds
        self._connection: Optional[Connection] = None
        self._scope: Optional[Scope] = None
        self._given_up = False
        self._outside = True
        self._asked = self._begun = 0.0
        self._requests: SimpleQueue[Optional[_Request]] = SimpleQueue()
        threading.Thread(target=self._run, name="libvirt source", daemon=True).start()

    def ask(self, timestamp: int, after: Optional[threading.Event] = None) -> None:
        """Starts a fetch for a tick, when ``after`` is set or soon. Call it only if the previous
        fetch has ended."""
        self.busy = True
        self._asked = time.monotonic()
        self._requests.put((timestamp, after))

    def give_up(self) -> None:
        """Ends the thread as soon as libvirt returns."""
        self._given_up = True
        if self._scope is not None:
            self._scope.abandoned = True
        self._requests.put(None)

    @property
    def step(self) -> float:
        """The monotonic time at which the current call began; infinite outside of libvirt."""
        if self._outside:
            return float("inf")
        scope = self._scope
        return max(self._begun, scope.step) if scope is not None else self._begun

    @property
    def at(self) -> str:
        """The domain whose call is running; empty if there is none."""
        scope = self._scope
        return scope.at if scope is not None else ""

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            timestamp, after = request
            if after is not None:
                # Only the end of the bulk statistics shows whether a connection can be made.
                after.wait(SOURCE_DELAY_SECONDS if self._connection is not None else None)
            outcome = Fetched(skipped=True)
            if self._turns.acquire(timeout=self._seconds):
                outcome = self._fetched(timestamp)
                self._turns.release()
            self._done(self, outcome)
        self._close()

    def _fetched(self, timestamp: int) -> Fetched:
        self._begun = time.monotonic()
        self._outside = False
        try:
            return self._serve(timestamp)
        except Abandoned:
            return Fetched()
        except Exception as defect:  # the edge of a fetch: it costs this fetch, not the program
            error = LibvirtError(0, 0, f"internal error: {trace(defect)}", known=ErrorKind.FAILED)
            return Fetched(seconds=time.monotonic() - self._begun, error=error, defect=True)
        finally:
            self._outside = True

    def _serve(self, timestamp: int) -> Fetched:
        try:
            scope = self._open()
        except LibvirtError as error:
            error.__traceback__ = error.__context__ = None  # they would keep the connection open
            return Fetched(seconds=time.monotonic() - self._begun, error=error, opening=True)
        scope.begin()
        started = time.monotonic()
        try:
            records = list(self._fetch(scope))
        except LibvirtError as error:
            error.__traceback__ = error.__context__ = None
            if error.kind in (ErrorKind.LOST, ErrorKind.DENIED):
                self._close()
            return Fetched(seconds=time.monotonic() - started, error=error)
        seconds = time.monotonic() - started
        self._outside = True
        if records and not self._given_up:
            self._write(records, moment(timestamp, started - self._asked))
        if scope.succeeded:
            return Fetched(len(records), seconds, worked=True)
        held = scope.error is None and scope.held is not None
        return Fetched(len(records), seconds, scope.error or scope.held, held=held)

    def _open(self) -> Scope:
        if self._connection is not None and not self._connection.alive():
            self._close()
        if self._connection is None or self._scope is None:
            self._connection = self._connect()
            self._scope = self._new_scope(self._connection)
            self._scope.abandoned = self._given_up
        return self._scope

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.unwatch()
        self._connection = self._scope = None

"""A thread that opens a connection, serves requests one by one, and closes the connection.

Invariant: only this thread uses the connection and waits for libvirt. libvirt allows calls of
several threads on one connection, but if the connection dies during them, libvirt clients before
10.3 use freed memory. Results go one way: into the queue of answers.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from queue import Queue, SimpleQueue
from typing import Callable, Optional, Union

from ..connection.errors import LibvirtError
from ..connection.reader import Reader
from ..connection.requests import Content, Listing, Request


@dataclass(frozen=True)
class Opened:
    """A connection attempt has ended, after this many seconds, with an error or without."""

    worker: Worker
    seconds: float
    error: Optional[LibvirtError]


@dataclass(frozen=True)
class Part:
    """A part of the answer to a request that has not ended."""

    worker: Worker
    content: Content


@dataclass(frozen=True)
class Ended:
    """A request has ended: with an error of libvirt, with a defect of this program, or well.

    ``last`` is the last part of the answer. It comes with the end, so that the worker is free for
    the next batch before this one is written.
    """

    worker: Worker
    seconds: float
    last: Optional[Content]
    error: Optional[LibvirtError]
    defect: Optional[BaseException]


Answer = Union[Opened, Part, Ended]


class Worker:
    """Opens a connection at once. Every outcome arrives in ``answers``."""

    def __init__(self, connect: Callable[[], Reader], answers: Queue[Answer]) -> None:
        self.started = time.monotonic()
        self.reader: Optional[Reader] = None
        self._connect = connect
        self._answers = answers
        self._requests: SimpleQueue[Optional[Request]] = SimpleQueue()
        threading.Thread(target=self._run, name="libvirt connection", daemon=True).start()

    def ask(self, request: Request) -> None:
        """Hands a request over; only after the previous one has ended."""
        self._requests.put(request)

    def close(self) -> None:
        """Closes the connection and ends the thread, after the request that may be running."""
        self._requests.put(None)

    def alive(self) -> bool:
        """False if there is no connection, or if it is known to be dead."""
        return self.reader is not None and self.reader.connection.alive()

    @property
    def count(self) -> Optional[int]:
        """The number of domains when the connection was made; None if it is not known."""
        return self.reader.count if self.reader is not None else None

    @property
    def at(self) -> str:
        """The name of the domain whose own calls are running; empty if there are none."""
        return self.reader.at if self.reader is not None else ""

    def _run(self) -> None:
        try:
            self.reader = self._connect()
        except LibvirtError as error:
            error.__traceback__ = error.__context__ = None  # they would keep the connection open
            self._answers.put(Opened(self, time.monotonic() - self.started, error))
            return
        except Exception as defect:  # passed on as the reason why there is no connection
            wrapped = LibvirtError(0, 0, f"internal error: {type(defect).__name__}: {defect}")
            self._answers.put(Opened(self, time.monotonic() - self.started, wrapped))
            return
        self._answers.put(Opened(self, time.monotonic() - self.started, None))
        while (request := self._requests.get()) is not None:
            self._answers.put(self._serve(self.reader, request))
            del request
        self.reader.close()
        self.reader = None

    def _serve(self, reader: Reader, request: Request) -> Ended:
        started = time.monotonic()
        last: Optional[Content] = None
        error: Optional[LibvirtError] = None
        defect: Optional[BaseException] = None
        try:
            for content in reader.read(request):
                if isinstance(content, Listing):
                    self._answers.put(Part(self, content))
                    continue
                if last is not None:
                    self._answers.put(Part(self, last))
                last = content
        except LibvirtError as trouble:
            trouble.__traceback__ = trouble.__context__ = None
            error = trouble
        except BaseException as trouble:  # passed on to the thread of the tick, whatever it is
            defect = trouble
        return Ended(self, time.monotonic() - started, last, error, defect)

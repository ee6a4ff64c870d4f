"""A thread that opens a connection, serves requests one by one, and closes the connection.

Invariant: only this thread makes calls on the connection that may wait for libvirt. libvirt allows
calls of several threads, but if the connection dies during them, clients before 10.3 use freed
memory. Results go one way: into the queue of events.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from queue import Queue, SimpleQueue
from typing import Callable, Optional, Union

from ..connection.descriptors import reserved
from ..connection.errors import ErrorKind, LibvirtError
from ..connection.reader import Reader
from ..connection.requests import Abandoned, Content, Listing, Records
from ..log import trace
from .messages import Asked, Ended, Event, Link, Opened, Part

#: An answer takes a millisecond, over the network some more.
_CLOSE_SECONDS = 0.2


def new_queue() -> Union[Queue[Event], SimpleQueue[Event]]:
    """A queue of events. A SimpleQueue costs 5 percent less of a tick with few guests; before
    Python 3.11 its get() may ignore a short timeout and wait for ever."""
    return SimpleQueue() if sys.version_info >= (3, 11) else Queue()


class Worker:
    """Opens a connection at once; ``put`` takes every outcome to the queue of events. ``answer``
    serves a request with a reader; ``first``: the hypervisor has no other connection."""

    def __init__(
        self,
        link: Link,
        connect: Callable[[], Reader],
        answer: Callable[[Reader, Asked], Iterator[Union[Content, Records]]],
        put: Callable[[Event], None],
        first: bool,
    ) -> None:
        self._link = link
        self._connect = connect
        self._answer = answer
        self._put = put
        self._first = first
        self._requests: SimpleQueue[Optional[Asked]] = SimpleQueue()
        #: Whether a request is served.
        self.serves = False
        self.thread = threading.Thread(target=self._run, name="libvirt connection", daemon=True)
        self.thread.start()

    def ask(self, request: Optional[Asked]) -> None:
        """Hands a request over, only after the previous one has ended; None closes the connection
        and ends the thread, after the request that may be running."""
        self._requests.put(request)

    def _run(self) -> None:
        started = time.monotonic()
        reader: Optional[Reader] = None
        opened = Opened(self._link, 0.0)
        try:
            with reserved(self._first):
                reader = self._connect()
            opened.driver, opened.version = reader.connection.driver, reader.connection.version
        except LibvirtError as error:
            error.__traceback__ = error.__context__ = None  # they would keep the connection open
            opened.error = error
        except Exception as defect:  # passed on as the reason why there is no connection
            opened.error = LibvirtError(0, 0, f"internal error: {trace(defect)}")
            opened.defect = True
        opened.seconds = time.monotonic() - started
        self._put(opened)
        del opened
        if reader is None:
            return
        while (request := self._requests.get()) is not None:
            self.serves = True
            ended = self._serve(reader, request)
            del request
            self.serves = False
            self._put(ended)
            del ended
        reader.close()

    def _serve(self, reader: Reader, request: Asked) -> Ended:
        started = time.monotonic()
        last: Optional[Union[Content, Records]] = None
        error: Optional[LibvirtError] = None
        defect: Optional[BaseException] = None
        try:
            for content in self._answer(reader, request):
                if isinstance(content, Listing):
                    self._put(Part(self._link, content))
                    continue
                if last is not None and not isinstance(last, Records):
                    self._put(Part(self._link, last))
                last = content
        except Abandoned:
            pass  # nobody waits for the answer
        except LibvirtError as trouble:
            trouble.__traceback__ = trouble.__context__ = None
            error = trouble
        except BaseException as trouble:  # the edge of a request: it costs this request only
            defect = trouble
            error = LibvirtError(0, 0, f"internal error: {trace(trouble)}", known=ErrorKind.FAILED)
        seconds = time.monotonic() - started
        return Ended(self._link, seconds, last, error, defect, reader.is_usable(error))


def close(workers: Iterable[Worker]) -> None:
    """Closes connections that serve no request when the process ends, within a short time: the
    daemon logs an error for each one that just breaks."""
    deadline = time.monotonic() + _CLOSE_SECONDS
    idle = [worker for worker in workers if not worker.serves]
    for worker in idle:
        worker.ask(None)
    for worker in idle:
        worker.thread.join(max(0.0, deadline - time.monotonic()))

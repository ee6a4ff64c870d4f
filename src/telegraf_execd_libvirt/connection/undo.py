"""Changes of a domain that the program takes back, also if it ends meanwhile.

Invariant: a change is known here before it is made, and until the call that takes it back has
returned. Once the end of the program has begun, no change is made.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

from .requests import Abandoned

#: The time that the end of the program has for all calls; a daemon that is not busy needs
#: milliseconds.
_END_SECONDS = 1.5


class Changes:
    """The changes that are made at the moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: The calls that take changes back, each with a lock that is held while it is changed.
        self._open: dict[object, tuple[Callable[[], object], threading.Lock]] = {}
        self._ended = False

    @contextmanager
    def made(self, change: Callable[[], object], back: Callable[[], object]) -> Iterator[None]:
        """Makes a change, and takes it back at the end of the block. Raises Abandoned at the end of
        the program."""
        key, changing = object(), threading.Lock()
        with changing:
            with self._lock:
                if self._ended:
                    raise Abandoned
                self._open[key] = back, changing
            try:
                change()
            except BaseException:
                self._take_back(key)  # it may have been made although its answer was lost
                raise
        try:
            yield
        finally:
            self._take_back(key)

    def _take_back(self, key: object) -> None:
        try:
            self._open[key][0]()
        finally:
            with self._lock:
                del self._open[key]

    def end(self, seconds: float = _END_SECONDS) -> None:
        """Takes back all changes at the same time. A daemon that hangs is not waited for."""
        with self._lock:
            self._ended = True
            found = [*self._open.values()]
        threads = [threading.Thread(target=_call, args=each, daemon=True) for each in found]
        deadline = time.monotonic() + seconds
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _call(back: Callable[[], object], changing: threading.Lock) -> None:
    with changing:
        back()


#: Those of this process.
changes = Changes()

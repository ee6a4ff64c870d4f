"""A call that may never come back.

Rule guarded: nobody waits inside libvirt. A call runs in a thread of its own, and whoever
started it waits for a bounded time and can leave it.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Generic, Optional, TypeVar

from .errors import LibvirtError

T = TypeVar("T")


class Call(Generic[T]):
    """Runs a function in a daemon thread."""

    def __init__(self, function: Callable[[], T], name: str) -> None:
        self.started = time.monotonic()
        self.ended = self.started
        self._function = function
        self._done = threading.Event()
        self._result: Optional[T] = None
        self._error: Optional[BaseException] = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._function()
        except LibvirtError as error:
            # Its traceback would hold on to the connection as long as this call is known.
            error.__traceback__ = error.__context__ = None
            self._error = error
        except BaseException as error:  # handed to the one who waits, whatever it is
            self._error = error
        finally:
            del self._function  # and with it what it holds on to, such as a connection
            self.ended = time.monotonic()
            self._done.set()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    @property
    def succeeded(self) -> bool:
        """Whether the function returned; only once the call is done."""
        return self._error is None

    @property
    def seconds(self) -> float:
        """How long the call took; only once it is done."""
        return self.ended - self.started

    def wait(self, seconds: float) -> bool:
        """Waits at most this long; tells whether the call is done."""
        return self._done.wait(max(0.0, seconds))

    def result(self) -> T:
        """What the function returned; raises what it raised. Once, and only once it is done."""
        error, self._error = self._error, None
        if error is not None:
            # Neither this call nor this frame keeps the error: by its traceback it keeps the
            # connection, which is to close now and not when Python looks for cycles.
            try:
                raise error
            finally:
                del error
        return self._result  # type: ignore[return-value]  # None only if T allows it

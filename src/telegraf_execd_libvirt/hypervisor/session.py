"""The connection to one hypervisor: made, kept, found dead, made again.

Rule guarded: at most one attempt to connect is under way, however long it hangs; attempts are
made at each tick while they cost nothing and ever more rarely where they hang or are refused.
"""

from __future__ import annotations

import random
import time
from typing import Optional

from ..duration import format_duration
from ..log import log
from .binding import Connection
from .calls import Call
from .errors import LibvirtError, Meaning, advice

#: An attempt that took longer than this is one that hangs, not one that is refused at once.
_CHEAP_SECONDS = 1.0
_LONGEST_PAUSE = 60.0


class Unreachable(Exception):
    """There is no connection. ``state`` names the kind of trouble, for telling changes of it;
    ``help`` is what the user can do, or empty."""

    def __init__(self, state: str, reason: str, help: str = "") -> None:
        super().__init__(f"{reason}; {help}" if help else reason)
        self.state = state
        self.reason = reason
        self.help = help

    @classmethod
    def by(cls, error: LibvirtError, uri: str) -> Unreachable:
        """The trouble that an error of libvirt's means."""
        meaning = error.meaning
        state = meaning.name if meaning is not Meaning.FAILED else f"error {error.code}"
        return cls(state, error.message, advice(error, uri))


class Session:
    """Gives the open connection to a URI, or tells why there is none."""

    def __init__(self, uri: str, timeout: int) -> None:
        self.connects = 0
        self._uri = uri
        self._timeout = timeout
        self._connection: Optional[Connection] = None
        self._opening: Optional[Call[Connection]] = None
        self._closing: Optional[Call[None]] = None
        self._pause = 0.0
        self._not_before = 0.0
        self._why: Optional[Unreachable] = None

    @property
    def hanging(self) -> int:
        """How many calls of this session hang."""
        return sum(call is not None and not call.done for call in (self._opening, self._closing))

    def connection(self) -> Connection:
        """The open connection, made now if need be; raises Unreachable.

        Waits for an attempt until it has lasted for the timeout, then no longer.
        """
        if self._connection is not None:
            return self._connection
        if self._opening is None:
            if self._why is not None and time.monotonic() < self._not_before:
                raise self._why
            uri = self._uri
            self._opening = Call(lambda: Connection(uri), "open")
        opening = self._opening
        if not opening.wait(opening.started + self._timeout / 1e9 - time.monotonic()):
            raise Unreachable(
                "hangs",
                f"connecting has not come to an end within {format_duration(self._timeout)}",
                "is the daemon stopped, or the host or the way to it down?",
            )
        self._opening = None
        try:
            self._connection = opening.result()
        except LibvirtError as error:
            self._why = self._refused(error, opening.seconds)
            raise self._why from None
        self._pause = 0.0
        self.connects += 1
        return self._connection

    def drop(self) -> None:
        """Gives the connection up. It is closed on the side, for that may hang as well."""
        connection, self._connection = self._connection, None
        if connection is not None and (self._closing is None or self._closing.done):
            self._closing = Call(connection.close, "close")

    def _refused(self, error: LibvirtError, seconds: float) -> Unreachable:
        if error.meaning in (Meaning.DENIED, Meaning.WRONG_URI) or seconds > _CHEAP_SECONDS:
            self._pause = min(_LONGEST_PAUSE, max(1.0, self._pause * 2))
            self._not_before = time.monotonic() + self._pause * random.uniform(0.75, 1.0)
            log.debug("the next attempt to connect comes after %.1f s", self._pause)
        else:
            self._pause = self._not_before = 0.0
        return Unreachable.by(error, self._uri)

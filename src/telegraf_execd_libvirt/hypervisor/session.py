"""The connections to one hypervisor: made, lent out, found dead, made again.

Rule guarded: a connection is in the hands of one call at a time. Calls of several threads on one
connection would be allowed, but when such a connection dies, libvirt clients before 10.3 write
to memory that is gone. So a call beside one that hangs gets a connection of its own, and the
connection of the one that hangs is not touched before it has ended.

At most one attempt to connect is under way, however long it hangs; attempts are made at each
tick while they cost nothing, and ever more rarely where they hang or are refused.
"""

from __future__ import annotations

import random
import time
from typing import Any, Optional

from ..duration import format_duration
from ..log import log
from .binding import Connection
from .calls import Call
from .errors import LibvirtError, Meaning, advice

#: An attempt that took longer than this is one that hangs, not one that is refused at once.
_CHEAP_SECONDS = 1.0
_LONGEST_PAUSE = 60.0


class Unreachable(Exception):
    """There are no statistics. ``state`` names the kind of trouble, for telling changes of it;
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
    """Lends out connections to a URI, or tells why there is none; keeps as many as are used."""

    def __init__(self, uri: str, timeout: int, bulk: bool, connections: int) -> None:
        self.reconnects = 0
        self._uri = uri
        self._timeout = timeout
        self._bulk = bulk
        self._connections = connections
        self._lost = False
        self._usual_seconds = 0.0
        self._idle: list[Connection] = []
        self._left: list[tuple[Call[Any], Connection]] = []
        self._opening: Optional[Call[Connection]] = None
        self._pause = 0.0
        self._not_before = 0.0
        self._refusal: Optional[LibvirtError] = None

    @property
    def hanging(self) -> int:
        """How many calls hang that were left behind, an attempt to connect among them."""
        opening = self._opening is not None and not self._opening.done
        return opening + sum(not call.done for call, _ in self._left)

    def take(self, patience: float) -> Connection:
        """A connection for one call at a time, made now if need be; raises Unreachable.

        Waits for an attempt as many seconds as said (at least as long as attempts usually take)
        but only until it has lasted for the timeout: one that hangs delays one tick.
        """
        self._take_back()
        if self._idle and self._opening is not None and self._opening.done:
            self._opened()
        if len(self._idle) > self._connections and not self._left:
            # Others were made beside calls that hung; no domain refers to them any more.
            spare = self._idle[self._connections :]
            del self._idle[self._connections :]
            _let_go(spare)
        while self._idle:
            connection = self._idle.pop()
            if connection.alive():
                return connection
            self.lose(connection)
        if self._opening is None:
            if self._refusal is not None and time.monotonic() < self._not_before:
                raise Unreachable.by(self._refusal, self._uri)
            uri, bulk = self._uri, self._bulk
            self._opening = Call(lambda: Connection(uri, bulk), "open")
        opening = self._opening
        deadline = opening.started + self._timeout / 1e9
        patience = max(patience, 4 * self._usual_seconds)
        if not opening.wait(min(deadline - time.monotonic(), patience)):
            raise Unreachable(
                "hangs",
                f"no answer to an attempt to connect within {format_duration(self._timeout)}",
                "is the daemon stopped, or the host or the way to it down?",
            )
        self._opened()
        if self._refusal is not None:
            raise Unreachable.by(self._refusal, self._uri)
        return self._idle.pop()

    def give(self, connection: Connection) -> None:
        """Takes a connection back."""
        if connection.alive():
            self._idle.append(connection)
        else:
            self.lose(connection)

    def lose(self, connection: Connection) -> None:
        """Gives up a connection that is dead."""
        self._lost = True
        _let_go([connection])

    def leave(self, call: Call[Any], connection: Connection) -> None:
        """Takes a connection back once the call that hangs in it has ended."""
        self._left.append((call, connection))

    def unanswered(self) -> Unreachable:
        """The trouble that a call has not come back within the timeout."""
        return Unreachable(
            "silent", f"the daemon does not answer within {format_duration(self._timeout)}"
        )

    def _take_back(self) -> None:
        ended = [connection for call, connection in self._left if call.done]
        self._left = [(call, connection) for call, connection in self._left if not call.done]
        while ended:
            self.give(ended.pop())

    def _opened(self) -> None:
        """Notes what came of an attempt that has ended."""
        opening, self._opening = self._opening, None
        if opening is None:
            return
        try:
            self._idle.append(opening.result())
        except LibvirtError as error:
            self._refused(error, opening.seconds)
            return
        self._pause = 0.0
        self._usual_seconds = opening.seconds
        self._refusal = None
        self.reconnects += self._lost
        self._lost = False

    def _refused(self, error: LibvirtError, seconds: float) -> None:
        self._refusal = error
        if error.meaning in (Meaning.DENIED, Meaning.WRONG_URI) or seconds > _CHEAP_SECONDS:
            self._pause = min(_LONGEST_PAUSE, max(1.0, self._pause * 2))
            self._not_before = time.monotonic() + self._pause * random.uniform(0.75, 1.0)
            log.debug("the next attempt to connect comes after %.1f s", self._pause)
        else:
            self._pause = self._not_before = 0.0


def _let_go(connections: list[Connection]) -> None:
    """Drops the last references in a thread, for closing asks the daemon and so may hang."""

    def drop() -> None:
        for connection in connections:
            connection.unwatch()
        connections.clear()

    Call(drop, "close")

"""The connections to one hypervisor: opened one at a time, lent out, found dead, opened again.

Invariant: at most one connection attempt is current. An attempt that hangs is abandoned after a
while, and another one is made; if many hang, they are abandoned later and later. No thread, no
clock.
"""

from __future__ import annotations

import logging
from typing import Optional

from ..connection.errors import ErrorKind, LibvirtError
from .messages import Ask, Asked, Close, Link, Open, Opened
from .patience import Backoff, attempt_age
from .voice import Voice

#: A daemon with as many clients as it may have does not answer others at all.
NO_PLACE = "has the daemon no free place for clients (max_clients in its configuration)?"
_FULL = "the daemon has no free place for clients: max_clients in its configuration"


class Links:
    """Connections of one kind of access; ``keep`` of them stay open between ticks."""

    def __init__(
        self,
        voice: Voice,
        read_only: bool,
        keep: int,
        timeout: float,
        backoff: Backoff,
    ) -> None:
        self.reconnects = 0
        #: Why the last attempt failed; None after one that succeeded.
        self.refusal: Optional[LibvirtError] = None
        #: The open connections, and those of them that serve no request.
        self.open: list[Link] = []
        self.idle: list[Link] = []
        self.keep = keep
        self._voice = voice
        self._read_only = read_only
        self._timeout = timeout
        self._backoff = backoff
        self._actions = voice.actions
        self._attempt: Optional[Link] = None
        self._abandoned: set[Link] = set()
        self._number = 0
        self._lost = False

    def hanging(self, can_wait: bool = False) -> int:
        """The number of connection attempts that have not ended. The current one does not count if
        it ``can_wait``: it may be one of an instant ago."""
        return len(self._abandoned) + (self._attempt is not None and not can_wait)

    def connect(self, now: float) -> bool:
        """Starts a connection attempt if none is current; returns whether one is current now."""
        age = attempt_age(self._timeout, len(self._abandoned))
        if self._attempt is not None and now - self._attempt.started > age:
            self._abandoned.add(self._attempt)
            self._attempt = None
        if self._attempt is None:
            if not self._backoff.allows(now):
                return False
            self._number += 1
            self._attempt = Link(self._number, self._read_only, now)
            self._actions.append(Open(self._attempt))
        return True

    def attempt_deadline(self) -> float:
        """The monotonic time until which the current attempt is worth waiting for; 0 if none."""
        return self._attempt.started + self._timeout if self._attempt else 0.0

    def paused(self, seconds: float) -> None:
        """Nobody took the outcome of the current attempt for this long."""
        if self._attempt is not None:
            self._attempt.started += seconds

    def opened(self, event: Opened, now: float) -> bool:
        """Notes the end of an attempt; returns whether it was the current one and was refused."""
        current = event.link is self._attempt
        if current:
            self._attempt = None
        self._abandoned.discard(event.link)
        if event.error is None:
            self._backoff.succeeded()
            self.refusal = None
            self.reconnects += self._lost
            self._lost = False
            self.open.append(event.link)
            self.idle.append(event.link)
        elif current:
            self.refusal = event.error
            self._backoff.failed(event.error, event.seconds, now, spare=bool(self.open))
        return current and event.error is not None

    def check_full(self, now: float) -> None:
        """Called after a tick that was read. An attempt that fails or hangs meanwhile means that
        the daemon has no free place; the engine lives on the connections that it has."""
        hangs = bool(self._abandoned) or 0 < self.attempt_deadline() <= now
        fails = self.refusal is not None and self.refusal.kind is ErrorKind.LOST
        if self.open and (hangs or fails):
            self._voice.problem("full", logging.WARNING, _FULL)

    def ask(self, link: Link, request: Asked, now: float) -> None:
        """Hands a request to a connection, which is not idle any more."""
        link.progress.begin(now)
        self._actions.append(Ask(link, request))

    def release(self, link: Link, alive: bool) -> None:
        """Takes a connection back; one that is dead is closed."""
        if alive:
            self.idle.append(link)
        else:
            self.open.remove(link)
            self._lost = True
            self._actions.append(Close(link, lost=True))

    def close_spare(self, kept: Optional[Link], hanging: int) -> None:
        """Closes idle connections that were opened beside hung requests, of which this number still
        hangs; never ``kept``."""
        for link in [link for link in reversed(self.idle) if link is not kept]:
            if len(self.open) - hanging > self.keep:
                self.idle.remove(link)
                self.open.remove(link)
                self._actions.append(Close(link))

"""The calls that a source can make on its connection, and what their errors mean.

Invariant: a call that fails costs its own record only, unless the connection is dead or access is
refused. A call that the driver does not have is not made again; its error is that of the source.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

from ..connection import api
from ..connection.api import Connection, Handle
from ..connection.errors import ErrorKind, LibvirtError
from ..connection.facts import Facts
from ..connection.requests import Progress
from ..connection.undo import changes
from ..log import log

#: libvirt's number for "not now, not in this state, or not on this host".
_INVALID = 55


class Calls:
    """The calls of one fetch on a connection. Where the fetch is goes to ``progress``."""

    def __init__(self, connection: Connection, facts: Facts, progress: Progress) -> None:
        #: The last error of a call, and the number of calls that succeeded.
        self.error: Optional[LibvirtError] = None
        self.succeeded = 0
        self._connection = connection
        self._facts = facts
        self._progress = progress

    def host(self, method: str, *arguments: Any) -> Any:
        """The result of a call of virConnect, or None if it fails."""
        self._at("")
        return self._try(
            self._connection, method, lambda: self._connection.host(method, *arguments)
        )

    def call(self, handle: Handle, method: str, *arguments: Any) -> Any:
        """The result of a call for a domain, a pool, a network and so on; None if it fails."""
        self._at(api.domain_name(handle))
        result = self._try(handle, method, lambda: api.call(handle, method, *arguments))
        self._at("")
        return result

    def _at(self, name: str) -> None:
        self._progress.step(name, time.monotonic())

    def _try(self, owner: Any, method: str, call: Callable[[], Any]) -> Any:
        facts = self._facts
        if known := facts.unsupported.get((type(owner), method)):
            self.error = known
            return None
        try:
            result = call()
        except LibvirtError as error:
            error.__traceback__ = error.__context__ = None  # they would keep the connection open
            if error.kind is ErrorKind.DENIED or self._is_lost(error):
                raise
            if error.kind is not ErrorKind.GONE or self._is_invalid(error, owner):
                self.error = error
            facts.learn((type(owner), method), error)
            log.debug("%s: %s", method, error)
            return None
        except UnicodeDecodeError as error:
            text = f"{method}: text that is not UTF-8"
            self.error = LibvirtError(0, 0, text, known=ErrorKind.FAILED)
            log.debug("%s: %s", method, error)
            return None
        self.succeeded += 1
        return result

    def _is_lost(self, error: LibvirtError) -> bool:
        """Whether the connection is dead, or its way to the daemon of another driver behind the one
        that was asked, which libvirt does not open again. Otherwise such a daemon costs only the
        calls that need it."""
        lost = error.kind is ErrorKind.LOST
        return lost and (error.is_closed or not self._connection.works(ask=True))

    def _is_invalid(self, error: LibvirtError, owner: Any) -> bool:
        """Whether a call is never possible here; False if only the domain has just ended. Checks
        once in a fetch."""
        if error.code != _INVALID or self.error is not None:
            return False
        try:
            return bool(api.call(owner, "isActive"))
        except (LibvirtError, AttributeError):  # a host and a volume are neither active nor not
            return False

    def quietly(self, handle: Handle, method: str, *arguments: Any) -> Any:
        """The same as :meth:`call`; its outcome says nothing about the source."""
        before = self.error, self.succeeded
        result = self.call(handle, method, *arguments)
        self.error, self.succeeded = before
        return result

    @contextmanager
    def changed(self, handle: Handle, method: str, value: Any, usual: Any) -> Iterator[list[bool]]:
        """Sets a value of a domain for the block, and then the usual one, also after the fetch has
        been abandoned, and at the end of the program. The list has an element afterwards if that
        failed, such as on a connection that was lost: :meth:`set` it later."""
        failed: list[bool] = []

        def back() -> None:
            known = (type(handle), method) in self._facts.unsupported
            if not known and not self.set(handle, method, usual):
                failed.append(True)

        with changes.made(lambda: self.quietly(handle, method, value, 0), back):
            yield failed

    def set(self, handle: Handle, method: str, value: Any) -> bool:
        """Sets a value of a domain, also after the fetch has been abandoned; returns whether that
        succeeded."""
        progress, flags = self._progress, 0
        progress.at, progress.since = api.name(handle), time.monotonic()
        try:
            api.call(handle, method, value, flags)
        except LibvirtError as error:
            log.debug("%s: %s", method, error)
            return False
        finally:
            progress.at, progress.since = "", time.monotonic()
        return True

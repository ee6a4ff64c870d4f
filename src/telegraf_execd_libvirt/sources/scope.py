"""The calls that a source can make on its connection, and the records of domains.

Invariant: a call that fails costs its own record only, unless the connection is dead or access is
refused. A call that the driver does not have is not made again; its error is that of the source.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, Optional

from ..connection import api
from ..connection.api import Connection, Handle
from ..connection.errors import ErrorKind, LibvirtError
from ..connection.facts import Facts
from ..domain.devices import NO_DEVICES, Devices
from ..domain.record import NO_IDENTITY, Domain, record
from ..domain.selection import Selection
from ..log import log

#: libvirt's number for "not now, not in this state, or not on this host".
_INVALID = 55

#: libvirt's filter for lists: VIR_CONNECT_LIST_DOMAINS_ACTIVE.
_ACTIVE = 1


class Abandoned(Exception):
    """The fetch has been given up: it must make no more calls."""


class Scope:
    """One connection of one source. ``facts`` returns what is known about the hypervisor;
    ``skipped`` returns the names of domains whose calls hang. ``lane`` is the number of this
    connection and the number of connections among which the domains are divided. ``timeout`` is
    the longest time for one call, in seconds."""

    def __init__(
        self,
        connection: Connection,
        selection: Selection,
        facts: Callable[[], Facts],
        skipped: Callable[[], frozenset[str]],
        options: Mapping[str, Any],
        timeout: float,
        identity: bool = False,
        lane: tuple[int, int] = (0, 1),
    ) -> None:
        self.options = options
        self.timeout = timeout
        #: The last error of a call, and the number of calls that succeeded.
        self.error: Optional[LibvirtError] = None
        self.succeeded = 0
        #: The earlier error of a domain that is not asked now.
        self.held: Optional[LibvirtError] = None
        #: The domain whose call is running, or empty; the start of the current step.
        self.at = ""
        self.step = time.monotonic()
        self.abandoned = False
        self._connection = connection
        self._selection = selection
        self._facts = facts
        self._skipped = skipped
        self._identity = identity
        self._lane = lane

    def begin(self) -> None:
        """A new fetch."""
        self.error, self.held, self.succeeded = None, None, 0
        self._at("")

    def hold(self, error: Optional[LibvirtError]) -> None:
        """Notes that a domain is not asked now because of an earlier error; None: an earlier call
        was given up."""
        text = f"a call did not return within {self.timeout:g}s"
        self.held = self.held or error or LibvirtError(0, 0, text, known=ErrorKind.FAILED)

    def domains(
        self, active: bool = False, any_state: bool = False, hanging: bool = False
    ) -> Iterator[Handle]:
        """The selected domains. ``active``: only active ones; ``any_state``: regardless of the
        selected states; ``hanging``: also domains whose calls hang."""
        self._at("")
        flags = 0 if any_state else self._selection.flags
        handles = self._connection.domains(flags | (_ACTIVE if active else 0))
        by_name = dict(zip(api.names(handles), handles))
        handles.clear()
        for name in self._selection.names(by_name):
            handle = by_name.pop(name)
            if not self._is_mine(handle) or (self.hangs(handle) and not hanging):
                continue
            if any_state or self._has_state(handle):
                yield handle

    def selects(self, name: str) -> bool:
        """Whether a domain of this name is selected."""
        return bool(self._selection.names([name]))

    def hangs(self, handle: Handle) -> bool:
        """Whether calls for this domain hang at the moment."""
        return api.name(handle) in self._skipped()

    def _is_mine(self, handle: Handle) -> bool:
        number, count = self._lane
        return count == 1 or zlib.crc32(api.uuid(handle).encode()) % count == number

    def _has_state(self, handle: Handle) -> bool:
        if not self._selection.by_state:
            return True
        state = self.quietly(handle, "state")
        return bool(state) and self._selection.has_state({"state.state": state[0]})

    def uuid(self, handle: Handle) -> str:
        """The UUID of a domain; no call."""
        return api.uuid(handle)

    def name(self, handle: Handle) -> str:
        """The name of a domain, pool, volume or network; no call."""
        return api.name(handle)

    def host(self, method: str, *arguments: Any) -> Any:
        """The result of a call of virConnect, or None if it fails."""
        self._at("")
        return self._try(
            self._connection, method, lambda: self._connection.host(method, *arguments)
        )

    def call(self, handle: Handle, method: str, *arguments: Any) -> Any:
        """The result of a call for a domain, a pool, a network and so on; None if it fails."""
        self._at(api.name(handle) if api.is_domain(handle) else "")
        result = self._try(handle, method, lambda: api.call(handle, method, *arguments))
        self._at("")
        return result

    def _at(self, name: str) -> None:
        if self.abandoned:
            raise Abandoned
        self.at, self.step = name, time.monotonic()

    def _try(self, owner: Any, method: str, call: Callable[[], Any]) -> Any:
        facts = self._facts()
        if known := facts.unsupported.get((type(owner), method)):
            self.error = known
            return None
        try:
            result = call()
        except LibvirtError as error:
            error.__traceback__ = error.__context__ = None  # they would keep the connection open
            if error.kind in (ErrorKind.LOST, ErrorKind.DENIED):
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

    def _is_invalid(self, error: LibvirtError, owner: Any) -> bool:
        """Whether a call is never possible here; False if only the domain has just ended. Checks
        once in a fetch."""
        if error.code != _INVALID or self.error is not None:
            return False
        try:
            return bool(api.call(owner, "isActive"))
        except (LibvirtError, AttributeError):  # a host and a volume are neither active nor not
            return False

    def xml(self, handle: Handle) -> Optional[str]:
        """The XML of a domain, a pool and so on, or None."""
        result = self.quietly(handle, "XMLDesc")
        return None if result is None else str(result)

    def quietly(self, handle: Handle, method: str, *arguments: Any) -> Any:
        """The same as :meth:`call`; its outcome says nothing about the source."""
        before = self.error, self.succeeded
        result = self.call(handle, method, *arguments)
        self.error, self.succeeded = before
        return result

    def undo(self, handle: Handle, method: str, *arguments: Any) -> None:
        """A call that takes an earlier one back, also after the fetch has been given up. Its
        outcome does not matter."""
        self.at, self.step = api.name(handle), time.monotonic()
        try:
            api.call(handle, method, *arguments)
        except LibvirtError as error:
            log.debug("%s: %s", method, error)
        self.at, self.step = "", time.monotonic()

    def devices(self, handle: Handle) -> Devices:
        """The disks and interfaces of a domain."""
        cache = self._facts().devices
        return cache.get(api.uuid(handle), api.life(handle), lambda: self.xml(handle)) or NO_DEVICES

    def watch(self, kinds: Iterable[int], changed: Callable[..., None]) -> None:
        """Calls ``changed(kind, uuid, name, arguments)`` for each event of these kinds, in
        libvirt's event thread; see :meth:`.api.Connection.watch_kinds`."""
        self._at("")
        self._connection.watch_kinds(kinds, changed)

    def domain(self, handle: Handle, prefix: str, keys: Mapping[str, Any], **tags: str) -> Domain:
        """The record of a line about a domain, with the domain's own tags; see :func:`.record`."""
        return record(api.name(handle), prefix, keys, {**self.tags(handle), **tags})

    def tags(self, handle: Handle) -> Mapping[str, str]:
        """The additional tags of a domain."""
        if not self._identity:
            return NO_IDENTITY.tags
        cache, uuid, life = self._facts().identities, api.uuid(handle), api.life(handle)
        known, _ = cache.find(uuid, life)  # the ticks read it again when it is due
        return (known or cache.get(uuid, life, lambda: self.xml(handle)) or NO_IDENTITY).tags

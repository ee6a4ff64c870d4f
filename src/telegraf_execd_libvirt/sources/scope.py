"""The calls that a source can make on its connection, and the records of domains.

Invariant: a call that fails costs its own record only, unless the connection is dead or access is
refused. A call that the driver does not have is not made again; its error is that of the source.
"""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Optional

from ..connection import api
from ..connection.api import Connection, Handle
from ..connection.errors import ErrorKind, LibvirtError
from ..connection.facts import Facts
from ..connection.handles import look_up_each
from ..connection.requests import FetchRequest, Progress, Records
from ..connection.undo import changes
from ..connection.xml_cache import T, XmlCache
from ..domain.devices import NO_DEVICES, Devices
from ..domain.record import NO_IDENTITY, Domain, record
from ..domain.selection import Selection
from ..domain.xml import parse_xml
from ..log import log

#: libvirt's number for "not now, not in this state, or not on this host".
_INVALID = 55

#: libvirt's filter for lists: VIR_CONNECT_LIST_DOMAINS_ACTIVE.
_ACTIVE = 1


class Scope:
    """One fetch of a source on a connection. ``options`` and ``timeout`` are those of the source;
    ``identity``: domains have additional tags. Where the fetch is goes to ``progress``."""

    def __init__(
        self,
        connection: Connection,
        request: FetchRequest,
        selection: Selection,
        facts: Facts,
        progress: Progress,
        identity: bool = False,
    ) -> None:
        self.options = request.options
        self.timeout = request.timeout
        #: The last error of a call, and the number of calls that succeeded.
        self.error: Optional[LibvirtError] = None
        self.succeeded = 0
        #: The earlier error of a domain that is not asked now.
        self.held: Optional[LibvirtError] = None
        #: What limits have left out: numbers by the texts for the log.
        self.dropped: dict[str, int] = {}
        self._connection = connection
        self._request = request
        self._selection = selection
        self._facts = facts
        self._progress = progress
        self._identity = identity

    def hold(self, error: Optional[LibvirtError]) -> None:
        """Notes that a domain is not asked now because of an earlier error; None: an earlier call
        was abandoned."""
        text = f"a call did not return within {self.timeout:g}s"
        self.held = self.held or error or LibvirtError(0, 0, text, known=ErrorKind.FAILED)

    def drop(self, count: int, text: str) -> None:
        """Notes that a limit has left out this many lines or events. The log says each text once;
        the health counts."""
        if count:
            self.dropped[text] = self.dropped.get(text, 0) + count

    def domains(
        self, active: bool = False, any_state: bool = False, hung: bool = False
    ) -> Iterator[Handle]:
        """The selected domains. ``active``: only active ones; ``any_state``: regardless of the
        selected states; ``hung``: also domains whose calls hang."""
        by_name = self._handles(active, any_state)
        for name in self._selection.names(by_name):
            handle = by_name.pop(name)
            if not self._is_mine(handle) or (self.is_hung(handle) and not hung):
                continue
            if any_state or self._has_state(handle):
                yield handle

    def _handles(self, active: bool, any_state: bool) -> dict[str, Handle]:
        uuids = self._request.uuids
        if uuids is not None:
            found = look_up_each(self._connection, uuids, uuids, self._progress)
            return {name: h for name, h in found.items() if not active or api.life(h) != -1}
        self._at("")
        flags = 0 if any_state else self._selection.flags
        handles = self._connection.domains(flags | (_ACTIVE if active else 0))
        return {api.name(handle): handle for handle in handles}

    @property
    def sees_all(self) -> bool:
        """Whether a domain that is not listed is gone; otherwise it may be locked."""
        return self._request.uuids is None

    def selects(self, name: str) -> bool:
        """Whether a domain of this name is selected."""
        return bool(self._selection.names([name]))

    def is_hung(self, handle: Handle) -> bool:
        """Whether calls for this domain hang at the moment."""
        return api.name(handle) in self._request.skipped

    def _is_mine(self, handle: Handle) -> bool:
        number, count = self._request.lane
        return count == 1 or zlib.crc32(api.uuid(handle).encode()) % count == number

    def _has_state(self, handle: Handle) -> bool:
        if not self._selection.by_state:
            return True
        state = self.quietly(handle, "state")
        return bool(state) and self._selection.has_state({"state.state": state[0]})

    #: The UUID of a domain or a pool, and the name of a domain, pool, volume or network; no call.
    uuid, name = staticmethod(api.uuid), staticmethod(api.name)

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

    def xml(self, handle: Handle) -> ET.Element:
        """The XML of a domain, a pool and so on; an empty element if it cannot be read."""
        try:
            return parse_xml(self.quietly(handle, "XMLDesc") or "")
        except ValueError:
            return ET.Element("unknown")

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

    def devices(self, handle: Handle) -> Devices:
        """The disks and interfaces of a domain."""
        return self._cached(self._facts.devices, handle) or NO_DEVICES

    def domain(self, handle: Handle, prefix: str, keys: Mapping[str, Any], **tags: str) -> Domain:
        """The record of a line about a domain, with the domain's own tags; see :func:`.record`."""
        return record(api.name(handle), prefix, keys, {**self.tags(handle), **tags})

    def tags(self, handle: Handle) -> Mapping[str, str]:
        """The additional tags of a domain."""
        if not self._identity:
            return NO_IDENTITY.tags
        cache = self._facts.identities
        # The ticks read it again when it is due.
        known, _ = cache.find(api.uuid(handle), api.life(handle))
        return (known or self._cached(cache, handle) or NO_IDENTITY).tags

    def _cached(self, cache: XmlCache[T], handle: Handle) -> Optional[T]:
        read = partial(self.quietly, handle, "XMLDesc")
        return cache.get(api.uuid(handle), api.life(handle), read)


def fetch(scope: Scope, request: FetchRequest) -> Records:
    """Fetches a source. Raises LibvirtError if nothing can be asked, and Abandoned."""
    domains = [*request.fetch(scope)]
    held = scope.error is None and scope.held is not None
    return Records(domains, scope.succeeded > 0, scope.error or scope.held, held, scope.dropped)

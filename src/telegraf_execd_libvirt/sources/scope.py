"""One fetch of a source: the domains that it asks, its calls, and the records of domains.

Invariant: only domains that the configuration selects are asked, and none whose calls hang.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Optional

from ..connection import api
from ..connection.api import Connection, Handle
from ..connection.errors import ErrorKind, LibvirtError
from ..connection.facts import Facts
from ..connection.handles import look_up_each
from ..connection.requests import FetchRequest, Progress, Records
from ..connection.xml_cache import T, XmlCache
from ..domain.devices import NO_DEVICES, Devices
from ..domain.record import NO_IDENTITY, Domain, is_arriving, record
from ..domain.selection import Selection
from ..domain.xml import parse_xml
from ..groups import STATISTICS_GROUPS
from ..log import log
from .calls import Calls

#: libvirt's filter for lists: VIR_CONNECT_LIST_DOMAINS_ACTIVE.
_ACTIVE = 1

#: VIR_DOMAIN_XML_INACTIVE.
_INACTIVE = 2


class Scope(Calls):
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
        super().__init__(connection, facts, progress)
        #: The earlier error of a domain that is not asked now.
        self.held: Optional[LibvirtError] = None
        #: The number of what the source says that it counts.
        self.counted = 0
        #: What limits have left out: numbers by the texts for the log.
        self.dropped: dict[str, int] = {}
        self._request = request
        self._selection = selection
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

    def lack(self, text: str) -> None:
        """Notes what the last error costs, although other calls succeed. The log says each text
        once, and --check all of them."""
        if self.error is not None:
            self.dropped.setdefault(f"{text}: {self.error}", 0)

    def domains(
        self,
        active: bool = False,
        any_state: bool = False,
        hung: bool = False,
        arriving: bool = True,
    ) -> Iterator[Handle]:
        """The selected domains. ``active``: only active ones; ``any_state``: regardless of the
        selected states; ``hung``: also domains whose calls hang; ``arriving``: also domains that a
        migration brings to this host, whose monitor libvirt does not ask until then."""
        by_name = self._handles(active, any_state)
        left_out = frozenset() if arriving else self._arriving([*by_name.values()])
        for name in self._selection.names(by_name):
            handle = by_name.pop(name)
            if name in left_out:
                continue
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

    def _arriving(self, handles: list[Handle]) -> frozenset[str]:
        """The names of domains that a migration brings to this host: one call, which needs no
        monitor."""
        try:
            records = self._connection.statistics(handles, STATISTICS_GROUPS["state"].bit, 0)
        except (LibvirtError, UnicodeDecodeError) as error:
            log.debug("states: %s", error)
            return frozenset()
        return frozenset(api.name(handle) for handle, stats in records if is_arriving(stats))

    def having(self, filter: int) -> Optional[frozenset[str]]:
        """The UUIDs of the domains that one of libvirt's filters for lists selects; None if that
        cannot be asked now. That each driver has the filters says nothing about the source."""
        succeeded = self.succeeded
        found = self.host("listAllDomains", filter) if self.sees_all else None
        self.succeeded = succeeded
        return None if found is None else frozenset(map(api.uuid, found))

    @property
    def uri(self) -> str:
        """What may be shown of the hypervisor's URI."""
        return self._connection.uri

    @property
    def sees_all(self) -> bool:
        """Whether a domain that is not listed is gone; otherwise it may be locked."""
        return self._request.uuids is None

    def selects(self, name: str) -> bool:
        """Whether a domain of this name is selected."""
        return bool(self._selection.names([name]))

    def call_present(self, handle: Handle, method: str, *arguments: Any) -> Any:
        """The same as :meth:`call`; that a domain refuses it which a migration brings to this host
        says nothing about the source."""
        before = self.error
        result = self.call(handle, method, *arguments)
        if result is None and self.error is not before and self._arriving([handle]):
            self.error = before
        return result

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

    def xml(self, handle: Handle) -> ET.Element:
        """The XML of a domain, a pool and so on; an empty element if it cannot be read."""
        try:
            return parse_xml(self.quietly(handle, "XMLDesc") or "")
        except ValueError:
            return ET.Element("unknown")

    def devices(self, handle: Handle) -> Devices:
        """The disks and interfaces of a domain."""
        return self._cached(self._facts.devices, handle) or NO_DEVICES

    def domain(self, handle: Handle, prefix: str, keys: Mapping[str, Any], **tags: str) -> Domain:
        """The record of a line about a domain, with the domain's own tags; see :func:`.record`."""
        return record(api.name(handle), prefix, keys, {**self.tags(handle), **tags})

    def tags(self, handle: Handle) -> Mapping[str, str]:
        """The additional tags of a domain; the last ones if its XML cannot be read now."""
        if not self._identity:
            return NO_IDENTITY.tags
        cache = self._facts.identities
        # The ticks read it again when it is due.
        known, _ = cache.find(api.uuid(handle), api.life(handle))
        if known is None and not self.is_hung(handle):
            known = self._cached(cache, handle)
        return self.last_tags(api.uuid(handle)) if known is None else known.tags

    def last_tags(self, uuid: str) -> Mapping[str, str]:
        """The additional tags that a domain had last, as far as they are known; no call."""
        known = self._facts.identities.last(uuid)
        if known is None and self._facts.uuid_tag:
            return {"uuid": uuid}  # it was not there long enough to be read
        return (known or NO_IDENTITY).tags

    def inventory(self, handle: Handle, kind: str) -> Sequence[Mapping[str, str]]:
        """The tags of the info lines of a domain; if its calls hang, those that are known."""
        cache = self._facts.identities
        known, is_due = cache.find(api.uuid(handle), api.life(handle))
        if is_due and not self.is_hung(handle):
            known = cache.get(
                api.uuid(handle), api.life(handle), partial(self.call, handle, "XMLDesc")
            )
        return (known or NO_IDENTITY).inventory.get(kind, ())

    def changes(self, handle: Handle) -> Optional[Sequence[str]]:
        """What a restart of a persistent domain would change; nothing if it does not run, None if
        that is not known."""
        uuid, life = api.uuid(handle), api.life(handle)
        if life == -1:
            return ()
        cache = self._facts.restarts
        if self.is_hung(handle):
            return cache.find(uuid, life)[0]
        return cache.get(uuid, life, partial(self._definitions, handle))

    def _definitions(self, handle: Handle) -> Optional[tuple[str, str]]:
        """The XML of a domain's definition, and of what runs."""
        texts = [self.call(handle, "XMLDesc", flags) for flags in (_INACTIVE, 0)]
        return None if None in texts else (texts[0], texts[1])

    def _cached(self, cache: XmlCache[T], handle: Handle) -> Optional[T]:
        read = partial(self.quietly, handle, "XMLDesc")
        return cache.get(api.uuid(handle), api.life(handle), read)


def fetch(scope: Scope, request: FetchRequest) -> Records:
    """Fetches a source. Raises LibvirtError if nothing can be asked, and Abandoned."""
    domains = [*request.fetch(scope)]
    held = scope.error is None and scope.held is not None
    return Records(
        domains, scope.succeeded > 0, scope.error or scope.held, held, scope.dropped, scope.counted
    )

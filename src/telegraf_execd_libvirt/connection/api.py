"""libvirt's calls: arguments go in, records and translated errors come out.

Invariant: only this module, :mod:`.raised` and :mod:`.client` import libvirt; :mod:`.vcpus` calls
two functions of its C library. libvirt's exceptions leave this module as LibvirtError. A handle is
opaque to all but :mod:`.vcpus`. This module keeps no facts and makes no decisions. A function may
block as long as libvirt does, unless its docstring says that it makes no call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Callable, Optional

import libvirt

from ..domain.record import Stats
from ..log import log
from ..uri import redact_uri
from . import ssh
from .client import client_log, format_version, start_events, takes_channels
from .conceal import conceal, hide
from .errors import ErrorKind, LibvirtError, message_of, readable
from .raised import translated
from .refusals import refused

#: A domain of a connection, for further calls about it.
Handle = Any

#: Domains with their bulk statistics.
Records = list[tuple[Handle, Stats]]

#: Takes an event: its kind, the domain's UUID and name, and what else libvirt passes.
EventTaker = Callable[[int, str, str, tuple[Any, ...]], None]

#: The kinds of events after which a domain's XML may be another one.
CHANGES = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_DISK_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
)

#: The file of libvirt-python's C module.
EXTENSION: Optional[str] = getattr(getattr(libvirt, "libvirtmod", None), "__file__", None)

NOWAIT: int = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
BACKING: int = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING

#: VIR_DOMAIN_EVENT_ID_CHANNEL_LIFECYCLE, which older bindings do not name.
_CHANNEL_LIFECYCLE = 29

#: Objects that belong to a domain.
_OF_DOMAINS = (libvirt.virDomainSnapshot, libvirt.virDomainCheckpoint)

# Seconds between keepalive messages, and the number of them that may stay unanswered.
_KEEPALIVE = (5, 2)


class Connection:
    """A connection to a hypervisor, read-only if not stated otherwise. Opening it may hang; it
    raises LibvirtError.

    It closes when no call and no domain's handle refers to it any more.
    """

    def __init__(self, uri: str, read_only: bool = True) -> None:
        start_events()
        hide(uri)
        #: What may be shown of the URI.
        self.uri = redact_uri(uri)
        self._callbacks: list[int] = []
        flags = libvirt.VIR_CONNECT_RO if read_only else 0
        client_log.reasons()  # drop those of earlier calls
        try:
            with translated("open", shown=str), ssh.prepared(uri) as client_uri:
                self._connection = libvirt.openAuth(client_uri, _AUTHENTICATION, flags)
                self.driver: str = self._connection.getType()
                self.version = format_version(self._connection.getLibVersion())
        except LibvirtError as error:
            raise refused(error, uri, client_log.reasons()) from None
        try:
            self._connection.setKeepAlive(*_KEEPALIVE)
        except libvirt.libvirtError:
            pass  # drivers without a daemon, such as test and esx, have no keepalive

    @property
    def handle(self) -> Handle:
        """libvirt-python's connection, for :mod:`.vcpus`; no call."""
        return self._connection

    def works(self, ask: bool) -> bool:
        """False if the connection is known to be dead; with ``ask`` also if the daemon at the other
        end does not answer a call, without it no call."""
        try:
            alive = bool(self._connection.isAlive())
            if alive and ask:
                self._connection.getLibVersion()
        except libvirt.libvirtError:
            return False
        return alive

    @cached_property
    def count(self) -> Optional[int]:
        """The number of domains when it is first asked for, with inactive ones if the driver counts
        them; None if unknown."""
        active: Optional[int] = None
        try:
            active = int(self._connection.numOfDomains())
            return active + int(self._connection.numOfDefinedDomains())
        except libvirt.libvirtError:
            return active

    def watch(self, kinds: Iterable[int], changed: EventTaker) -> None:
        """Calls ``changed`` with the kind (VIR_DOMAIN_EVENT_ID_*), the domain's UUID and name, and
        what else libvirt passes, for each event, in libvirt's event thread. Kinds that the driver
        lacks never come."""

        def event(connection: Any, handle: Handle, *details: Any) -> None:
            changed(details[-1], uuid(handle), name(handle), details[:-1])

        for kind in kinds:
            if kind == _CHANNEL_LIFECYCLE and not takes_channels():
                continue
            try:
                number = self._connection.domainEventRegisterAny(None, kind, event, kind)
            except libvirt.libvirtError as error:
                log.debug("no events of kind %s: %s", kind, conceal(str(error)))
            else:
                self._callbacks.append(number)

    def unwatch(self) -> None:
        """Removes the event callbacks, which would keep the connection open."""
        while self._callbacks:
            try:
                self._connection.domainEventDeregisterAny(self._callbacks.pop())
            except libvirt.libvirtError:
                pass  # the connection is dead; libvirt has dropped the callback already

    def look_up(self, name: str, uuid: str) -> Optional[Handle]:
        """The domain with this UUID, or else, if it was defined anew, with this name; None if there
        is none. An empty UUID is not known. Raises LibvirtError."""
        calls = [(self._connection.lookupByUUIDString, uuid)] if uuid else []
        for call, key in [*calls, (self._connection.lookupByName, name)]:
            try:
                with translated(call.__name__):
                    return call(key)
            except LibvirtError as error:
                if error.kind is not ErrorKind.GONE:
                    raise
        return None

    def domains(self, flags: int) -> list[Handle]:
        """The domains that libvirt's filters select (0: all); raises LibvirtError."""
        return list(self.host("listAllDomains", flags))

    def host(self, method: str, *arguments: Any) -> Any:
        """One call about the host, by the name of its virConnect method; raises LibvirtError."""
        with translated(method):
            return getattr(self._connection, method)(*arguments)

    def statistics(self, handles: Optional[Sequence[Handle]], groups: int, flags: int) -> Records:
        """The bulk statistics of these domains (None: of all), without domains that are gone.
        ``groups`` is a mask of VIR_DOMAIN_STATS_* bits; 0 selects all groups of the driver. Raises
        LibvirtError, and UnicodeDecodeError if a string is not UTF-8."""
        with translated("getAllDomainStats"):
            if handles is None:
                return list(self._connection.getAllDomainStats(groups, flags))
            if not handles:
                return []
            return list(self._connection.domainListGetStats(list(handles), groups, flags))


def name(handle: Handle) -> str:
    r"""The name of a domain, a volume, a snapshot and so on; no call. A byte that is not UTF-8
    becomes its number, ``\xff``."""
    try:
        return str(handle.getName() if isinstance(handle, _OF_DOMAINS) else handle.name())
    except UnicodeDecodeError as error:
        return readable(error)


def names(handles: Iterable[Handle]) -> list[str]:
    """The names of domains; no call."""
    try:
        return [handle.name() for handle in handles]
    except UnicodeDecodeError:
        return [name(handle) for handle in handles]


def is_utf8(handle: Handle) -> bool:
    """Whether the domain's name is UTF-8; no call."""
    try:
        handle.name()
    except UnicodeDecodeError:
        return False
    return True


def uuid(handle: Handle) -> str:
    """The domain's UUID as text; no call."""
    return str(handle.UUIDString())


def raw_uuids(handles: Iterable[Handle]) -> list[bytes]:
    """The UUIDs of domains as bytes, which libvirt makes faster than text; no call."""
    return [handle.UUID() for handle in handles]


def domain_name(handle: Handle) -> str:
    """The name of the domain for which a call with this handle may wait; empty for a pool, a volume
    or a network. No call."""
    owner = handle.getDomain() if isinstance(handle, _OF_DOMAINS) else handle
    return name(owner) if isinstance(owner, libvirt.virDomain) else ""


def life(handle: Handle) -> int:
    """The domain's id when the handle was made, a new number at each start, -1 while it is off; no
    call."""
    return int(handle.ID())


def call(handle: Handle, method: str, *arguments: Any) -> Any:
    """One call for one domain, by the name of its virDomain method; raises LibvirtError, and
    UnicodeDecodeError, but not for XML."""
    with translated(method, type(handle).__name__):
        try:
            return getattr(handle, method)(*arguments)
        except UnicodeDecodeError as error:
            if method != "XMLDesc" or message_of(error) is not None:
                raise
            return readable(error)


def check(result: int, text: str) -> int:
    """The result of a function of libvirt's C library about a domain; raises LibvirtError if it is
    negative."""
    with translated("", "virDomain"):
        if result < 0:
            raise libvirt.libvirtError(text)
    return result


# libvirt looks up these kinds of credentials in its auth.conf, and never prompts for them.
_AUTHENTICATION = [[libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE], lambda *_: -1, None]

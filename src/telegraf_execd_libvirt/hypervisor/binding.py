"""The one module that imports libvirt: connections and calls, with libvirt's errors translated.

Rule guarded: connections are read-only, and nothing of libvirt's own (exceptions, constants,
messages on stderr) gets past this module; a domain's handle is opaque to everybody else.
Each function here may hang as long as libvirt likes: call them by way of :mod:`.calls`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import libvirt

from ..domain import Domain, Stats
from ..log import log
from .devices import Devices
from .errors import LibvirtError

#: A domain of a connection, for further calls about it.
Handle = Any

#: What drivers answer to a flag that they do not know (vz: NOWAIT): INVALID_ARG,
#: ARGUMENT_UNSUPPORTED.
_FLAG_NOT_KNOWN = (8, 74)

_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_DISK_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
)
_NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_BACKING = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING

# Seconds between keepalive messages, and how many may go unanswered.
_KEEPALIVE = (5, 2)


def library_version() -> str:
    """The version of the libvirt client library, as 9.0.0."""
    return format_version(int(libvirt.getVersion()))


def format_version(number: int) -> str:
    """A version of libvirt's as people write it: 9000001 is 9.0.1."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


class Connection:
    """A read-only connection to a hypervisor. Opening it may hang; it raises LibvirtError.

    It closes when nothing refers to it any more, neither a call nor a domain's handle.
    """

    def __init__(self, uri: str, bulk: bool) -> None:
        _start_events()
        self._nowait = self._backing = True
        self._callbacks: list[int] = []
        #: The domains, by UUID, whose statistics cannot be had.
        self.refused: set[str] = set()
        #: How many domains fit in one answer, where not all do.
        self.fits: Optional[int] = None
        #: Whether the driver has bulk statistics at all, and they are wanted.
        self.has_bulk = bulk
        #: The calls for one domain that the driver does not have.
        self.lacking: set[str] = set()
        #: The devices of domains by UUID, with the state in which and the time when they were read.
        self.devices: dict[str, tuple[tuple[bool, int], float, Devices]] = {}
        with _errors():
            self._connection = libvirt.openAuth(uri, _AUTHENTICATION, libvirt.VIR_CONNECT_RO)
            self.driver: str = self._connection.getType()
            self.version = format_version(self._connection.getLibVersion())
        try:
            self._connection.setKeepAlive(*_KEEPALIVE)
        except libvirt.libvirtError:
            pass  # drivers without a daemon, such as test and esx, have nothing to keep alive

    def alive(self) -> bool:
        """Whether the connection is not known to be dead; asks nobody."""
        try:
            return bool(self._connection.isAlive())
        except libvirt.libvirtError:
            return False

    def watch(self) -> None:
        """Forgets the devices of a domain when libvirt tells that it was changed or started,
        where the driver has such events."""
        if self._callbacks:
            return
        self._callbacks.append(-1)  # once is enough, also where the driver has no events

        def forget(connection: Any, handle: Handle, *_: Any) -> None:
            self.devices.pop(uuid(handle), None)

        for event in _EVENTS:
            try:
                number = self._connection.domainEventRegisterAny(None, event, forget, None)
            except libvirt.libvirtError as error:
                log.debug("no events of kind %s: %s", event, error)
            else:
                self._callbacks.append(number)

    def unwatch(self) -> None:
        """Before the connection is let go of: libvirt's callbacks would hold on to it."""
        while self._callbacks:
            number = self._callbacks.pop()
            if number >= 0:
                try:
                    self._connection.domainEventDeregisterAny(number)
                except libvirt.libvirtError:
                    pass  # the connection is dead; libvirt has let go of the callback all the same

    def domains(self) -> list[Handle]:
        """All domains, active and not."""
        with _errors():
            return list(self._connection.listAllDomains(0))

    def statistics(
        self, handles: Optional[list[Handle]], groups: int, backing_chain: bool
    ) -> list[Domain]:
        """The bulk statistics of all domains, or of those given; ``groups`` is a mask of bits,
        0 for all that the driver has.

        Domains that are busy come with the keys that need no monitor, where the driver knows
        the flag NOWAIT. Raises UnicodeDecodeError where a string is not UTF-8.
        """
        if handles is not None and not handles:
            return []
        flags = _NOWAIT if self._nowait else 0
        if backing_chain and self._backing:
            flags |= _BACKING
        try:
            with _errors():
                if handles is None:
                    records = self._connection.getAllDomainStats(groups, flags)
                else:
                    records = self._connection.domainListGetStats(handles, groups, flags)
            return [domain(handle, stats) for handle, stats in records]
        except LibvirtError as error:
            if error.code not in _FLAG_NOT_KNOWN or not flags:
                raise
            if self._nowait:
                self._nowait = False
            else:
                self._backing = False
                log.info("driver %s does not know backing images", self.driver)
            return self.statistics(handles, groups, backing_chain)


def domain(handle: Handle, stats: Stats) -> Domain:
    """The record of a domain; asks nobody, for libvirt's answers carry its identity."""
    return Domain(handle.name(), handle.ID() != -1, stats, handle)


def name(handle: Handle) -> str:
    return str(handle.name())


def uuid(handle: Handle) -> str:
    return str(handle.UUIDString())


def is_active(handle: Handle) -> bool:
    """Whether the domain ran when the handle was made."""
    return bool(handle.ID() != -1)


def identity(handle: Handle) -> int:
    """The domain's id, another one each time that it is started."""
    return int(handle.ID())


def call(handle: Handle, name: str, *arguments: Any) -> Any:
    """One call of libvirt for one domain, by the name of its method of virDomain."""
    with _errors():
        return getattr(handle, name)(*arguments)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except libvirt.libvirtError as error:
        raise LibvirtError(
            error.get_error_code() or 0,
            error.get_error_domain() or 0,
            error.get_error_message() or str(error),
            max(0, error.get_int1() or 0),
        ) from None


def _no_credentials(credentials: list[Any], _: object) -> int:
    """Nobody is there to be asked: what is not in libvirt's auth.conf is not known."""
    return -1


# The kinds of credentials are named so that libvirt looks them up in its auth.conf.
_AUTHENTICATION = [
    [libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE],
    _no_credentials,
    None,
]

_events_lock = threading.Lock()
_events_running = False


def _start_events() -> None:
    """libvirt's event loop, once for the process: without it there is no keepalive."""
    global _events_running
    with _events_lock:
        if not _events_running:
            _events_running = True
            libvirt.registerErrorHandler(_log_error, None)
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=_run_events, name="libvirt events", daemon=True).start()


def _run_events() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            log.debug("libvirt's event loop: %s", error)
            time.sleep(1)  # so that a failure that stays does not spin


def _log_error(_: object, error: tuple[Any, ...]) -> None:
    """libvirt would print each of its errors to stderr; those that matter are raised as well."""
    log.debug("libvirt: code %s, domain %s: %s", error[0], error[1], error[2])

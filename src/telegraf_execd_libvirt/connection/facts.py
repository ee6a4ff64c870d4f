"""What is known about a hypervisor beside its answers: facts about its driver, values from its
domains' XML, and the names of running domains in the files of a daemon on this host.

All connections to the hypervisor share the facts.

Invariant: a flag is dropped only after a call without it has succeeded; a method is dropped only if
libvirt reports that the driver does not have it, and then it is not called again. An entry of a
cache is read after the last event about its domain, also if the event arrives during a read. Reads
of old entries are spread over time.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Generic, Optional, TypeVar

from ..domain.devices import Devices
from ..domain.record import Domain, Identity, Stats
from ..groups.schema import Group
from ..log import log
from ..uri import driver_and_transport, is_remote, parameters
from .errors import NO_SUPPORT, ErrorKind, LibvirtError
from .vcpus import pinned

T = TypeVar("T")

#: One life of a domain: its id, a new number at each start and -1 while it is off.
Life = int

#: The pinning of a domain that is off is read again after at most this time.
_OLDEST_PINS_SECONDS = 600.0

#: A method of libvirt's: the class of its object, and its name.
Method = tuple[type, str]

#: The end of a disk's key that only the monitor provides. A guest without disks has no such key,
#: and a drive without a medium may lack it.
_DISK_KEY = ".rd.reqs"

#: A file of the daemon itself.
_DRIVER = "driver"


class XmlCache(Generic[T]):
    """The results of ``parse`` by UUID, for about ``seconds``; ``nothing`` if the XML is unusable
    (ValueError). Instead of XML, ``parse`` may get other data of a domain. Several threads may use
    the cache."""

    def __init__(self, parse: Callable[[Any], T], nothing: T, seconds: float) -> None:
        self._parse = parse
        self._nothing = nothing
        self._seconds = seconds
        self._lock = threading.Lock()  # held for moments, never while XML is read
        self._swept = 0.0
        self._known: dict[str, tuple[Life, float, T]] = {}
        self._reading: dict[str, object] = {}

    def forget(self, uuid: str) -> None:
        """The domain has changed: an entry, and a read that is under way, are out of date."""
        with self._lock:
            self._reading.pop(uuid, None)
            self._known.pop(uuid, None)

    def find(self, uuid: str, life: Life) -> tuple[Optional[T], bool]:
        """What was read in this life of the domain, or None; and whether its XML should be read
        (again)."""
        entry = self._known.get(uuid)
        if entry is None or entry[0] != life:
            return None, True
        return entry[2], entry[1] < time.monotonic()

    def get(self, uuid: str, life: Life, read: Callable[[], Optional[Any]]) -> Optional[T]:
        """What was read in this life of the domain. If it is due, reads the XML with ``read``,
        which may raise ValueError too; None if ``read`` returns None. If the result is equal to
        the known one, returns the known object."""
        known, is_due = self.find(uuid, life)
        if not is_due:
            return known
        now = time.monotonic()
        mark = self._reading[uuid] = object()
        try:
            xml = read()  # UnicodeDecodeError is a ValueError
            if xml is None:
                return None
            found = self._parse(xml)
        except ValueError as error:
            log.warning("domain %s: %s", uuid, error)
            found = self._nothing
        with self._lock:
            old = self._known.get(uuid)
            if old is not None and old[2] == found:
                found = old[2]
            if self._reading.get(uuid) is mark:
                del self._reading[uuid]
                self._known[uuid] = (life, now + self._seconds * random.uniform(0.75, 1.0), found)
            if now - self._swept > self._seconds:
                self._swept = now
                # The domains of entries that were not read again when they were due are gone.
                oldest = now - self._seconds
                self._known = {uuid: e for uuid, e in self._known.items() if e[1] > oldest}
        return found


class Completeness:
    """Which domains came without the keys that need their monitor, answer by answer.

    There are no false alarms: a guest that is off, that lost a device, or whose driver never has
    such keys is complete. libvirt leaves out all keys that need the monitor or none of them.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        #: Each running guest has one of these keys, if its monitor was asked.
        self._monitor_keys = frozenset(group.monitor_key for group in groups if group.monitor_key)
        self._disks = any(group.name == "block" for group in groups)
        self._seen = False

    def incomplete(self, domains: Sequence[Domain]) -> frozenset[str]:
        """The names of the running domains that lack their monitor's keys; empty until at least
        one domain has had such a key."""
        running = [domain for domain in domains if domain.active]
        if keys := self._monitor_keys:
            lacking = {domain.name for domain in running if keys.isdisjoint(domain.stats)}
        elif self._disks:
            running = [domain for domain in running if domain.stats.get("block.count")]
            lacking = {
                name for name, _, keys, _ in running if not any(k.endswith(_DISK_KEY) for k in keys)
            }
        else:
            return frozenset()
        self._seen = self._seen or len(lacking) < len(running)
        return frozenset(lacking) if self._seen else frozenset()


@dataclass
class Facts:
    """Several threads use this object without a lock, so each change of a field is one step."""

    completeness: Completeness
    devices: XmlCache[Devices]
    identities: XmlCache[Identity]
    #: The mapping of domains that are off.
    pins: XmlCache[Stats] = field(
        default_factory=lambda: XmlCache(pinned, Stats(), _OLDEST_PINS_SECONDS)
    )
    has_bulk: bool = True
    #: The flags of bulk statistics that the driver does not know, as the log names them.
    dropped: set[str] = field(default_factory=set)
    #: The number of domains that fit in one answer, if not all of a batch do.
    fits: Optional[int] = None
    #: The UUIDs of the domains whose statistics cannot be read, and those whose names are not
    #: UTF-8.
    unreadable: set[str] = field(default_factory=set)
    misnamed: set[str] = field(default_factory=set)
    #: The methods that the driver does not have, each with the error of its call.
    unsupported: dict[Method, LibvirtError] = field(default_factory=dict)

    def attempt(self, method: Method, call: Callable[[], Any], text: Callable[[], str]) -> Any:
        """The result of a call, or None if it fails or the driver does not have its method.
        ``text`` names the call in the log. Raises LibvirtError only if the connection is dead."""
        if method in self.unsupported:
            return None
        try:
            return call()
        except LibvirtError as error:
            if error.kind is ErrorKind.LOST:
                raise
            log.debug("%s: %s", text(), error)
            self.learn(method, error)
            return None

    def learn(self, method: Method, error: LibvirtError) -> None:
        """Remembers the method if the error says that the driver does not have it."""
        if error.code == NO_SUPPORT:
            error.__traceback__ = error.__context__ = None  # they would keep the connection open
            self.unsupported[method] = error

    def forget(self, uuid: str) -> None:
        """A domain has changed."""
        self.devices.forget(uuid)
        self.identities.forget(uuid)
        self.pins.forget(uuid)


def running_names(uri: str) -> list[str]:
    """The names of running domains, without a call, perhaps with some that are gone: libvirt's
    daemon writes a file NAME.pid for each, with the name as XML has it, and every user may list
    them. None if the daemon is on another host, or not QEMU's."""
    driver, transport = driver_and_transport(uri)
    if driver != "qemu" or transport not in ("", "unix") or is_remote(uri):
        return []
    from xml.sax.saxutils import unescape  # imported here: costs 4 MiB and is seldom needed

    paths = (path for folder in _folders(uri) for path in folder.glob("*.pid"))
    stems = (os.fsencode(path.stem).decode("utf-8", "backslashreplace") for path in paths)
    names = (unescape(stem, {"&quot;": '"', "&apos;": "'"}) for stem in stems)
    return sorted({name for name in names if name != _DRIVER})


def _folders(uri: str) -> Iterator[Path]:
    """The folders of the files: those of the system's daemon, and of a user's daemon."""
    socket = parameters(uri).get("socket", "")
    user = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    if socket:
        bases = [Path(socket).parent]
    elif uri.partition("?")[0].endswith("/session"):
        bases = [Path(user, "libvirt")]
    else:
        bases = [Path("/run/libvirt")]
    for base in bases:
        yield base / "qemu"
        yield base / "qemu" / "run"

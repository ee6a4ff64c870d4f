"""What is known about a hypervisor beside its answers: facts about its driver, values from its
domains' XML, and the names of running domains in the files of a daemon on this host.

All connections to the hypervisor share the facts.

Invariant: a flag is dropped only after a call without it has succeeded; a method is dropped only if
libvirt reports that the driver does not have it, and then it is not called again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

from ..domain.devices import Devices
from ..domain.record import Identity, Stats
from ..domain.restart import NO_CHANGES, changes
from ..log import log
from ..uri import driver_and_transport, is_remote, parameters
from .completeness import Completeness
from .errors import NO_SUPPORT, ErrorKind, LibvirtError
from .vcpus import pinned
from .xml_cache import XmlCache

#: The pinning of a domain that is off is read again after at most this time.
_OLDEST_PINS_SECONDS = 600.0

#: Guests may come and go.
_MOST_NAMED = 10_000

#: The definition of a running domain is read again after at most this time: not each change of it
#: has an event.
_OLDEST_DEFINITION_SECONDS = 300.0

#: A method of libvirt's: the class of its object, and its name.
Method = tuple[type, str]

#: VIR_DOMAIN_EVENT_ID_LIFECYCLE, with the events started and stopped. A domain that wakes up has
#: the first one as well.
_LIFECYCLE, _STARTED, _STOPPED = 0, 2, 5
_WOKEN = (_STARTED, 4)

#: A file of the daemon itself.
_DRIVER = "driver"


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
    #: What a restart of running domains would change.
    restarts: XmlCache[Sequence[str]] = field(
        default_factory=lambda: XmlCache(changes, NO_CHANGES, _OLDEST_DEFINITION_SECONDS)
    )
    #: Whether the daemon is on this host.
    local: bool = False
    #: Whether domains have a tag with their UUID.
    uuid_tag: bool = False
    #: The Unix times at which domains started, by UUID, of those whose event has come.
    starts: dict[str, int] = field(default_factory=dict)
    has_bulk: bool = True
    #: The flags of bulk statistics that the driver does not know, as the log names them.
    dropped: set[str] = field(default_factory=set)
    #: The number of domains that fit in one answer, if not all of a batch do.
    fits: Optional[int] = None
    #: The domains that the log has named: their UUIDs, and what is wrong with each.
    named: set[tuple[str, str]] = field(default_factory=set)
    #: The polkit actions that calls beside the bulk statistics need and do not have.
    refused: set[str] = field(default_factory=set)
    #: The methods that the driver does not have, each with the error of its call.
    unsupported: dict[Method, LibvirtError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for cache in self._caches:
            cache.unusable = self._unusable

    @property
    def _caches(self) -> Sequence[XmlCache[Any]]:
        return self.devices, self.identities, self.pins, self.restarts

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
            if error.action and error.action not in self.refused:
                self.refused.add(error.action)
                need = "the plugin's user needs the polkit action"
                log.warning("%s: %s; %s %s", text(), error, need, error.action)
            log.debug("%s: %s", text(), error)
            self.learn(method, error)
            return None

    def learn(self, method: Method, error: LibvirtError) -> None:
        """Remembers the method if the error says that the driver does not have it."""
        if error.code == NO_SUPPORT:
            error.__traceback__ = error.__context__ = None  # they would keep the connection open
            self.unsupported[method] = error

    def tell(self, uuid: str, what: str, details: object) -> None:
        """Warns once of what is wrong with a domain. A full memory of that begins anew."""
        if self._is_news(uuid, what):
            log.warning("domain %s: %s %s", uuid, what, details)

    def _unusable(self, uuid: str, error: ValueError) -> None:
        """Warns once of XML that several caches may read."""
        if self._is_news(uuid, str(error)):
            log.warning("domain %s: %s", uuid, error)

    def _is_news(self, uuid: str, what: str) -> bool:
        if (uuid, what) in self.named:
            return False
        if len(self.named) >= _MOST_NAMED:
            self.named.clear()
        self.named.add((uuid, what))
        return True

    def changed(self, kind: int, uuid: str, details: tuple[Any, ...]) -> None:
        """An event says that a domain has changed; with the details of libvirt's callback."""
        if kind == _LIFECYCLE and details[:1] == (_STARTED,) and details != _WOKEN:
            self.starts[uuid] = int(time.time())
        elif kind == _LIFECYCLE and details[:1] == (_STOPPED,):
            self.starts.pop(uuid, None)
        self.forget(uuid)

    def forget(self, uuid: str) -> None:
        """A domain has changed."""
        for cache in self._caches:
            cache.forget(uuid)

    def doubt(self) -> None:
        """Any domain may have changed."""
        for cache in self._caches:
            cache.doubt_all()


def running_names(uri: str) -> list[str]:
    """The names of running domains, without a call, perhaps with some that are gone: libvirt's
    daemon writes a file NAME.pid for each, with the name as XML has it, and every user may list
    them. None if the daemon is on another host, or not QEMU's."""
    if not is_on_this_host(uri):
        return []
    from xml.sax.saxutils import unescape  # imported here: costs 4 MiB and is seldom needed

    paths = (path for folder in _folders(uri) for path in folder.glob("*.pid"))
    stems = (os.fsencode(path.stem).decode("utf-8", "backslashreplace") for path in paths)
    names = (unescape(stem, {"&quot;": '"', "&apos;": "'"}) for stem in stems)
    return sorted({name for name in names if name != _DRIVER})


def started_at(uri: str, name: str) -> Optional[int]:
    """The Unix time at which a running domain started, without a call: that of its file, see
    :func:`running_names`. None without one."""
    if not is_on_this_host(uri) or "/" in name:
        return None
    stem = name.replace("&", "&amp;")
    for char, entity in (("<", "lt"), (">", "gt"), ('"', "quot"), ("'", "apos")):
        stem = stem.replace(char, f"&{entity};")
    for folder in _folders(uri):
        try:
            return int((folder / f"{stem}.pid").stat().st_mtime)
        except (OSError, ValueError):
            pass  # it is in the other folder, or the domain has just stopped
    return None


def available_memory(total: object) -> Optional[int]:
    """The available memory of this host in KiB, which libvirt has since 12.3; None if this host
    does not have this ``total``: in a container it may see another one."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        sizes = {name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines)}
    except (OSError, ValueError, IndexError):
        return None
    return sizes.get("MemAvailable") if sizes.get("MemTotal") == total else None


def is_on_this_host(uri: str) -> bool:
    """Whether the daemon is QEMU's on this host."""
    driver, transport = driver_and_transport(uri)
    return driver == "qemu" and transport in ("", "unix") and not is_remote(uri)


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

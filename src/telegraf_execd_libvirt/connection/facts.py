"""Facts learnt about a hypervisor's driver; all connections to the hypervisor share them.

Invariant: a flag is dropped only after a call without it has succeeded; a method is dropped only if
libvirt reports that the driver does not have it, and then it is not called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from ..domain.devices import Devices
from ..domain.record import Domain, Identity, Stats
from ..groups.schema import Group
from ..log import log
from .errors import NO_SUPPORT, ErrorKind, LibvirtError
from .vcpus import pinned
from .xml_cache import XmlCache

#: The pinning of a domain that is off is read again after at most this time.
_OLDEST_PINS_SECONDS = 600.0

#: A method of libvirt's: the class of its object, and its name.
Method = tuple[type, str]

#: The end of a disk's key that only the monitor provides. A guest without disks has no such key,
#: and a drive without a medium may lack it.
_DISK_KEY = ".rd.reqs"


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
        if self._monitor_keys:
            keys = self._monitor_keys
            lacking = [domain.name for domain in running if keys.isdisjoint(domain.stats)]
        elif self._disks:
            running = [domain for domain in running if domain.stats.get("block.count")]
            lacking = [
                domain.name
                for domain in running
                if not any(key.endswith(_DISK_KEY) for key in domain.stats)
            ]
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
    nowait: bool = True
    backing: bool = True
    state_filter: bool = True
    #: The number of domains that fit in one answer, if not all of a batch do.
    fits: Optional[int] = None
    #: The UUIDs of the domains whose statistics cannot be read.
    refused: set[str] = field(default_factory=set)
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

    def give_up(self, driver: str, nowait: int, backing: int, states: int) -> None:
        """The driver does not know these flags; logged once."""
        if nowait and self.nowait:
            self.nowait = False
            log.info("driver %s does not know the flag NOWAIT", driver)
        if backing and self.backing:
            self.backing = False
            log.info("driver %s does not know backing images", driver)
        if states and self.state_filter:
            self.state_filter = False
            log.info("driver %s does not know filters by state", driver)

    def forget(self, uuid: str) -> None:
        """A domain has changed."""
        self.devices.forget(uuid)
        self.identities.forget(uuid)
        self.pins.forget(uuid)

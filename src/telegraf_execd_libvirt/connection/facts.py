"""Facts learnt about a hypervisor's driver; all connections to the hypervisor share them.

Invariant: a flag is dropped only after a call without it has succeeded; a call is dropped only if
libvirt reports that the driver does not have it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from ..domain.devices import Devices
from ..domain.record import Identity, Stats
from ..log import log
from .completeness import Completeness
from .vcpu_mapping import pinned
from .xml_cache import XmlCache

#: The pinning of a domain that is off is read again after at most this time.
_OLDEST_PINS_SECONDS = 600.0


@dataclass
class Facts:
    """Several threads use this object, so each change is one assignment."""

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
    #: The calls for one domain that the driver does not have.
    unsupported_calls: set[str] = field(default_factory=set)

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

"""What was learnt about a hypervisor's driver; all connections to it share this.

Invariant: a fact is learnt from an answer that succeeded, never from a failure alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from ..domain import Identity
from .completeness import Completeness
from .devices import Devices
from .xml_cache import XmlCache


@dataclass
class Facts:
    """Several threads use it: each change is one assignment."""

    completeness: Completeness
    devices: XmlCache[Devices]
    identities: XmlCache[Identity]
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

    def forget(self, uuid: str) -> None:
        """A domain has changed."""
        self.devices.forget(uuid)
        self.identities.forget(uuid)

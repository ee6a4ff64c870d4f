"""What was learnt about a hypervisor's driver; all connections to it share this.

Invariant: a fact is learnt from an answer that succeeded, never from a failure alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from .completeness import Completeness
from .xml_cache import XmlCache


@dataclass
class Facts:
    """Several threads use it: each change is one assignment."""

    completeness: Completeness
    has_bulk: bool = True
    nowait: bool = True
    backing: bool = True
    #: The number of domains that fit in one answer, if not all of a batch do.
    fits: Optional[int] = None
    #: The UUIDs of the domains whose statistics cannot be read.
    refused: set[str] = field(default_factory=set)
    #: The calls for one domain that the driver does not have.
    unsupported_calls: set[str] = field(default_factory=set)
    xml: XmlCache = field(default_factory=XmlCache)

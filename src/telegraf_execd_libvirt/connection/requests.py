"""What a configuration wants of each connection, the requests to it, and the parts of its answers.

Invariant: data only, without libvirt's objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from ..domain.record import Domain, Identity
from ..domain.selection import Selection
from ..groups import STATISTICS_GROUPS
from ..groups.schema import Group

_ALL_GROUPS = 0


@dataclass(frozen=True)
class Wanted:
    """What to read: the groups, or with ``everything`` all groups of the driver, known or not.
    ``mapping`` adds the mapping of vCPUs, ``identity`` the domains' XML, ``host`` the host."""

    groups: Sequence[Group]
    selection: Selection
    everything: bool = False
    backing_chain: bool = False
    bulk: bool = True
    mapping: bool = False
    identity: bool = False
    host: bool = False

    @property
    def all_groups(self) -> Sequence[Group]:
        """The groups to read, with ``state`` if states select domains."""
        state = STATISTICS_GROUPS["state"]
        if self.selection.by_state and state not in self.groups:
            return [*self.groups, state]
        return self.groups

    def mask(self, no_monitor: bool) -> Optional[int]:
        """The bits of the groups; ``no_monitor``: without groups that need it; None if empty."""
        if self.everything and not no_monitor:
            return _ALL_GROUPS
        groups = self.all_groups
        return sum(g.bit for g in groups if not (no_monitor and g.needs_monitor)) or None


@dataclass(frozen=True)
class BatchRequest:
    """Statistics of the domains of these names, or of all domains.

    With ``list_first`` the domains are listed, and the first ``list_first`` of them are read. With
    ``no_monitor`` only statistics that need no monitor are requested. ``stuck`` names domains whose
    own calls hang: only calls that need no monitor are made for them. For domains in ``skip`` only
    bulk statistics are requested.
    """

    names: Optional[Sequence[str]] = None
    list_first: int = 0
    no_monitor: bool = False
    stuck: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()


@dataclass(frozen=True)
class XmlRequest:
    """The XML of these domains, without those that are ``stuck``."""

    names: Sequence[str]
    stuck: frozenset[str] = frozenset()


@dataclass(frozen=True)
class HostRequest:
    """The CPUs and the memory of the host."""


Request = Union[BatchRequest, XmlRequest, HostRequest]


@dataclass(frozen=True)
class Listing:
    """The names of all selected domains, in libvirt's order."""

    names: Sequence[str]


@dataclass(frozen=True)
class Piece:
    """Domains of a batch. ``partial`` names the domains that lack keys. ``due`` names the domains
    whose XML should be read; a domain without an identity waits for it."""

    domains: list[Domain]
    partial: frozenset[str]
    due: Sequence[str] = ()


@dataclass(frozen=True)
class Identities:
    """The identities of domains, by name."""

    found: Mapping[str, Identity]


@dataclass(frozen=True)
class Host:
    """libvirt's records of the host; a record that the driver does not have is empty."""

    info: Sequence[Any] = ()
    memory: Mapping[str, Any] = field(default_factory=dict)
    cpu: Mapping[str, Any] = field(default_factory=dict)


#: A host that was not asked for.
NO_HOST = Host()

Content = Union[Listing, Piece, Identities, Host]

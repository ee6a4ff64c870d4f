"""What a connection can be asked for, and the parts of its answers.

Invariant: data only. A request says all that its reader has to know; an answer holds nothing of
libvirt's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from ..domain import Domain, Identity


@dataclass(frozen=True)
class BatchRequest:
    """Statistics of the domains of these names, or of all domains.

    With ``list_first`` the domains are listed, and the first ``list_first`` of them are read. With
    ``no_monitor`` only statistics that need no monitor are requested. Calls for one domain hang on
    those in ``stuck``, so these are asked for little, and those in ``skip`` for nothing but their
    bulk statistics.
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
    """Domains of a batch. ``partial`` names those that lack keys, ``due`` those whose XML is to be
    read: at once if the domain has no identity, some time soon if it has one."""

    domains: list[Domain]
    partial: frozenset[str]
    due: Sequence[str] = ()


@dataclass(frozen=True)
class Identities:
    """The identities of domains, by name."""

    found: Mapping[str, Identity]


@dataclass(frozen=True)
class Host:
    """libvirt's records of the host; empty what the driver does not have."""

    info: Sequence[Any] = ()
    memory: Mapping[str, Any] = field(default_factory=dict)
    cpu: Mapping[str, Any] = field(default_factory=dict)


#: A host that was not asked for.
NO_HOST = Host()

Content = Union[Listing, Piece, Identities, Host]

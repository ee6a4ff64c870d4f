"""The record of one domain: name, identity and flat keys.

Invariant: keys are named and typed as in libvirt's bulk statistics, whether the bulk call or calls
for one domain fill them, so that one translation serves both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Optional, Union

#: A statistic as libvirt-python returns it.
Value = Union[int, float, bool, str]

#: The names of virDomainState, by number.
STATE_NAMES = (
    *("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended"),
)

#: Flat domstats keys (``net.0.rx.bytes``) and their values.
Stats = dict[str, Value]


class Identity(NamedTuple):
    """The identity of one domain, from its XML.

    ``tags`` belong on each line of the domain. ``devices`` has the tags of each device that has
    any, by family and name: ``("block", "vda")``, ``("net", "vnet0")``. ``info`` has those of uuid,
    title, os_type and machine that are not empty.
    """

    tags: Mapping[str, str] = MappingProxyType({})
    devices: Mapping[tuple[str, str], Mapping[str, str]] = MappingProxyType({})
    info: Mapping[str, str] = MappingProxyType({})


#: The identity of a domain whose XML is not wanted, or cannot be read.
NO_IDENTITY = Identity()


class Domain(NamedTuple):
    """One domain and its statistics; ``active`` comes from the same answer.

    The identity is the same object as long as nothing changes; None: not yet known.
    """

    name: str
    active: bool
    stats: Stats
    identity: Optional[Identity] = NO_IDENTITY


def record(subject: str, prefix: str, keys: Mapping[str, Any], tags: Mapping[str, str]) -> Domain:
    """The record of one line: each key gets the prefix of its metric; None is left out."""
    stats: Stats = {
        f"{prefix}.{key}": value if isinstance(value, (bool, int, float, str)) else str(value)
        for key, value in keys.items()
        if value is not None
    }
    return Domain(subject, True, stats, Identity(tags=tags))

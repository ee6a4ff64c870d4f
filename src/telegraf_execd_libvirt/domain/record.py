"""The record of one domain: name, identity and flat keys.

Invariant: keys are named and typed as in libvirt's bulk statistics, whether the bulk call or calls
for one domain fill them, so that one translation serves both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, Optional, Union

#: A statistic as libvirt-python returns it.
Value = Union[int, float, bool, str]

#: The names of virDomainState, by number.
STATE_NAMES = (
    *("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended"),
)

#: States with their reasons, by number, of a domain that a migration brings to this host: paused
#: (migrating), running (post-copy). Its monitor answers libvirt only after that; the source of a
#: migration has the first state for a moment.
_ARRIVING = ((3, 2), (1, 10))

#: Flat domstats keys (``net.0.rx.bytes``) and their values.
Stats = dict[str, Value]


#: The keys of the statistics by which :meth:`Identity.device_tags` finds a device.
FINDS_DEVICE = re.compile(r"(block|net)\.(count|[0-9]+\.name)")


class Device(NamedTuple):
    """A disk or an interface in a domain's XML."""

    name: str
    tags: Mapping[str, str]


def is_arriving(stats: Mapping[str, Value]) -> bool:
    """Whether a migration brings the domain to this host; False without its state."""
    return (stats.get("state.state"), stats.get("state.reason")) in _ARRIVING


class Identity(NamedTuple):
    """The identity of one domain, from its XML.

    ``tags`` belong on each line of the domain. ``devices`` has the devices of each family that has
    tags (``block``, ``net``), in the order of the XML: the name (``vda``, ``vnet0``, or empty), and
    the tags. ``info`` has other texts that are not empty, such as title and machine, and numbers.
    ``names`` has the keys of the names of all devices, and these names, as the statistics have them
    if they fit the XML. ``inventory`` has the tags of each info line, by kind.
    """

    tags: Mapping[str, str] = MappingProxyType({})
    devices: Mapping[str, Sequence[Device]] = MappingProxyType({})
    info: Mapping[str, Value] = MappingProxyType({})
    names: tuple[tuple[str, ...], tuple[Optional[str], ...]] = ((), ())
    inventory: Mapping[str, Sequence[Mapping[str, str]]] = MappingProxyType({})

    def device_tags(self, family: str, index: str, stats: Stats) -> Mapping[str, str]:
        """The tags of the device with this index in the statistics. It is found by its name, or
        else by its position, if no name in the statistics contradicts that."""
        devices = self.devices.get(family, ())
        if name := stats.get(f"{family}.{index}.name"):
            for device in devices:
                if device.name == name:
                    return device.tags
        found: Mapping[str, str] = {}
        if stats.get(f"{family}.count") != len(devices):
            return found
        for at, device in enumerate(devices):
            if device.name and stats.get(f"{family}.{at}.name", device.name) != device.name:
                return {}
            if str(at) == index:
                found = device.tags
        return found

    def unknown(self, stats: Stats) -> frozenset[Value]:
        """The names in the statistics that no device of the XML has."""
        keys, names = self.names
        if tuple(map(stats.get, keys)) == names:
            return frozenset()  # the usual case; the rest costs ten times as much
        found: set[Value] = set()
        for family, devices in self.devices.items():
            count = stats.get(f"{family}.count", 0)
            numbers = range(min(count, len(stats))) if isinstance(count, int) else ()
            in_statistics = {stats.get(f"{family}.{number}.name", "") for number in numbers}
            found |= in_statistics.difference(device.name for device in devices)
        return frozenset(found - {""})


@lru_cache(maxsize=256)
def name_keys(family: str, count: int) -> tuple[str, ...]:
    """The keys of the names of this many devices and of one more; guests share them."""
    return tuple(f"{family}.{number}.name" for number in range(count + 1))


#: The identity of a domain whose XML is not wanted, or cannot be read.
NO_IDENTITY = Identity()


class Domain(NamedTuple):
    """One domain and its statistics; ``active`` comes from the same answer.

    The identity is the same object as long as nothing changes; None: not yet known. ``groups``
    names the groups that it was asked for (None: all).
    """

    name: str
    active: bool
    stats: Stats
    identity: Optional[Identity] = NO_IDENTITY
    groups: Optional[frozenset[str]] = None


def record(subject: str, prefix: str, keys: Mapping[str, Any], tags: Mapping[str, str]) -> Domain:
    """The record of one line: each key gets the prefix of its metric; None is left out."""
    stats: Stats = {
        f"{prefix}.{key}": value if isinstance(value, (bool, int, float, str)) else str(value)
        for key, value in keys.items()
        if value is not None
    }
    return Domain(subject, True, stats, Identity(tags=tags))

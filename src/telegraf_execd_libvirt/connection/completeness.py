"""Which domains came without the keys that need their monitor.

Invariant: pure, and without false alarms. A guest that is off, that lost a device, or whose driver
never has such keys is complete. libvirt leaves out all keys that need the monitor or none of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.record import Domain
from ..groups.schema import Group

#: The end of a disk's key that only the monitor provides. A guest without disks has no such key,
#: and a drive without a medium may lack it.
_DISK_KEY = ".rd.reqs"


class Completeness:
    """Judges the bulk statistics of the domains of one hypervisor, answer by answer."""

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

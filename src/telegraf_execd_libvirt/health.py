"""The plugin's own statistics, as flat keys like libvirt's, for the group ``health``.

Rule guarded: they are written at each tick, whether the hypervisor could be read or not.
"""

from __future__ import annotations

from dataclasses import dataclass

from .domain import Domain, Value

#: The key of a domain that came without the keys that need its monitor, and its value.
INCOMPLETE: dict[str, Value] = {"domain_health.complete": 0}


@dataclass
class Health:
    """What is counted and seen of one hypervisor since the start of the program."""

    library_version: str
    daemon_version: str = ""
    reconnects: int = 0
    errors: int = 0
    calls_hanging: int = 0

    def record(
        self, uri: str, up: bool, domains: int, incomplete: int, collect_time_ns: int
    ) -> Domain:
        """The hypervisor's record for a tick; ``uri`` is what may be shown of its URI."""
        keys: dict[str, Value] = {
            "health.up": int(up),
            "health.domains": domains,
            "health.domains_incomplete": incomplete,
            "health.collect_time_ns": collect_time_ns,
            "health.calls_hanging": self.calls_hanging,
            "health.reconnects": self.reconnects,
            "health.errors": self.errors,
            "health.libvirt_version": self.library_version,
        }
        if self.daemon_version:
            keys["health.daemon_version"] = self.daemon_version
        return Domain(name=uri, active=True, stats=keys)

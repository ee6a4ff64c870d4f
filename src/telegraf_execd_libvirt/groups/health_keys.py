"""The plugin's own statistics, as flat keys like libvirt's, for the group ``health``.

Invariant: they are written at each tick, whether the hypervisor could be read or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ..domain.record import Domain, Identity, Value

#: The key of a domain that came without the keys that need its monitor, and its value.
INCOMPLETE: dict[str, Value] = {"domain_health.complete": 0}


@dataclass(frozen=True)
class Health:
    """One hypervisor after a tick. ``daemon_version`` is empty before the first connection;
    ``domains_untagged`` is None if neither tags nor summaries need XML."""

    up: bool
    domains: int
    domains_incomplete: int
    collect_time_ns: int
    calls_hanging: int
    reconnects: int
    errors: int
    library_version: str
    daemon_version: str = ""
    domains_untagged: Optional[int] = None

    def record(self, uri: str) -> Domain:
        """The record of the hypervisor; ``uri`` is what may be shown of its URI."""
        keys: dict[str, Value] = {
            "health.up": int(self.up),
            "health.domains": self.domains,
            "health.domains_incomplete": self.domains_incomplete,
            "health.collect_time_ns": self.collect_time_ns,
            "health.calls_hanging": self.calls_hanging,
            "health.reconnects": self.reconnects,
            "health.errors": self.errors,
            "health.libvirt_version": self.library_version,
        }
        if self.domains_untagged is not None:
            keys["health.domains_untagged"] = self.domains_untagged
        if self.daemon_version:
            keys["health.daemon_version"] = self.daemon_version
        return Domain(name=uri, active=True, stats=keys)


@dataclass(frozen=True)
class SourceHealth:
    """One source of one hypervisor after its last fetch."""

    source: str
    up: bool
    records: int
    collect_time_ns: int
    errors: int
    hanging: int

    def record(self, uri: str) -> Domain:
        """The record of the source; ``uri`` is what may be shown of the hypervisor's URI."""
        keys: dict[str, Value] = {
            "source_health.up": int(self.up),
            "source_health.records": self.records,
            "source_health.collect_time_ns": self.collect_time_ns,
            "source_health.errors": self.errors,
            "source_health.hanging": self.hanging,
        }
        return Domain(uri, True, keys, Identity(tags={"source": self.source}))

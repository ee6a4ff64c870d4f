"""The summaries of a tick: of each domain, of the node, and the health of the collection.

Invariant: one thread uses it. It adds keys in separate namespaces, and drops the keys that were
only read for a summary.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..config.config import HypervisorConfig
from ..domain.record import NO_IDENTITY, Domain
from ..groups import domain as domain_group
from ..groups import health as health_group
from ..groups import node as node_group
from ..groups.domain import summarize
from ..groups.health import INCOMPLETE
from ..groups.node import Node
from ..hypervisor.delivery import Reading
from ..hypervisor.hypervisor import Hypervisor
from ..hypervisor.source_runner import SourceRunner
from ..uri import redact_uri


class Summaries:
    """The additional statistics of one hypervisor."""

    def __init__(
        self,
        config: HypervisorConfig,
        hypervisor: Hypervisor,
        runners: Sequence[SourceRunner] = (),
    ) -> None:
        self._hypervisor = hypervisor
        self._runners = runners
        self._uri = redact_uri(config.libvirt_uri)
        self._with_health = health_group.GROUP in config.additions
        self._with_domain = domain_group.GROUP in config.additions
        self._with_node = node_group.GROUP in config.additions
        # The encoder of the full set writes every key that it gets.
        strict = config.full and config.statistics_groups is not None
        wanted = {word for group in config.groups for word in group.words}
        read = {word for group in config.read_groups for word in group.words}
        if config.domain_state_include:
            read.add("state")
        self._extra = tuple(f"{word}." for word in read - wanted) if strict else ()
        self._node = Node()

    def add(self, reading: Reading) -> None:
        """Adds keys to the domains of a reading, and drops keys that are not configured."""
        if not (self._with_node or self._with_domain or self._extra or reading.incomplete):
            return
        for domain in reading.domains:
            if self._with_node:
                self._node.add(domain.active, domain.stats)
            if self._with_domain:
                info = (domain.identity or NO_IDENTITY).info
                domain.stats.update(summarize(domain.stats, info, time.time()))
            if self._extra:
                for key in [key for key in domain.stats if key.startswith(self._extra)]:
                    del domain.stats[key]
            if self._with_health and domain.name in reading.incomplete:
                domain.stats.update(INCOMPLETE)

    def records(self, seconds: float) -> list[Domain]:
        """The records of the hypervisor itself after a tick that took this long."""
        records = []
        outcome = self._hypervisor.outcome
        if self._with_node and outcome.up:
            host = outcome.host
            keys = self._node.keys(host.info, host.memory, host.cpu)
            records.append(Domain(self._uri, True, keys))
        if self._with_health:
            records.append(self._hypervisor.health(seconds).record(self._uri))
            for runner in self._runners:
                health = runner.health()
                if health is not None:
                    records.append(health.record(self._uri))
        self._node = Node()
        return records

"""The results of one hypervisor: one thread encodes and writes them as they arrive.

Invariant: each batch of domains is one write of whole lines. A defect costs the record in which it
shows, not the program; the health is written whatever happens.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from typing import Callable

from ..config.config import HypervisorConfig
from ..domain.record import NO_IDENTITY, Domain, Stats
from ..groups import domain as domain_group
from ..groups import health as health_group
from ..groups import node as node_group
from ..hypervisor.hypervisor import Hypervisor
from ..hypervisor.messages import Fetched, Outcome, Reading, Written
from ..lines.encode import Encoder
from ..lines.protocol import format_line
from ..log import log
from ..uri import redact_uri
from .kept import Kept
from .output import Closed, Output
from .twins import Twins


class Collector:
    """Collects from one hypervisor at each tick.

    ``index`` is that of its table. ``idle`` is called in the collector's thread whenever nothing is
    left to do; ``closed`` is called when stdout has no reader any more.
    """

    def __init__(
        self,
        config: HypervisorConfig,
        index: int,
        twins: Twins,
        output: Output,
        idle: Callable[[], None],
        closed: Callable[[], None],
    ) -> None:
        self.config = config
        #: Whether the last tick was not read, or its lines or those of a source not all written.
        self.failed = False
        self.hypervisor = Hypervisor(config, f"inputs.libvirt[{index}]", idle)
        self._index, self._twins = index, twins
        #: The statistics that are compared with those of other tables, each once.
        self._compared = twins.shared(index)
        self._encoder = Encoder(config, failed=self._fail)
        self._source_names = {source.name for source in config.sources}
        self._sources = [Encoder(config, s.group, self._fail) for s in config.sources]
        self._output = output
        self._closed = closed
        self._summaries = _Summaries(config, self.hypervisor, self._fail)
        self._lost = self._broken = False
        threading.Thread(target=self._run, name=self.hypervisor.name, daemon=True).start()

    @property
    def timeout(self) -> int:
        """The longest timeout of the hypervisor and its sources, in nanoseconds."""
        return max([self.config.timeout, *(f.settings.timeout for f in self.hypervisor.feeds)])

    def _run(self) -> None:
        while True:
            try:
                for result in self.hypervisor.results():
                    self._take(result)
                    del result  # its memory is for the next one
            except Closed:
                self._closed()
                return
            except Exception as defect:  # the edge of a result
                self._fail(defect)

    def _fail(self, defect: Exception) -> None:
        """A defect of this program: it is counted and logged, and costs what it spoils."""
        self.failed = self._lost = True
        self.hypervisor.defect(defect)

    def _take(self, result: Written) -> None:
        if isinstance(result, Reading):
            self._summaries.add(result)
            if self._compared:
                self._compare(self._compared - self._source_names, result.domains)
            self._write(self._encoder.encode(result.domains, result.timestamp))
        elif isinstance(result, Fetched):
            if self._compared:
                name = self.config.sources[result.number].name
                self._compare(self._compared & {name}, result.domains)
                self._compared.discard(name)
            lines = self._sources[result.number].encode_once(result.domains, result.timestamp)
            self._write(lines)
        else:
            self._end(result)

    def _compare(self, statistics: Collection[str], domains: Sequence[Domain]) -> None:
        for text, help in self._twins.add(self._index, statistics, domains):
            log.warning("%s; %s", text, help)

    def _end(self, outcome: Outcome) -> None:
        if outcome.up:
            self._encoder.forget_others(outcome.resting)
            self._compared &= self._source_names
        lines = self._encoder.encode_plain(self._summaries.records(outcome), outcome.timestamp)
        lines += self._summaries.health(outcome, self._encoder)
        if lines:
            self._write(lines)
        self.failed = self._lost or not outcome.up
        self._lost = False

    def _write(self, lines: bytes) -> None:
        """Writes whole lines. A failure is logged once."""
        try:
            self._output.write(lines)
            self._broken = False
        except OSError as error:
            if not self._broken:
                text = "cannot write stdout: %s; dropping metrics until it recovers"
                log.error(text, error.strerror)
            self.failed = self._lost = self._broken = True


class _Summaries:
    """The summaries of a tick: of each domain, of the node, and the health of the collection. They
    have separate namespaces; keys that were only read for a summary are dropped."""

    def __init__(
        self,
        config: HypervisorConfig,
        hypervisor: Hypervisor,
        failed: Callable[[Exception], None],
    ) -> None:
        self._hypervisor = hypervisor
        self._failed = failed
        self._tags = config.tags
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
        self._node = node_group.Node()
        #: What is known of the groups that are not asked in each tick.
        summaries = self._with_domain or self._with_node
        self._kept = Kept() if hypervisor.plan.intervals and summaries else None

    def add(self, reading: Reading) -> None:
        """Adds keys to the domains of a reading, and drops keys that are not configured."""
        if not (self._with_node or self._with_domain or self._extra or reading.incomplete):
            return
        for domain in reading.domains:
            try:
                self._add(domain, domain.name in reading.incomplete)
            except Exception as defect:  # the edge of a domain
                self._failed(defect)

    def _add(self, domain: Domain, incomplete: bool) -> None:
        if self._with_health and incomplete:
            domain.stats.update(health_group.INCOMPLETE)
        known, summary = domain.stats, Stats()
        if self._with_domain:
            info = (domain.identity or NO_IDENTITY).info
            summary = domain_group.summarize(domain.stats, info, time.time())
        if self._kept is not None:
            summary, known = self._kept.complete(domain, summary)
        if self._with_node:
            self._node.add(domain.active, known)
        domain.stats.update(summary)
        if self._extra:
            for key in [key for key in domain.stats if key.startswith(self._extra)]:
                del domain.stats[key]

    def records(self, outcome: Outcome) -> list[Domain]:
        """The record of the node after a tick, and those of locked domains."""
        node, self._node = self._node, node_group.Node()
        if self._kept is not None and outcome.up:
            for active, known in self._kept.rest(outcome.resting):
                node.add(active, known)
            if not (outcome.unread or outcome.locked):
                self._kept.forget_others()
        records = []
        if self._with_node and outcome.up:
            host = outcome.host
            try:
                keys = node.keys(host.info, host.memory, host.cpu, host.version)
                records.append(Domain(self._uri, True, keys))
            except Exception as defect:  # the edge of the summary
                self._failed(defect)
        if self._with_health:
            records += outcome.locked
        return records

    def health(self, outcome: Outcome, encoder: Encoder) -> bytes:
        """The lines of the health of the hypervisor and of its sources. They do without the encoder
        if that has a defect."""
        if not self._with_health:
            return b""
        hypervisor = self._hypervisor
        lines = encoder.encode_plain([hypervisor.health(outcome)], outcome.timestamp)
        if not lines:
            keys = hypervisor.health(outcome).stats.items()
            fields = [(key.partition(".")[2], value) for key, value in keys]
            tags = {**self._tags, "libvirt_uri": self._uri}
            lines = format_line("libvirt_health", tags, fields, outcome.timestamp).encode()
        try:
            sources = [health for feed in hypervisor.feeds if (health := feed.health())]
            records = [source.record(self._uri) for source in sources]
            return lines + encoder.encode_plain(records, outcome.timestamp)
        except Exception as defect:  # the edge of the sources
            self._failed(defect)
            return lines
